//! A page of text for a terminal: sections, fields and lists, wrapped to its width.

use crate::output::{Style, Tone};

/// Width where the terminal's is not known.
const WIDTH: usize = 100;

/// The text as it grows.
pub(super) struct Page {
    pub(super) text: String,
    pub(super) style: Style,
    width: usize,
}

impl Page {
    pub(super) fn new(style: Style) -> Self {
        let width = style.width.map_or(WIDTH, usize::from).max(40);
        Self {
            text: String::new(),
            style,
            width,
        }
    }

    pub(super) fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    pub(super) fn section(&mut self, title: &str, more: &str) {
        self.line("");
        let title = self.style.paint(Tone::Strong, title);
        let more = self.style.paint(Tone::Plain, more);
        self.line(&format!("{title}  {more}"));
    }

    /// A label and its value, wrapped behind it.
    pub(super) fn field(&mut self, label: &str, tone: Tone, value: &str) {
        self.labelled(&format!("  {label:<12}"), label, tone, value);
    }

    /// A line of a list with a short mark in front.
    pub(super) fn item(&mut self, mark: &str, tone: Tone, text: &str) {
        self.labelled(&format!("    {mark} "), mark, tone, text);
    }

    pub(super) fn labelled(&mut self, front: &str, label: &str, tone: Tone, value: &str) {
        let indent = front.chars().count();
        let painted = self.style.paint(tone, label);
        let front = front.replacen(label, &painted, usize::from(!label.is_empty()));
        for (n, line) in wrap(value, self.width.saturating_sub(indent))
            .iter()
            .enumerate()
        {
            let line = self.style.paint(Tone::Plain, line);
            if n == 0 {
                self.line(&format!("{front}{line}"));
            } else {
                self.line(&format!("{:indent$}{line}", ""));
            }
        }
    }

    pub(super) fn indented(&mut self, indent: usize, tone: Tone, text: &str) {
        for line in text.lines() {
            for part in wrap(line, self.width.saturating_sub(indent)) {
                let part = self.style.paint(tone, &part);
                self.line(&format!("{:indent$}{part}", ""));
            }
        }
    }
}

/// Breaks at spaces; a longer word stays whole, so that it can be copied. At least one line.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let leading: String = paragraph.chars().take_while(|c| *c == ' ').collect();
        // What follows a list's mark stands behind it.
        let is_item = paragraph.trim_start().starts_with("- ");
        let hang = if is_item {
            format!("{leading}  ")
        } else {
            leading.clone()
        };
        let mut line = leading.clone();
        for word in paragraph.split_whitespace() {
            let is_first = line.trim().is_empty();
            if !is_first && line.chars().count() + 1 + word.chars().count() > width {
                lines.push(std::mem::replace(&mut line, hang.clone()));
            } else if !is_first {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}
