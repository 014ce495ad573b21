//! The ends of logs, on demand: bounded in containers, lines and bytes, and redacted before they
//! reach anybody.

use super::fetch::{FetchError, chain};
use super::reader::{Reader, encoded, seen};
use futures::future::join_all;
use nightshift_core::redact;
use nightshift_core::world::{ContainerStatus, Coverage, Logs, Pod, Scope, Snapshot, Source};
use std::cmp::Reverse;

/// Containers whose logs are read in one look.
const MAX_CONTAINERS: usize = 3;

/// Lines at the end of one log.
const MAX_LINES: usize = 200;

/// Bytes at the end of one log that are kept.
const MAX_BYTES: usize = 64 << 10;

/// Bytes that the server may send: it counts from the first of the last [`MAX_LINES`] lines, so
/// that a limit of [`MAX_BYTES`] would cut the newest ones off.
const MAX_SENT: usize = 1 << 20;

/// One log to read.
struct Wanted {
    logs: Logs,
    path: String,
}

/// Reads the logs of the scope's failing containers into the snapshot, this run's and the one
/// before.
pub(super) async fn read(reader: &Reader, scope: &Scope, snapshot: &mut Snapshot) {
    let asked_at = reader.now();
    let wanted = wanted(scope, snapshot);
    let reads = wanted.into_iter().map(async |wanted| {
        let lines = lines(reader, &wanted.path).await;
        (wanted.logs, lines)
    });
    let mut failed = None;
    for (mut logs, lines) in join_all(reads).await {
        match lines {
            Ok(lines) => {
                logs.lines = lines;
                snapshot.logs.push(logs);
            }
            Err(error) => failed = Some(chain(&error)),
        }
    }
    let age = snapshot.taken_at.duration_since(asked_at);
    let coverage = failed.map_or_else(|| seen(age), |why| Coverage::Blind { why });
    snapshot.coverage.insert(Source::Logs, coverage);
}

fn wanted(scope: &Scope, snapshot: &Snapshot) -> Vec<Wanted> {
    let is_subject = |pod: &Pod| match scope {
        Scope::Of(subject) => subject.uid == pod.metadata.uid,
        Scope::Cluster => false,
    };
    let mut failing: Vec<_> = snapshot
        .pods
        .iter()
        .flat_map(|pod| pod.container_statuses().map(move |status| (pod, status)))
        .filter(|(_, status)| is_failing(status))
        .collect();
    failing.sort_by_key(|(pod, status)| (!is_subject(pod), Reverse(status.restart_count)));
    failing.truncate(MAX_CONTAINERS);
    failing
        .into_iter()
        .flat_map(|(pod, status)| {
            let has_run = status.state.running.is_some() || status.state.terminated.is_some();
            let this = has_run.then(|| log_of(pod, &status.name, false));
            let previous = (status.restart_count > 0).then(|| log_of(pod, &status.name, true));
            this.into_iter().chain(previous)
        })
        .collect()
}

/// Whether the container ended badly, now or before, or runs without being ready.
fn is_failing(status: &ContainerStatus) -> bool {
    let ended = [&status.state, &status.last_state]
        .into_iter()
        .filter_map(|state| state.terminated.as_ref())
        .any(|end| end.exit_code != 0 || end.reason == "OOMKilled");
    ended || (status.state.running.is_some() && !status.ready)
}

fn log_of(pod: &Pod, container: &str, previous: bool) -> Wanted {
    let meta = &pod.metadata;
    let path = format!(
        "/api/v1/namespaces/{}/pods/{}/log?container={}&tailLines={MAX_LINES}&limitBytes={MAX_SENT}&previous={previous}",
        meta.namespace,
        meta.name,
        encoded(container)
    );
    let logs = Logs {
        pod: pod.reference(),
        container: container.to_owned(),
        previous,
        lines: Vec::new(),
    };
    Wanted { logs, path }
}

async fn lines(reader: &Reader, path: &str) -> Result<Vec<String>, FetchError> {
    match reader.get(path, "*/*", reader.limits.probe).await {
        Ok(answer) => Ok(tail(&String::from_utf8_lossy(&answer.body))),
        // 400: that container has no such run (yet); 404: the pod is gone. Both are answers.
        Err(FetchError::Refused {
            code: 400 | 404, ..
        }) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// The last lines, redacted as one text: a secret may span lines.
fn tail(text: &str) -> Vec<String> {
    let from = text.ceil_char_boundary(text.len().saturating_sub(MAX_BYTES));
    let (_, end) = text.split_at(from);
    // A line that was cut is no line.
    let whole = match end.split_once('\n') {
        Some((_, rest)) if from > 0 => rest,
        _ => end,
    };
    let lines: Vec<String> = redact::text(whole).lines().map(str::to_owned).collect();
    let skip = lines.len().saturating_sub(MAX_LINES);
    lines.into_iter().skip(skip).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nightshift_core::testkit;
    use nightshift_core::world::Kind;

    const AT: &str = "2026-01-05T10:00:00Z";

    #[test]
    fn the_newest_lines_stay_and_are_redacted() {
        let text: Vec<_> = (0..300)
            .map(|n| format!("line {n} password=hunter2"))
            .collect();
        let text = text.join("\n");
        let lines = tail(&text);
        assert_eq!(lines.len(), MAX_LINES);
        assert!(lines.last().unwrap().starts_with("line 299 "));
        assert!(!lines.concat().contains("hunter2"));
    }

    #[test]
    fn long_lines_are_bounded_in_bytes_and_cut_lines_are_left_out() {
        let text: Vec<_> = (0..100)
            .map(|n| format!("{n} {}", "ü".repeat(2000)))
            .collect();
        let text = text.join("\n");
        let lines = tail(&text);
        assert!(lines.iter().map(String::len).sum::<usize>() <= MAX_BYTES);
        assert!(lines.last().unwrap().starts_with("99 "));
        assert!(lines.first().unwrap().starts_with(char::is_numeric));
    }

    #[test]
    fn failing_containers_are_read_the_subjects_first_and_no_others() {
        let snapshot = testkit::world(AT)
            .deployment("demo", "cart")
            .revision(1)
            .pod("a")
            .crash_loop(1, "Error", 5, 9)
            .pod("b")
            .crash_loop(1, "Error", 5, 2)
            .pod("c")
            .snapshot();
        let read = |scope: &Scope| -> Vec<String> {
            let wanted = wanted(scope, &snapshot).into_iter();
            let wanted = wanted.map(|w| format!("{} {}", w.logs.pod.name, w.logs.previous));
            wanted.collect()
        };
        let b = testkit::reference(Kind::Pod, "demo", "b");
        assert_eq!(read(&Scope::Of(b)), ["b true", "a true"]);
        assert_eq!(read(&Scope::Cluster), ["a true", "b true"]);
    }
}
