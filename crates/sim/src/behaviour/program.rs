//! What the lab's images do (`lab/testapp`, `xtask/src/lab/image.rs`): the same manifest gives the
//! same trouble on both. `sh -c` is understood for every image.

use super::duration::Seconds;
use super::memory::Memory;
use super::{Behaviour, Every, Exit, Later, Need, Stop, Without, shell};
use std::collections::BTreeMap;
use std::time::Duration;

/// The lab's registry.
const LAB: &str = "img.test/";

/// What an image does with a command and arguments; `None` when nothing is known of it.
pub(crate) fn of_program(image: &str, command: &[String], args: &[String]) -> Option<Behaviour> {
    let name = image.strip_prefix(LAB);
    let entrypoint: &[&str] = match name {
        Some("app:broken") => &[
            "/app",
            "exit",
            "-code",
            "3",
            "-after",
            "1s",
            "-message",
            "fatal: this release is broken",
        ],
        Some(name) if name.starts_with("app:") => &["/app", "serve"],
        Some("busybox:1") => &["/bin/sh"],
        _ => &[],
    };
    // A command takes the place of the image's entrypoint; these images have no CMD.
    let words: Vec<&str> = if command.is_empty() {
        let given = args.iter().map(String::as_str);
        entrypoint.iter().copied().chain(given).collect()
    } else {
        command.iter().chain(args).map(String::as_str).collect()
    };
    let (&program, rest) = words.split_first()?;
    match program.trim_start_matches("/bin/") {
        "sh" => match rest {
            ["-c", script, ..] => Some(shell::behaviour(script)),
            _ => Some(ends(0)),
        },
        "sleep" => Some(shell::behaviour(&format!("sleep {}", rest.join(" ")))),
        "true" => Some(ends(0)),
        "false" => Some(ends(1)),
        "/app" | "app" if name.is_some() => Some(app(rest)),
        _ if name.is_some() => Some(not_found(program)),
        _ => None,
    }
}

/// The environment that an image brings along.
pub(crate) fn image_environment(image: &str) -> BTreeMap<String, String> {
    let version = image
        .strip_prefix(LAB)
        .and_then(|name| name.split_once(':'));
    let version = version.map(|(_, tag)| ("VERSION".to_owned(), tag.to_owned()));
    version.into_iter().collect()
}

fn ends(code: i32) -> Behaviour {
    Behaviour {
        exit: Some(Exit {
            code,
            ..Exit::default()
        }),
        ..Behaviour::default()
    }
}

/// runc's words, as containerd hands them on.
fn not_found(program: &str) -> Behaviour {
    let why = if program.starts_with('/') {
        format!("stat {program}: no such file or directory")
    } else {
        "executable file not found in $PATH".to_owned()
    };
    Behaviour {
        start_error: format!(
            "failed to create containerd task: failed to create shim task: OCI runtime create failed: \
             runc create failed: unable to start container process: error during container init: \
             exec: \"{program}\": {why}"
        ),
        ..Behaviour::default()
    }
}

/// The test program.
fn app(words: &[&str]) -> Behaviour {
    let Some((&command, rest)) = words.split_first() else {
        return ends(2);
    };
    let flags = Flags(rest);
    match command {
        "serve" => serve(&flags),
        "alloc" => alloc(&flags),
        "exit" => Behaviour {
            exit: Some(Exit {
                after: flags.duration("after").unwrap_or_default(),
                code: flags.number("code").unwrap_or(1),
                message: flags.value("message").unwrap_or_default().to_owned(),
            }),
            ..Behaviour::default()
        },
        "print" => Behaviour {
            every: Some(Every {
                period: flags
                    .duration("every")
                    .unwrap_or(Seconds::from_millis(1000)),
                line: flags.rest().join(" "),
            }),
            ..Behaviour::default()
        },
        "get" => get(&flags),
        _ => ends(2),
    }
}

fn serve(flags: &Flags<'_>) -> Behaviour {
    let address = flags.value("addr").unwrap_or(":8080");
    let port = address
        .rsplit(':')
        .next()
        .and_then(|port| port.parse().ok());
    let never = Seconds(Duration::MAX);
    let ready_after = if flags.has("unready") {
        never
    } else {
        flags.duration("ready-after").unwrap_or_default()
    };
    let exit = flags
        .duration("crash-after")
        .filter(|after| after.0 > Duration::ZERO);
    Behaviour {
        // It was seen to refuse the first probe, and no other.
        listens_after: Seconds::from_millis(50),
        ready_after,
        ready_path: "/readyz".to_owned(),
        ports: port.into_iter().collect(),
        log: vec![format!("version $(VERSION) listens on {address}")],
        exit: exit.map(|after| Exit {
            after,
            code: 1,
            message: format!(
                "app: panic: asked to crash after {}",
                flags.value("crash-after").unwrap_or_default()
            ),
        }),
        needs: vec![Need {
            env: "$(REQUIRE_ENV)".to_owned(),
            ..Need::default()
        }],
        ..Behaviour::default()
    }
}

fn alloc(flags: &Flags<'_>) -> Behaviour {
    let megabytes: u32 = flags.number("mb").unwrap_or(128);
    let pause = flags.duration("pause").unwrap_or(Seconds::from_millis(2)).0;
    let after = flags.duration("after").unwrap_or_default().0;
    let each = pause.max(Duration::from_micros(200));
    let grown = |n: u32| Seconds(after.saturating_add(each.saturating_mul(n)));
    let mut later: Vec<Later> = (16..=megabytes)
        .step_by(16)
        .map(|n| Later {
            after: grown(n),
            line: format!("allocated {n} MiB"),
        })
        .collect();
    later.push(Later {
        after: grown(megabytes),
        line: format!("holding {megabytes} MiB"),
    });
    // (The wait before the first one is left out of the memory curve.)
    let rate = 1.0 / each.as_secs_f64();
    Behaviour {
        later,
        memory: Memory {
            start: "4Mi".to_owned(),
            per_second: format!("{}Ki", (rate * 1024.0).round()),
            peak: format!("{}Mi", megabytes.saturating_add(4)),
        },
        ..Behaviour::default()
    }
}

/// It needs the host of its URL, and ends at once.
fn get(flags: &Flags<'_>) -> Behaviour {
    let rest = flags.rest();
    let url = rest.first().copied().unwrap_or_default();
    let host = url.split("://").nth(1).unwrap_or(url);
    let host = host.split('/').next().unwrap_or(host);
    let (name, port) = host.split_once(':').unwrap_or((host, "80"));
    let service: Vec<&str> = name.split('.').take(2).collect();
    Behaviour {
        needs: vec![Need {
            service: service.join("."),
            port: port.parse().unwrap_or(80),
            without: Without::Exit,
            ..Need::default()
        }],
        stop: Stop::default(),
        ..ends(0)
    }
}

/// Flags as Go's flag package reads them.
struct Flags<'a>(&'a [&'a str]);

impl<'a> Flags<'a> {
    fn value(&self, name: &str) -> Option<&'a str> {
        let mut words = self.0.iter();
        while let Some(word) = words.next() {
            let flag = word.trim_start_matches('-');
            if flag == name && word.starts_with('-') {
                return words.next().copied();
            }
            if let Some((flag, value)) = flag.split_once('=')
                && flag == name
            {
                return Some(value);
            }
        }
        None
    }

    fn has(&self, name: &str) -> bool {
        self.0
            .iter()
            .any(|word| word.starts_with('-') && word.trim_start_matches('-') == name)
    }

    fn duration(&self, name: &str) -> Option<Seconds> {
        Seconds::parse(self.value(name)?)
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.value(name)?.parse().ok()
    }

    /// What comes after the flags, each of which has a value.
    fn rest(&self) -> &'a [&'a str] {
        let mut words = self.0;
        while let [flag, after @ ..] = words
            && flag.starts_with('-')
        {
            words = if flag.contains('=') {
                after
            } else {
                after.get(1..).unwrap_or_default()
            };
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn the_lab_s_program_is_understood() {
        let exit =
            of_program("img.test/app:1", &words("/app exit -code 3 -after 1s"), &[]).unwrap();
        let exit = exit.exit.unwrap();
        assert_eq!((exit.code, exit.after.0), (3, Duration::from_secs(1)));
        let hog = of_program("img.test/app:1", &words("/app alloc -mb 150"), &[]).unwrap();
        let killed = hog.memory.passes(96 << 20).unwrap();
        assert!(killed < Duration::from_secs(1), "{killed:?}");
        let unready = of_program("img.test/app:2", &[], &words("-unready")).unwrap();
        assert_eq!(unready.ready_after.0, Duration::MAX);
        assert_eq!(unready.ports, [8080]);
    }

    #[test]
    fn a_program_that_is_not_in_the_image_cannot_start() {
        let wrong = of_program("img.test/app:1", &words("nope"), &[]).unwrap();
        assert!(
            wrong
                .start_error
                .ends_with("executable file not found in $PATH")
        );
        assert_eq!(of_program("docker.io/nginx:1", &words("nginx"), &[]), None);
    }
}
