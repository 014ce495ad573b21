//! How many endings were right, and what that makes of the run.

use super::faults::{self, Fault};
use super::story::Story;
use super::told::Told;
use super::{DemoError, Ending, Options, teller};
use crate::output::Tone;
use jiff::Timestamp;
use nightshift_cluster::Clock;

/// How a run goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tally {
    right: usize,
    of: usize,
    alone: usize,
    begun: Timestamp,
    begun_in_cluster: Timestamp,
}

impl Tally {
    pub(super) fn begin(wall: &dyn Clock, story: &Story<'_>) -> Self {
        Self {
            right: 0,
            of: 0,
            alone: 0,
            begun: wall.now(),
            begun_in_cluster: story.clock.now(),
        }
    }

    pub(super) fn count(&mut self, fault: &Fault, is_right: bool) {
        self.of += 1;
        if is_right {
            self.right += 1;
            self.alone += usize::from(fault.is_repaired_alone());
        }
    }

    /// Not every fault of the story came to its end.
    fn is_interrupted(&self) -> bool {
        self.of < faults::all().len()
    }

    pub(super) fn ending(&self, once: bool) -> Ending {
        if self.right < self.of {
            Ending::Wrong
        } else if once && self.is_interrupted() {
            Ending::Interrupted
        } else {
            Ending::Right
        }
    }

    pub(super) fn tell(
        &self,
        options: &Options,
        story: &Story<'_>,
        wall: &dyn Clock,
    ) -> Result<(), DemoError> {
        let real = wall.now().duration_since(self.begun);
        let cluster = story.clock.now().duration_since(self.begun_in_cluster);
        let end = Told::End {
            right: self.right,
            of: self.of,
            alone: self.alone,
            seconds: real.as_secs_f64(),
            cluster_seconds: cluster.as_secs_f64(),
        };
        let interrupted = if self.is_interrupted() {
            format!("interrupted after {} of {}: ", self.of, faults::all().len())
        } else {
            String::new()
        };
        let words = format!(
            "{interrupted}{} of {} endings right, {} repaired without a person; {:.0} s, in which {} \
             passed in the cluster (seed {})",
            self.right,
            self.of,
            self.alone,
            real.as_secs_f64(),
            teller::length(cluster),
            options.seed
        );
        let tone = match self.ending(options.once) {
            Ending::Right => Tone::Good,
            Ending::Wrong => Tone::Bad,
            Ending::Interrupted => Tone::Warn,
        };
        let line = story.teller.paint(tone, &words);
        story.teller.say(&end, &format!("{line}\n"))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(right: usize, of: usize) -> Tally {
        Tally {
            right,
            of,
            alone: 0,
            begun: Timestamp::UNIX_EPOCH,
            begun_in_cluster: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_story_that_was_interrupted_is_neither_right_nor_wrong() {
        let all = faults::all().len();
        assert_eq!(tally(3, 3).ending(true), Ending::Interrupted);
        assert_eq!(tally(all, all).ending(true), Ending::Right);
        assert_eq!(tally(2, 3).ending(true), Ending::Wrong);
        assert_eq!(tally(3, 3).ending(false), Ending::Right);
        assert_eq!(tally(all, all + 1).ending(false), Ending::Wrong);
    }
}
