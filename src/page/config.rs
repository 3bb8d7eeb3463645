//! The settings of the page.

use crate::aws::AwsConfig;
use crate::settings::{InvalidSetting, Settings};
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
    /// How to reach DynamoDB.
    pub aws: AwsConfig,
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
            aws: AwsConfig::from_variables(&variable)?,
        })
    }
}
