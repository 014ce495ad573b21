//! A page of text for a terminal: sections, fields and lists, wrapped to its width.

use crate::output::{Style, Tone, wrap};

/// The text as it grows.
pub(super) struct Page {
    pub(super) text: String,
    pub(super) style: Style,
}

impl Page {
    pub(super) fn new(style: Style) -> Self {
        Self {
            text: String::new(),
            style,
        }
    }

    pub(super) fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    /// Texts beside each other, or below each other where they are too long for that.
    pub(super) fn title(&mut self, texts: &[(Tone, &str)]) {
        const BESIDE: &str = "  ";
        const BELOW: &str = "\n  ";
        let plain: Vec<&str> = texts.iter().map(|(_, text)| *text).collect();
        let gap = if plain.join(BESIDE).chars().count() > self.style.room(0) {
            BELOW
        } else {
            BESIDE
        };
        let texts = texts
            .iter()
            .map(|(tone, text)| self.style.paint(*tone, text));
        let texts: Vec<String> = texts.collect();
        self.line(&texts.join(gap));
    }

    pub(super) fn section(&mut self, title: &str, more: &str) {
        self.line("");
        self.labelled(&format!("{title}  "), title, Tone::Strong, more);
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
        for (n, line) in wrap(value, self.style.room(indent)).iter().enumerate() {
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
            for part in wrap(line, self.style.room(indent)) {
                let part = self.style.paint(tone, &part);
                self.line(&format!("{:indent$}{part}", ""));
            }
        }
    }
}
