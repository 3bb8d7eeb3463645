//! The character encoding of a body: UTF-8, or what a byte-order mark says, as in Python's `json.loads`.

use std::borrow::Cow;

/// Returns the body in UTF-8, without its byte-order mark.
///
/// # Errors
/// If a body that claims to be UTF-16 is not.
pub fn decode(body: &[u8]) -> Result<Cow<'_, [u8]>, String> {
    match body {
        [0xEF, 0xBB, 0xBF, text @ ..] => Ok(text.into()),
        [0xFE, 0xFF, text @ ..] => from_utf16(text, u16::from_be_bytes),
        [0xFF, 0xFE, text @ ..] => from_utf16(text, u16::from_le_bytes),
        text => Ok(text.into()),
    }
}

fn from_utf16(text: &[u8], unit: impl Fn([u8; 2]) -> u16) -> Result<Cow<'_, [u8]>, String> {
    let (pairs, rest) = text.as_chunks();
    if !rest.is_empty() {
        return Err("an odd number of bytes in UTF-16".to_owned());
    }
    let units = pairs.iter().map(|pair| unit(*pair));
    let decoded: Result<String, _> = char::decode_utf16(units).collect();
    let decoded = decoded.map_err(|_| "a lone surrogate in UTF-16")?;
    Ok(decoded.into_bytes().into())
}
