//! `docs/fidelity.md`: every check with what simulator and lab said to it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};

use super::differences::KNOWN;
use super::run::{Found, read};
use super::{all, places};

const HEAD: &str = "# Simulator and real Kubernetes: the same questions

`cargo xtask fidelity lab` asks the lab (Kubernetes 1.36.3, two real nodes), `cargo xtask fidelity sim`
the simulator; `cargo xtask fidelity table` writes this page from what the last runs found. The
checks are in `xtask/src/fidelity`. A difference is mended in the simulator or has its reason here.
";

/// Writes the page from the results of the last runs.
pub fn write() -> Result<ExitCode> {
    let (sim, lab) = (
        read(&places::results("sim")?)?,
        read(&places::results("lab")?)?,
    );
    ensure!(
        !lab.is_empty(),
        "the lab was not asked yet: cargo xtask fidelity lab"
    );
    let path = crate::check::root()?.join("docs/fidelity.md");
    std::fs::write(&path, page(&sim, &lab))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(ExitCode::SUCCESS)
}

fn page(sim: &BTreeMap<String, Found>, lab: &BTreeMap<String, Found>) -> String {
    let mut page = HEAD.to_owned();
    let passed = |found: &BTreeMap<String, Found>| {
        found.values().filter(|one| one.failure.is_none()).count()
    };
    let checks = all();
    let mut group = "";
    let counts = format!(
        "\n{} checks; passed: simulator {}, lab {}.\n",
        checks.len(),
        passed(sim),
        passed(lab)
    );
    page.push_str(&counts);
    for (of, check) in checks {
        if of != group {
            group = of;
            page.push_str(&format!(
                "\n## {group}\n\n| check | sim | lab | difference |\n|---|---|---|---|\n"
            ));
        }
        let (of_sim, of_lab) = (word(sim.get(check.name)), word(lab.get(check.name)));
        let difference = if of_sim == of_lab {
            String::new()
        } else {
            reason(check.name, sim.get(check.name))
        };
        // Writing to a string does not fail.
        writeln!(
            page,
            "| {} | {of_sim} | {of_lab} | {difference} |",
            check.name
        )
        .unwrap_or_default();
    }
    page
}

fn word(found: Option<&Found>) -> &'static str {
    match found {
        None => "not asked",
        Some(Found { failure: None, .. }) => "yes",
        Some(_) => "no",
    }
}

/// Why the simulator differs: the listed reason, else what the check said.
fn reason(name: &str, found: Option<&Found>) -> String {
    let listed = KNOWN
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, reason)| (*reason).to_owned());
    let said = || {
        found
            .and_then(|found| found.failure.clone())
            .unwrap_or_default()
    };
    let text = listed.unwrap_or_else(said).replace(['\n', '|'], " ");
    text.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_that_was_not_asked_is_no_success() {
        let page = page(&BTreeMap::new(), &BTreeMap::new());
        assert!(page.contains("passed: simulator 0, lab 0"));
        assert!(page.contains("| not asked | not asked |"), "{page}");
    }
}
