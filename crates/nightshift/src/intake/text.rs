//! Foreign text is data: bounded, printable and redacted before anything keeps it.

/// Bounds and redacts text from outside.
///
/// Control characters (a terminal would obey them) and direction overrides (a reader would be
/// misled by them) become `U+FFFD`; at most `limit` characters are kept, the last one `…` when
/// something was cut. Redaction comes before the cut, so that no half of a secret survives it.
pub(super) fn clean(text: &str, limit: usize) -> String {
    let printable: String = text
        .chars()
        .take(limit.saturating_mul(4)) // bounds the work of redaction, not the result
        .map(|c| if is_harmful(c) { '\u{fffd}' } else { c })
        .collect();
    let redacted = nightshift_core::redact::text(&printable);
    if redacted.chars().nth(limit).is_none() {
        return redacted;
    }
    let mut cut: String = redacted.chars().take(limit.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

fn is_harmful(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn short_text_stays_as_it_is() {
        assert_eq!(clean("Pod restarts\noften", 40), "Pod restarts\noften");
    }

    #[test]
    fn long_text_is_cut_at_a_character() {
        assert_eq!(clean("ääääää", 4), "äää…");
        assert_eq!(clean("ääää", 4), "ääää");
    }

    #[test]
    fn terminal_sequences_and_direction_overrides_lose_their_effect() {
        assert_eq!(
            clean("\u{1b}[2Jgone\u{202e}txt", 40),
            "\u{fffd}[2Jgone\u{fffd}txt"
        );
    }

    #[test]
    fn a_secret_is_redacted_before_the_cut() {
        let text = "password=hunter2hunter2hunter2 and more";
        assert!(!clean(text, 15).contains("hunter2"));
    }
}
