//! Tables without borders, as kubectl prints them. A word is never broken: ids are there to be copied.

use super::{Style, Tone, harmless, wrap};
use comfy_table::{
    Attribute, Cell, Color, ColumnConstraint, ContentArrangement, Row, Table, Width, presets,
};

/// Columns between columns.
const GAP: u16 = 2;
/// The last column holds the longest text. With less room than this it is not wrapped.
const LEAST: u16 = 30;
/// How far is set in what goes below its row.
const INDENT: usize = 4;

type Line = Vec<(Tone, String)>;

/// How wide columns are. Those that have no width stand below their row.
type Widths = Vec<u16>;

impl Style {
    /// A table. A cell is a text with its tone. On a terminal that is too narrow, the last column is
    /// wrapped at spaces; where that is not enough, the columns that have no room go below their row.
    pub fn table(self, header: &[&str], rows: Vec<Line>) -> String {
        let header = header.iter().map(|text| (Tone::Plain, (*text).to_owned()));
        let lines: Vec<Line> = std::iter::once(header.collect()).chain(rows).collect();
        let widths = self.widths(&lines);
        let mut text = String::new();
        for mut line in lines {
            let below = line.split_off(widths.len().min(line.len()));
            self.row(&mut text, line, &widths);
            self.below(&mut text, &below);
        }
        text
    }

    fn widths(self, lines: &[Line]) -> Widths {
        let whole = measure(lines, ToOwned::to_owned);
        match self.width {
            None => whole,
            Some(room) => fit(whole, &measure(lines, |text| text.replace(' ', "\n")), room),
        }
    }

    /// Cells beside each other as far as there is room, a longer one on lines of its own.
    fn below(self, text: &mut String, cells: &[(Tone, String)]) {
        let room = self.room(INDENT);
        let mut used = 0;
        for (tone, cell) in cells.iter().filter(|(_, cell)| !cell.is_empty()) {
            for part in wrap(cell, room) {
                let length = part.chars().count();
                let front = if used == 0 {
                    format!("{:INDENT$}", "")
                } else if used + usize::from(GAP) + length > room {
                    used = 0;
                    format!("\n{:INDENT$}", "")
                } else {
                    used += usize::from(GAP);
                    " ".repeat(GAP.into())
                };
                used += length;
                text.push_str(&front);
                text.push_str(&self.paint(*tone, &part));
            }
        }
        if used > 0 {
            text.push('\n');
        }
    }

    fn row(self, text: &mut String, line: Line, widths: &[u16]) {
        let mut table = Table::new();
        table
            .load_style(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled);
        if self.colour {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        let cells = line.into_iter().map(|(tone, text)| cell(tone, &text));
        table.add_row(Row::from(cells.collect::<Vec<_>>()));
        for (column, width) in table.column_iter_mut().zip(widths) {
            column.set_padding((0, GAP));
            let width = Width::Fixed(width.saturating_add(GAP));
            column.set_constraint(ColumnConstraint::Absolute(width));
        }
        for line in table.lines() {
            text.push_str(line.trim_end());
            text.push('\n');
        }
    }
}

/// The widest of each column, after a change of its texts.
fn measure(lines: &[Line], change: impl Fn(&str) -> String) -> Widths {
    let mut table = Table::new();
    for line in lines {
        let texts = line.iter().map(|(_, text)| change(&harmless(text)));
        table.add_row(texts.collect::<Vec<_>>());
    }
    table.column_max_content_widths()
}

fn total(widths: &[u16]) -> u16 {
    let gaps = widths.len().saturating_sub(1);
    let gaps = GAP.saturating_mul(u16::try_from(gaps).unwrap_or(u16::MAX));
    widths
        .iter()
        .fold(gaps, |sum, width| sum.saturating_add(*width))
}

/// Fits columns of these widths, with longest words as wide as these, into the room. Where not even
/// the first one fits, the table is wider than the room.
fn fit(mut whole: Widths, words: &[u16], room: u16) -> Widths {
    if total(&whole) <= room {
        return whole;
    }
    if let (Some(last), Some(word)) = (whole.pop(), words.last()) {
        let left = room.saturating_sub(total(&whole)).saturating_sub(GAP);
        if left >= last.min(LEAST).max(*word) {
            whole.push(left);
            return whole;
        }
    }
    while whole.len() > 1 && total(&whole) > room {
        whole.pop();
    }
    whole
}

fn cell(tone: Tone, text: &str) -> Cell {
    let cell = Cell::new(harmless(text));
    match tone {
        Tone::Plain => cell,
        Tone::Good => cell.fg(Color::Green),
        Tone::Warn => cell.fg(Color::Yellow),
        Tone::Bad => cell.fg(Color::Red),
        Tone::Dim => cell.add_attribute(Attribute::Dim),
        Tone::Strong => cell.add_attribute(Attribute::Bold),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(width: Option<u16>) -> String {
        let style = Style {
            colour: false,
            width,
        };
        let row = |texts: [&str; 4]| texts.map(|text| (Tone::Plain, text.to_owned())).to_vec();
        style.table(
            &["ID", "CLASS", "STATE", "ACTION"],
            vec![
                row([
                    "inc-1daa954fe830",
                    "ImagePullFailure",
                    "waiting for a person",
                    "(rollback:demo/web:revision 3 of 4, which was good for ten minutes)",
                ]),
                row(["inc-2", "OomKilled", "fixed", ""]),
            ],
        )
    }

    #[test]
    fn off_a_terminal_nothing_is_wrapped() {
        let whole = table(None);
        assert_eq!(whole.lines().count(), 3);
        assert_eq!(table(Some(200)), whole);
    }

    #[test]
    fn the_last_column_is_wrapped_where_it_has_room() {
        let text = table(Some(100));
        assert!(
            text.contains("3 of 4, which\n") && text.contains("  was good for ten minutes)\n"),
            "{text}"
        );
        assert!(text.lines().all(|line| line.chars().count() <= 100));
    }

    #[test]
    fn columns_without_room_go_below_their_row() {
        assert_eq!(
            table(Some(60)),
            "ID                CLASS             STATE\n    \
             ACTION\n\
             inc-1daa954fe830  ImagePullFailure  waiting for a person\n    \
             (rollback:demo/web:revision 3 of 4, which was good for\n    \
             ten minutes)\n\
             inc-2             OomKilled         fixed\n"
        );
        let narrow = table(Some(40));
        assert!(
            narrow.ends_with("inc-2             OomKilled\n    fixed\n"),
            "{narrow}"
        );
    }

    #[test]
    fn no_word_is_broken_however_narrow_the_terminal_is() {
        for width in 1..120 {
            let text = table(Some(width));
            for word in [
                "inc-1daa954fe830",
                "ImagePullFailure",
                "(rollback:demo/web:revision",
            ] {
                assert!(text.contains(word), "{width}: {text}");
            }
        }
    }
}
