//! The settings of `notify`, with their errors, which never contain a URL: whoever knows it can post.

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
    pub format: Format,
    pub url: Uri,
    /// The `Authorization` header, if the URL has a user name.
    pub authorization: Option<HeaderValue>,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:…", self.format.name())
    }
}

/// What a webhook understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Slack's incoming webhooks, which Mattermost and Rocket.Chat understand, too.
    Slack,
    Discord,
    /// A bot's `sendMessage`, with `chat_id` in the query.
    Telegram,
    /// The URL of a topic.
    Ntfy,
    /// The message for programs, as it is.
    Json,
}

impl Format {
    const ALL: [Self; 5] = [
        Self::Slack,
        Self::Discord,
        Self::Telegram,
        Self::Ntfy,
        Self::Json,
    ];

    /// Its name in `WEBHOOK_URLS`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Slack => "slack",
            Self::Discord => "discord",
            Self::Telegram => "telegram",
            Self::Ntfy => "ntfy",
            Self::Json => "json",
        }
    }
}

impl Config {
    /// Reads every setting.
    ///
    /// # Errors
    /// If `WEBHOOK_URLS` is missing, or one of its entries cannot be used. The error names its position.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, InvalidSetting> {
        const NAME: &str = "WEBHOOK_URLS";
        let entries = Settings(variable).required(NAME)?;
        let entries = entries.split_ascii_whitespace().enumerate();
        let webhooks = entries.map(|(index, entry)| {
            parse(entry).map_err(|reason| {
                InvalidSetting::new(NAME, format!("entry {}: {reason}", index + 1))
            })
        });
        let webhooks = webhooks.collect::<Result<Vec<_>, _>>()?;
        if webhooks.is_empty() {
            return Err(InvalidSetting::new(NAME, "it is not set"));
        }
        Ok(Self { webhooks })
    }
}

fn parse(entry: &str) -> Result<Webhook, &'static str> {
    let formats = "it does not start with slack:, discord:, telegram:, ntfy: or json:";
    let (format, url) = entry.split_once(':').ok_or(formats)?;
    let format = Format::ALL
        .into_iter()
        .find(|known| known.name() == format)
        .ok_or(formats)?;
    let url: Uri = url.parse().map_err(|_| "it has no valid URL")?;
    let authority = url.authority().ok_or("it has no valid URL")?;
    let host = authority.host();
    let (user, address) = match authority.as_str().rsplit_once('@') {
        Some((user, address)) => (Some(user), address),
        None => (None, authority.as_str()),
    };
    // A host with a port that is none is no host.
    if host.is_empty() || (authority.port_u16().is_none() && address != host) {
        return Err("it has no valid URL");
    }
    match url.scheme_str() {
        Some("https") => {}
        Some("http") if is_loopback(host) => {}
        Some("http") => return Err("http is for this machine only: it must be https"),
        _ => return Err("it is not an https URL"),
    }
    let has_topic = !url.path().trim_matches('/').is_empty();
    let has_chat = || {
        url.query()
            .is_some_and(|query| query.split('&').any(is_chat))
    };
    match format {
        Format::Ntfy if !has_topic => return Err("it names no topic of ntfy"),
        Format::Telegram if !url.path().ends_with("/sendMessage") => {
            return Err("it is not the URL of a Telegram bot's sendMessage");
        }
        Format::Telegram if !has_chat() => return Err("it has no chat_id in its query"),
        _ => {}
    }
    let authorization = user.map(|user| {
        let user: Vec<u8> = percent_decode_str(user).collect();
        let header = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(user)));
        header.map_err(|_| "it has no valid URL")
    });
    Ok(Webhook {
        format,
        authorization: authorization.transpose()?,
        url,
    })
}

fn is_chat(parameter: &str) -> bool {
    parameter
        .strip_prefix("chat_id=")
        .is_some_and(|chat| !chat.is_empty())
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || address
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
}
