//! The names of servers.

/// Reads a `server_id` from the command line.
///
/// # Errors
/// The endpoint would reject it.
pub fn parse(text: &str) -> Result<String, String> {
    let is_fit = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    if (1..=100).contains(&text.len()) && text.bytes().all(is_fit) {
        Ok(text.to_owned())
    } else {
        Err("a server's id has 1 to 100 characters out of a-z, 0-9 and -".to_owned())
    }
}

/// A host name as a `server_id`: what does not fit becomes a dash.
pub fn from_hostname(hostname: &str) -> String {
    let fitting = |character: char| match character.to_ascii_lowercase() {
        fit @ ('a'..='z' | '0'..='9') => fit,
        _ => '-',
    };
    let id: String = hostname.chars().map(fitting).take(100).collect();
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
