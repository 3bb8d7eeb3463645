//! Text from outside, as people may see it in a terminal, a log, an email or a chat.

/// Whether a character is what it seems: not one that is executed, hidden or used to reorder others.
#[must_use]
pub fn is_printable(character: char) -> bool {
    !character.is_control()
        && !matches!(
            character,
            '\u{61c}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{2069}'
                | '\u{feff}'
                // Tags, with which text can be hidden.
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// Replaces each character that is not printable.
#[must_use]
pub fn printable(text: &str) -> String {
    text.replace(|character| !is_printable(character), "\u{fffd}")
}

/// JSON that means the same, in which each character of a string that is not printable is escaped.
#[must_use]
pub fn printable_json(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for character in json.chars() {
        // In JSON, a character below a space only separates tokens.
        if character < ' ' || is_printable(character) {
            safe.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                safe.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_are_not_printable_are_replaced_and_no_others() {
        let unsafe_characters = "\0\n\u{1b}\u{7f}\u{9b}\u{61c}\u{200b}\u{200f}\u{2028}\u{202e}\u{2060}\u{2069}\u{feff}\u{e0001}\u{e0041}\u{e007f}";
        let expected = "\u{fffd}".repeat(unsafe_characters.chars().count());
        assert_eq!(printable(unsafe_characters), expected);
        let safe_characters = " Az~é\u{61b}\u{200a}\u{2010}\u{202f}\u{206a}漢";
        assert_eq!(printable(safe_characters), safe_characters);
    }

    #[test]
    fn json_means_the_same_when_it_is_printable() {
        let json = "[\"\\u001b\u{7f}\u{9b}\u{202e}\u{e0001}é\\n\",\n  1]";
        let expected = r#"["\u001b\u007f\u009b\u202e\udb40\udc01é\n","#.to_owned() + "\n  1]";
        assert_eq!(printable_json(json), expected);
    }
}
