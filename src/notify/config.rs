//! The settings of `notify`, with their errors, which never contain a URL: whoever knows it can post.

use super::service::{SERVICES, Service};
use crate::aws::AwsConfig;
use crate::settings::{InvalidSetting, Settings};
use crate::webhook::Address;
use std::fmt;
use syntax::url::InvalidUrl;
use tables::server::webhook_name;
use tables::{Group, Zone};

/// The settings of `notify`.
#[derive(Debug)]
pub struct Config {
    /// `WEBHOOK_URLS`: where messages go, as `<format>:<URL>` or `<format>@<group>:<URL>`, separated by spaces.
    pub webhooks: Vec<Webhook>,
    /// `PAGE_URL` (optional): where the page is, to which announcements link.
    pub page_url: Option<String>,
    /// `TIME_ZONE` (default `UTC`): the zone of every time in words.
    pub zone: Zone,
    /// Where it is written whether messages arrive.
    pub ledger: Option<LedgerConfig>,
}

/// The table of servers, and how to reach it.
#[derive(Debug)]
pub struct LedgerConfig {
    /// `SERVERS_TABLE` (optional).
    pub servers_table: String,
    /// Read only with a table.
    pub aws: AwsConfig,
}

/// Where messages go.
pub struct Webhook {
    pub service: &'static Service,
    /// Only what is said of its servers goes there.
    pub group: Option<Group>,
    pub address: Address,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:…", self.name())
    }
}

/// Why an entry cannot be used.
#[derive(Debug, thiserror::Error)]
enum InvalidEntry {
    #[error("it does not start with one of {}", prefixes())]
    Format,
    #[error("{0}")]
    Group(&'static str),
    #[error(transparent)]
    Url(#[from] InvalidUrl),
    #[error("{0}")]
    Service(&'static str),
}

impl Webhook {
    /// How its entry begins: `slack`, or `slack@db`.
    #[must_use]
    pub fn name(&self) -> String {
        webhook_name(self.service.name, self.group.as_ref())
    }
}

impl Config {
    /// Reads every setting.
    ///
    /// # Errors
    /// If `WEBHOOK_URLS` is missing, or one of its entries cannot be used, whose position the error names; or if another setting is
    /// invalid.
    pub fn from_variables(
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, InvalidSetting> {
        const NAME: &str = "WEBHOOK_URLS";
        let settings = Settings(&variable);
        let setting = settings.required(NAME)?;
        let entries = setting.split_ascii_whitespace().enumerate();
        let parsed = entries.map(|(index, entry)| {
            let invalid = |reason| format!("entry {}: {reason}", index + 1);
            parse(entry).map_err(|reason| InvalidSetting::new(NAME, invalid(reason)))
        });
        let webhooks: Vec<_> = parsed.collect::<Result<_, _>>()?;
        if webhooks.is_empty() {
            return Err(InvalidSetting::new(NAME, "it is not set"));
        }
        let servers_table = settings.optional("SERVERS_TABLE");
        let ledger = servers_table.map(|servers_table| {
            let aws = AwsConfig::from_variables(&variable)?;
            Ok(LedgerConfig { servers_table, aws })
        });
        Ok(Self {
            webhooks,
            page_url: settings.page_url()?,
            zone: settings.time_zone()?,
            ledger: ledger.transpose()?,
        })
    }
}

fn parse(entry: &str) -> Result<Webhook, InvalidEntry> {
    let (name, url) = entry.split_once(':').ok_or(InvalidEntry::Format)?;
    let (format, group) = match name.split_once('@') {
        Some((format, group)) => (format, Some(group)),
        None => (name, None),
    };
    let service = SERVICES.into_iter().find(|known| known.name == format);
    let service = service.ok_or(InvalidEntry::Format)?;
    let group = group.map(|group| group.parse().map_err(InvalidEntry::Group)).transpose()?;
    let address = Address::parse(url)?;
    (service.check)(&address.url).map_err(InvalidEntry::Service)?;
    Ok(Webhook { service, group, address })
}

fn prefixes() -> String {
    SERVICES.map(|service| format!("{}:", service.name)).join(", ")
}
