//! The settings of the endpoint, with their units, defaults and errors.

use super::auth::EnvironmentKeys;
use crate::aws::AwsConfig;
use crate::settings::{InvalidSetting, Settings};
use chrono::TimeDelta;

/// The settings of the heartbeat function.
#[derive(Debug)]
pub struct Config {
    /// `API_KEY_SHA256` (optional with `KEYS_TABLE`): SHA-256 digests of accepted keys, see [`EnvironmentKeys::parse`].
    pub keys: EnvironmentKeys,
    /// The table of additional keys, if there is one.
    pub keys_table: Option<KeysTableConfig>,
    /// `SERVERS_TABLE`: the table of servers.
    pub servers_table: String,
    /// `METRICS_TABLE`: the table of metrics.
    pub metrics_table: String,
    /// `METRICS_RETENTION_DAYS` (default 30): how long metrics are kept, days.
    pub retention: TimeDelta,
    /// How to reach DynamoDB.
    pub aws: AwsConfig,
}

/// A table of keys.
#[derive(Debug)]
pub struct KeysTableConfig {
    /// `KEYS_TABLE`: its name.
    pub name: String,
    /// `KEY_CACHE_SECONDS` (default 300): how long an accepted key is cached, seconds.
    pub cache_for: TimeDelta,
}

impl Config {
    /// Reads every setting from a source of variables: [`environment`](crate::settings::environment), or a map in a test.
    ///
    /// # Errors
    /// Returns the first setting that is missing or invalid.
    pub fn from_variables(
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, InvalidSetting> {
        let settings = Settings(&variable);
        let keys_table = settings.optional("KEYS_TABLE");
        let keys = match settings.optional("API_KEY_SHA256") {
            Some(digests) => EnvironmentKeys::parse(&digests)
                .map_err(|error| InvalidSetting::new("API_KEY_SHA256", error))?,
            None if keys_table.is_some() => EnvironmentKeys::default(),
            None => {
                let reason = "it is not set, and neither is KEYS_TABLE";
                return Err(InvalidSetting::new("API_KEY_SHA256", reason));
            }
        };
        let cache_seconds = settings.positive("KEY_CACHE_SECONDS", 300)?;
        Ok(Self {
            keys,
            keys_table: keys_table.map(|name| KeysTableConfig {
                name,
                cache_for: TimeDelta::seconds(cache_seconds.into()),
            }),
            servers_table: settings.required("SERVERS_TABLE")?,
            metrics_table: settings.required("METRICS_TABLE")?,
            retention: TimeDelta::days(settings.positive("METRICS_RETENTION_DAYS", 30)?.into()),
            aws: AwsConfig::from_variables(&variable)?,
        })
    }
}
