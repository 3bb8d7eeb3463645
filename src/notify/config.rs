//! The settings of `notify`, with their errors, which never contain a URL: whoever knows it can post.

use super::service::{SERVICES, Service};
use crate::settings::{InvalidSetting, Settings};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lambda_http::http::{HeaderValue, Uri};
use percent_encoding::percent_decode_str;
use std::fmt;
use std::net::IpAddr;

/// The settings of `notify`.
#[derive(Debug)]
pub struct Config {
    /// `WEBHOOK_URLS`: where messages go, as `<format>:<URL>`, separated by spaces.
    pub webhooks: Vec<Webhook>,
}

/// Where messages go.
pub struct Webhook {
    pub service: &'static Service,
    pub url: Uri,
    /// The `Authorization` header, if the URL has a user name.
    pub authorization: Option<HeaderValue>,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:…", self.service.name)
    }
}

/// Why an entry cannot be used.
#[derive(Debug, thiserror::Error)]
enum InvalidEntry {
    #[error("it does not start with one of {}", prefixes())]
    Format,
    #[error("it has no valid URL")]
    Url,
    #[error("it is not an https URL")]
    Scheme,
    #[error("http is for this machine only: it must be https")]
    Http,
    #[error("{0}")]
    Service(&'static str),
}

impl Config {
    /// Reads every setting.
    ///
    /// # Errors
    /// If `WEBHOOK_URLS` is missing, or one of its entries cannot be used. The error names its position.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, InvalidSetting> {
        const NAME: &str = "WEBHOOK_URLS";
        let setting = Settings(variable).required(NAME)?;
        let entries = setting.split_ascii_whitespace().enumerate();
        let parsed = entries.map(|(index, entry)| {
            let invalid = |reason| format!("entry {}: {reason}", index + 1);
            parse(entry).map_err(|reason| InvalidSetting::new(NAME, invalid(reason)))
        });
        let webhooks: Vec<_> = parsed.collect::<Result<_, _>>()?;
        if webhooks.is_empty() {
            return Err(InvalidSetting::new(NAME, "it is not set"));
        }
        Ok(Self { webhooks })
    }
}

fn parse(entry: &str) -> Result<Webhook, InvalidEntry> {
    let (format, text) = entry.split_once(':').ok_or(InvalidEntry::Format)?;
    let service = SERVICES
        .into_iter()
        .find(|known| known.name == format)
        .ok_or(InvalidEntry::Format)?;
    let url: Uri = text.parse().map_err(|_| InvalidEntry::Url)?;
    let authority = url.authority().ok_or(InvalidEntry::Url)?;
    let host = authority.host();
    let (user, address) = match authority.as_str().rsplit_once('@') {
        Some((user, address)) => (Some(user), address),
        None => (None, authority.as_str()),
    };
    // A host with a port that is none is no host.
    if host.is_empty() || (authority.port_u16().is_none() && address != host) {
        return Err(InvalidEntry::Url);
    }
    match url.scheme_str() {
        Some("https") => {}
        Some("http") if is_loopback(host) => {}
        Some("http") => return Err(InvalidEntry::Http),
        _ => return Err(InvalidEntry::Scheme),
    }
    (service.check)(&url).map_err(InvalidEntry::Service)?;
    Ok(Webhook {
        service,
        authorization: user.map(basic).transpose()?,
        url,
    })
}

fn basic(user: &str) -> Result<HeaderValue, InvalidEntry> {
    let decoded: Vec<u8> = percent_decode_str(user).collect();
    let header = format!("Basic {}", STANDARD.encode(decoded));
    HeaderValue::try_from(header).map_err(|_| InvalidEntry::Url)
}

fn prefixes() -> String {
    SERVICES
        .map(|service| format!("{}:", service.name))
        .join(", ")
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || address
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
}
