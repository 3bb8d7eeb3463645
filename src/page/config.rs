//! The settings of the page.

use crate::aws::AwsConfig;
use crate::settings::{InvalidSetting, Settings};
use chrono::TimeDelta;
use std::fmt;

/// The settings of the function `page`.
#[derive(Debug)]
pub struct Config {
    /// `PAGE_PASSWORD_SHA256`: the digest of the password.
    pub password: PasswordDigest,
    /// `SERVERS_TABLE`: the table of servers.
    pub servers_table: String,
    /// `METRICS_TABLE`: the table of metrics.
    pub metrics_table: String,
    /// `PAGE_MAY` (default `look`): what whoever has signed in with the form may do.
    pub may: May,
    /// `METRICS_RETENTION_DAYS` (default 30): how long it is recorded that a server was silenced.
    pub retention: TimeDelta,
    /// How to reach DynamoDB.
    pub aws: AwsConfig,
}

/// What whoever has signed in with the form may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum May {
    /// See everything.
    Look,
    /// Silence servers, too.
    Silence,
}

/// The SHA-256 digest of the password. It also signs sessions, so whoever has it can make one.
#[derive(Clone)]
pub struct PasswordDigest(pub [u8; 32]);

impl fmt::Debug for PasswordDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl Config {
    /// Reads every setting.
    ///
    /// # Errors
    /// Returns the first setting that is missing or invalid.
    pub fn from_variables(
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, InvalidSetting> {
        const PASSWORD: &str = "PAGE_PASSWORD_SHA256";
        let settings = Settings(&variable);
        let digest = settings.required(PASSWORD)?;
        let mut password = [0; 32];
        hex::decode_to_slice(digest, &mut password)
            .map_err(|_| InvalidSetting::new(PASSWORD, "it is not 64 hex digits"))?;
        Ok(Self {
            password: PasswordDigest(password),
            servers_table: settings.required("SERVERS_TABLE")?,
            metrics_table: settings.required("METRICS_TABLE")?,
            may: match settings.optional("PAGE_MAY").as_deref() {
                None | Some("look") => May::Look,
                Some("silence") => May::Silence,
                Some(_) => {
                    return Err(InvalidSetting::new("PAGE_MAY", "it is not look or silence"));
                }
            },
            retention: TimeDelta::days(settings.positive("METRICS_RETENTION_DAYS", 30)?.into()),
            aws: AwsConfig::from_variables(&variable)?,
        })
    }
}
