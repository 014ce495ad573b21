//! The few shell lines that manifests for tests use: `echo`, `sleep`, `exit`, `true`, `false`.

use super::duration::Seconds;
use super::{Behaviour, Exit, Later};
use std::time::Duration;

/// What a script does.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Ran {
    /// What it printed, and when.
    pub(crate) lines: Vec<(Duration, String)>,
    /// When and how it ended; `None` when it runs for ever.
    pub(crate) end: Option<(Duration, i32)>,
}

/// Follows a script. One with a word that is not understood runs for ever from there.
pub(crate) fn run(script: &str) -> Ran {
    let mut ran = Ran::default();
    let mut at = Duration::ZERO;
    let mut code = 0;
    for statement in script.split([';', '\n']).flat_map(|one| one.split("&&")) {
        let statement = statement.trim();
        let statement = statement.strip_suffix(">&2").unwrap_or(statement).trim();
        let (word, rest) = statement.split_once(' ').unwrap_or((statement, ""));
        code = match word {
            "" => code,
            "true" | ":" => 0,
            "false" => 1,
            "echo" => {
                let text = rest.trim().trim_matches(['"', '\'']);
                ran.lines.push((at, text.to_owned()));
                0
            }
            "sleep" => {
                let plain = rest.trim().parse::<f64>().ok();
                let plain = plain.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
                let Some(wait) = plain.or_else(|| Seconds::parse(rest.trim()).map(|one| one.0))
                else {
                    return ran;
                };
                at = at.saturating_add(wait);
                0
            }
            "exit" => {
                ran.end = Some((at, rest.trim().parse().unwrap_or(code)));
                return ran;
            }
            _ => return ran,
        };
    }
    ran.end = Some((at, code));
    ran
}

/// The same as a behaviour.
pub(super) fn behaviour(script: &str) -> Behaviour {
    let ran = run(script);
    Behaviour {
        later: ran
            .lines
            .into_iter()
            .map(|(after, line)| Later {
                after: Seconds(after),
                line,
            })
            .collect(),
        exit: ran.end.map(|(after, code)| Exit {
            after: Seconds(after),
            code,
            message: String::new(),
        }),
        ..Behaviour::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_that_complains_and_ends() {
        let ran = run("echo why >&2; sleep 2; exit 3");
        assert_eq!(ran.lines, [(Duration::ZERO, "why".to_owned())]);
        assert_eq!(ran.end, Some((Duration::from_secs(2), 3)));
    }

    #[test]
    fn what_is_not_understood_runs_for_ever() {
        assert_eq!(run("while true; do nginx; done").end, None);
    }
}
