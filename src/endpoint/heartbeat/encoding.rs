//! The character encoding of a body: UTF-8, or what a byte-order mark says, as in Python's `json.loads`.

use serde::de::Error as _;
use std::borrow::Cow;

/// Returns the body as text, without its byte-order mark.
///
/// # Errors
/// If the body is not in the encoding that it claims.
pub fn decode(body: &[u8]) -> Result<Cow<'_, str>, serde_json::Error> {
    match body {
        [0xFE, 0xFF, text @ ..] => from_utf16(text, u16::from_be_bytes),
        [0xFF, 0xFE, text @ ..] => from_utf16(text, u16::from_le_bytes),
        [0xEF, 0xBB, 0xBF, text @ ..] | text => {
            str::from_utf8(text).map(Cow::Borrowed).map_err(serde_json::Error::custom)
        }
    }
}

fn from_utf16(
    text: &[u8],
    unit: impl Fn([u8; 2]) -> u16,
) -> Result<Cow<'_, str>, serde_json::Error> {
    let (pairs, rest) = text.as_chunks();
    if !rest.is_empty() {
        return Err(serde_json::Error::custom("an odd number of bytes in UTF-16"));
    }
    let units = pairs.iter().map(|pair| unit(*pair));
    let decoded: Result<String, _> = char::decode_utf16(units).collect();
    decoded.map(Cow::Owned).map_err(|_| serde_json::Error::custom("a lone surrogate in UTF-16"))
}
