//! Text from outside, as a terminal and a log may show it.

/// Replaces each character that a terminal executes, hides or uses to reorder others.
pub fn printable(text: &str) -> String {
    let is_unsafe = |character: char| {
        character.is_control()
            || matches!(
                character,
                '\u{61c}'
                    | '\u{200b}'..='\u{200f}'
                    | '\u{2028}'..='\u{202e}'
                    | '\u{2060}'..='\u{2069}'
                    | '\u{feff}'
            )
    };
    text.replace(is_unsafe, "\u{fffd}")
}
