//! Stories on the real lab: what happens, from the fault to the end, judged from outside.

mod alert;
mod breaker;
mod bystanders;
mod clock;
mod crash_points;
mod gap;
mod known_good;
mod ordered;
mod outage;
mod runbooks;
mod silence;
mod stopping;

use anyhow::Result;

use crate::agent;
use crate::check::Tally;
use crate::faults::PATIENCE;
use crate::lab::{Lab, Progress, until};

/// One story.
pub struct Story {
    /// Name: what is claimed.
    pub name: &'static str,
    /// Only with `--long`.
    pub long: bool,
    /// Plays it; an error says what was not as claimed.
    pub play: fn(&Lab) -> Result<()>,
}

/// All stories, each on the same lab, one after the other.
fn all() -> Vec<Story> {
    [
        runbooks::STORIES,
        alert::STORIES,
        breaker::STORIES,
        bystanders::STORIES,
        known_good::STORIES,
        outage::STORIES,
        silence::STORIES,
        crash_points::STORIES,
        ordered::STORIES,
        stopping::STORIES,
        gap::STORIES,
        clock::STORIES,
    ]
    .into_iter()
    .flatten()
    .map(|story| Story { ..*story })
    .collect()
}

/// Starts the lab, plays the stories whose name contains `part`, and takes the lab down.
pub fn run_all(part: &str, long: bool, tally: &mut Tally) -> Result<()> {
    agent::build()?;
    let lab = Lab::here()?;
    let progress = Progress::new();
    lab.up(&progress)?;
    let played = lab.install_agent(&agent::rbac()?).map(|_| {
        for story in all().into_iter().filter(|story| story.name.contains(part)) {
            if story.long && !long {
                tally
                    .skipped
                    .insert(story.name.to_owned(), "only with --long".to_owned());
                continue;
            }
            progress.say(story.name);
            let result = await_the_end_of_earlier_stages(&lab).and_then(|()| (story.play)(&lab));
            tally.count(story.name, result);
        }
    });
    lab.down(&progress)?;
    played
}

/// An agent looks after whatever is broken: also what an earlier story broke, as long as its namespace
/// is not gone.
fn await_the_end_of_earlier_stages(lab: &Lab) -> Result<()> {
    let ending = "jsonpath={.items[?(@.status.phase==\"Terminating\")].metadata.name}";
    until("the end of earlier stages", PATIENCE, || {
        let names = lab.kubectl(&["get", "namespaces", "-o", ending])?;
        Ok(if names.trim().is_empty() {
            Ok(())
        } else {
            Err(format!("{names} still ending"))
        })
    })
}

/// A tag that makes the names of one story new.
pub fn tag() -> String {
    format!("{:04x}", rand::random::<u16>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// A story of the lab is also told on the simulated cluster, by the same name: there it costs
    /// seconds. What only the simulator tells is welcome.
    #[test]
    fn every_story_of_the_lab_is_told_on_the_simulator_too() {
        let told =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/nightshift/src/demo/stories");
        let mut texts = String::new();
        for file in std::fs::read_dir(told).unwrap() {
            texts.push_str(&std::fs::read_to_string(file.unwrap().path()).unwrap());
        }
        for story in all() {
            let test = format!(
                "#[tokio::test(flavor = \"multi_thread\")]\nasync fn {}() {{",
                story.name
            );
            assert!(texts.contains(&test), "{} is not told there", story.name);
        }
    }
}
