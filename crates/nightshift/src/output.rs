//! What commands print: one door to standard output, one look for tables, JSON and YAML.
//!
//! Text from a cluster or an alert is data: it is made harmless before a terminal sees it.

mod table;

use serde::Serialize;
use std::io::{self, IsTerminal as _, Write as _};

/// Format of everything that prints data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
    /// For programs, and easier to read.
    Yaml,
}

/// The `-o` option.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct Output {
    /// Output format
    #[arg(
        short = 'o',
        long = "output",
        value_name = "FORMAT",
        value_enum,
        default_value_t
    )]
    pub format: Format,
}

impl Output {
    /// Prints `data`, for people as `table` says.
    pub fn print<T: Serialize>(
        self,
        data: &T,
        table: impl FnOnce(&T, Style) -> String,
    ) -> io::Result<()> {
        print(&match self.format {
            Format::Table => table(data, Style::of_stdout()),
            Format::Json => serde_json::to_string_pretty(data)? + "\n",
            Format::Yaml => serde_saphyr::to_string(data).map_err(io::Error::other)?,
        })
    }
}

/// Writes text to standard output. A reader that has gone (`| head`) has seen enough: no error, and
/// the command goes on to its own exit code.
pub fn print(text: &str) -> io::Result<()> {
    write_to(&mut io::stdout().lock(), text)
}

fn write_to(out: &mut impl io::Write, text: &str) -> io::Result<()> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Writes a line to standard error; nobody can be told when that fails.
pub fn complain(line: &str) {
    drop(writeln!(io::stderr().lock(), "{line}"));
}

/// How text for people is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Colours: only on a terminal, and not where `NO_COLOR` is set.
    pub colour: bool,
    /// Columns of the terminal; `None` where output goes to a file or pipe: nothing is wrapped.
    pub width: Option<u16>,
}

/// Meaning of a colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Nothing special.
    Plain,
    /// Well.
    Good,
    /// Look at it.
    Warn,
    /// Broken or refused.
    Bad,
    /// Less important.
    Dim,
    /// A heading.
    Strong,
}

impl Style {
    /// No colours, no wrapping.
    pub const PLAIN: Self = Self {
        colour: false,
        width: None,
    };

    /// As standard output is now.
    pub fn of_stdout() -> Self {
        let is_terminal = io::stdout().is_terminal();
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            colour: is_terminal && !no_colour,
            width: if is_terminal {
                comfy_table::Table::new().width()
            } else {
                None
            },
        }
    }

    /// The text in the tone's colour, harmless for a terminal.
    pub fn paint(self, tone: Tone, text: &str) -> String {
        let text = harmless(text);
        let code = match tone {
            _ if !self.colour || text.is_empty() => return text,
            Tone::Plain => return text,
            Tone::Good => "32",
            Tone::Warn => "33",
            Tone::Bad => "31",
            Tone::Dim => "2",
            Tone::Strong => "1",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }

    /// Columns for text that is set in by so many; no end of them off a terminal.
    pub fn room(self, indent: usize) -> usize {
        const LEAST: usize = 20;
        let room = |width| usize::from(width).saturating_sub(indent).max(LEAST);
        self.width.map_or(usize::MAX, room)
    }
}

/// Breaks at spaces; a longer word stays whole, so that it can be copied. At least one line.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
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

/// How this program is called, for commands that a person is to type: by its name where it was
/// called so, else by its whole path.
pub fn program() -> String {
    let called = std::env::args().next().unwrap_or_default();
    let path = std::env::current_exe();
    match path {
        Ok(path) if called.contains('/') => path.display().to_string(),
        Ok(_) | Err(_) => called,
    }
}

/// The text without what a terminal would obey instead of showing it.
pub fn harmless(text: &str) -> String {
    let shown = |c: char| {
        if c.is_control() && c != '\n' {
            '\u{fffd}'
        } else {
            c
        }
    };
    text.replace('\t', "    ").chars().map(shown).collect()
}

/// A length of time in one or two units, as kubectl shows ages: `45s`, `3m10s`, `2h`, `5d`.
pub fn age(duration: jiff::SignedDuration) -> String {
    let seconds = duration.as_secs().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 if seconds % 60 > 0 => format!("{minutes}m{}s", seconds % 60),
        120..7_200 => format!("{minutes}m"),
        7_200..172_800 => format!("{hours}h"),
        _ => format!("{days}d"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;

    struct Closed(io::ErrorKind);

    impl io::Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_is_no_error_and_a_full_disk_is() {
        assert!(write_to(&mut Closed(io::ErrorKind::BrokenPipe), "text").is_ok());
        assert!(write_to(&mut Closed(io::ErrorKind::StorageFull), "text").is_err());
    }

    #[test]
    fn tables_off_a_terminal_have_no_colour_no_border_and_no_trailing_space() {
        let rows = vec![
            vec![
                (Tone::Bad, "inc-1".to_owned()),
                (Tone::Plain, "OomKilled".to_owned()),
            ],
            vec![
                (Tone::Good, "inc-22".to_owned()),
                (Tone::Plain, String::new()),
            ],
        ];
        let table = Style::PLAIN.table(&["ID", "CLASS"], rows);
        assert_eq!(table, "ID      CLASS\ninc-1   OomKilled\ninc-22\n");
    }

    #[test]
    fn colours_only_where_asked_for() {
        let style = Style {
            colour: true,
            width: None,
        };
        assert_eq!(style.paint(Tone::Bad, "deny"), "\u{1b}[31mdeny\u{1b}[0m");
        assert_eq!(Style::PLAIN.paint(Tone::Bad, "deny"), "deny");
    }

    #[test]
    fn a_terminal_sequence_in_data_is_shown_and_not_obeyed() {
        assert_eq!(
            Style::PLAIN.paint(Tone::Dim, "a\u{1b}[2Jb\r\n"),
            "a\u{fffd}[2Jb\u{fffd}\n"
        );
        let table = Style::PLAIN.table(&["A"], vec![vec![(Tone::Plain, "\u{7}x".to_owned())]]);
        assert_eq!(table, "A\n\u{fffd}x\n");
    }

    #[test]
    fn ages_read_as_in_kubectl() {
        for (seconds, expected) in [
            (-5, "0s"),
            (45, "45s"),
            (119, "119s"),
            (190, "3m10s"),
            (180, "3m"),
            (3_600, "60m"),
            (10_000, "2h"),
            (400_000, "4d"),
        ] {
            assert_eq!(age(SignedDuration::from_secs(seconds)), expected);
        }
    }
}
