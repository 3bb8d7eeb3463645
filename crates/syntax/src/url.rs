//! URLs of settings and commands.

use http::Uri;
use std::net::IpAddr;

/// Why text is no URL that can be used. It never contains the text, which may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    #[error("it has no valid URL")]
    Form,
    #[error("it is not an https URL")]
    Scheme,
    #[error("http is for this machine only: it must be https")]
    Insecure,
}

/// Reads an `http` or `https` URL.
///
/// # Errors
/// If it is none, has no host, or has a port that is none.
pub fn parse(text: &str) -> Result<Uri, InvalidUrl> {
    let url: Uri = text.parse().map_err(|_| InvalidUrl::Form)?;
    let authority = url.authority().ok_or(InvalidUrl::Form)?;
    let (_, address) = authority.as_str().rsplit_once('@').unwrap_or(("", authority.as_str()));
    if authority.host().is_empty()
        || (authority.port_u16().is_none() && address != authority.host())
    {
        return Err(InvalidUrl::Form);
    }
    match url.scheme_str() {
        Some("http" | "https") => Ok(url),
        _ => Err(InvalidUrl::Scheme),
    }
}

/// Reads the URL of somebody to whom a secret goes, or that is one: `https`, or `http` on this machine.
///
/// # Errors
/// If it is none, or others could listen.
pub fn parse_private(text: &str) -> Result<Uri, InvalidUrl> {
    let url = parse(text)?;
    let is_private = url.scheme_str() == Some("https") || url.host().is_some_and(is_loopback);
    if is_private { Ok(url) } else { Err(InvalidUrl::Insecure) }
}

/// Whether a host is this machine.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || address(host).is_some_and(|address| address.is_loopback())
}

/// The address that a host is, in brackets or not.
#[must_use]
pub fn address(host: &str) -> Option<IpAddr> {
    let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    inside.unwrap_or(host).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_private_over_https_or_on_this_machine() {
        use InvalidUrl::{Form, Insecure, Scheme};
        for (url, expected, private) in [
            ("https://example.com/x", Ok(()), Ok(())),
            ("https://me:p%40ss@example.com:8443/", Ok(()), Ok(())),
            ("http://127.1.2.3:9/x", Ok(()), Ok(())),
            ("http://[::1]:9", Ok(()), Ok(())),
            ("http://LOCALHOST", Ok(()), Ok(())),
            ("http://example.com", Ok(()), Err(Insecure)),
            ("http://me@localhost.example.com", Ok(()), Err(Insecure)),
            ("http://127.0.0.1.nip.io", Ok(()), Err(Insecure)),
            ("ftp://example.com", Err(Scheme), Err(Scheme)),
            ("example.com", Err(Scheme), Err(Scheme)),
            ("/x", Err(Form), Err(Form)),
            ("https:///x", Err(Form), Err(Form)),
            ("https://a b/", Err(Form), Err(Form)),
            ("https://host:x/", Err(Form), Err(Form)),
            ("https://host:65536/", Err(Form), Err(Form)),
            ("https://me@host:65536/", Err(Form), Err(Form)),
        ] {
            assert_eq!(parse(url).map(drop), expected, "{url}");
            assert_eq!(parse_private(url).map(drop), private, "{url}");
        }
    }
}
