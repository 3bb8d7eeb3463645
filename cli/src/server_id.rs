//! The names of servers.

/// Reads a `server_id` from the command line.
///
/// # Errors
/// If the endpoint would reject it.
pub fn parse(text: &str) -> Result<String, String> {
    let is_valid = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    if (1..=100).contains(&text.len()) && text.bytes().all(is_valid) {
        Ok(text.to_owned())
    } else {
        Err("a server id has 1 to 100 characters from a-z, 0-9 and -".to_owned())
    }
}

/// Turns a host name into a `server_id`: each invalid character becomes a dash.
pub fn from_hostname(hostname: &str) -> String {
    let valid = |character: char| match character.to_ascii_lowercase() {
        character @ ('a'..='z' | '0'..='9') => character,
        _ => '-',
    };
    let id: String = hostname.chars().map(valid).take(100).collect();
    if id.is_empty() { "unnamed".into() } else { id }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_what_the_endpoint_accepts() {
        let long = "x".repeat(101);
        for (text, is_valid) in [
            ("web-1", true),
            (&long[1..], true),
            (&long, false),
            ("", false),
            ("Web", false),
            ("web 1", false),
        ] {
            assert_eq!(parse(text).is_ok(), is_valid, "{text:?}");
            assert!(parse(&from_hostname(text)).is_ok(), "{text:?}");
        }
        assert_eq!(from_hostname("NAS.example"), "nas-example");
    }
}
