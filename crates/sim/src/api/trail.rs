//! The latest audit lines.

use std::collections::VecDeque;

/// So many lines are kept.
const KEPT: usize = 20_000;

/// The latest audit lines, in order.
#[derive(Debug, Default)]
pub struct Trail {
    lines: VecDeque<String>,
    /// How many there have been.
    count: u64,
}

impl Trail {
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
        self.lines.push_back(line);
        if self.lines.len() > KEPT {
            self.lines.pop_front();
        }
    }
}
