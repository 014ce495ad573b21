//! The latest audit lines, and where they are written besides.

use std::collections::VecDeque;
use std::fmt;
use std::io::Write;

/// So many lines are kept.
const KEPT: usize = 20_000;

/// The latest audit lines, in order.
#[derive(Debug, Default)]
pub struct Trail {
    lines: VecDeque<String>,
    /// How many there have been.
    count: u64,
    /// Where each goes besides.
    log: Option<Log>,
}

struct Log(Box<dyn Write + Send>);

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Log")
    }
}

impl Trail {
    /// From now on every line is written there too, one write a line (`--audit-log-path` of the real
    /// API server, in the mode `blocking`). What cannot be written is lost, and said in the log.
    pub fn write_to(&mut self, log: impl Write + Send + 'static) {
        self.log = Some(Log(Box::new(log)));
    }

    /// How many lines there have been: a mark for [`Trail::since`].
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The lines after a mark, as far as they are kept.
    pub fn since(&self, mark: u64) -> impl Iterator<Item = &str> {
        let new = usize::try_from(self.count.saturating_sub(mark)).unwrap_or(usize::MAX);
        let known = self.lines.len().saturating_sub(new);
        self.lines.iter().skip(known).map(String::as_str)
    }

    /// Id of the next request: a count in the form of a UUID. A random one would make the history of
    /// the cluster depend on who reads it.
    pub(super) fn next_id(&self) -> String {
        format!("00000000-0000-4000-8000-{:012x}", self.count)
    }

    pub(super) fn push(&mut self, line: String) {
        self.count = self.count.saturating_add(1);
        if let Some(Log(log)) = &mut self.log
            && let Err(error) = log.write_all(format!("{line}\n").as_bytes())
        {
            tracing::error!(%error, "an audit line cannot be written");
        }
        self.lines.push_back(line);
        if self.lines.len() > KEPT {
            self.lines.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Sender, channel};

    /// Says what each write brought.
    struct Pipe(Sender<Vec<u8>>);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let sent = self.0.send(bytes.to_vec());
            sent.map_err(std::io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_line_is_kept_and_written_whole() {
        let (sender, written) = channel();
        let mut trail = Trail::default();
        trail.push("before".to_owned());
        trail.write_to(Pipe(sender));
        trail.push("one".to_owned());
        trail.push("two".to_owned());
        assert_eq!(trail.since(1).collect::<Vec<_>>(), ["one", "two"]);
        let written: Vec<_> = written.try_iter().collect();
        assert_eq!(written, [b"one\n", b"two\n"]);
    }
}
