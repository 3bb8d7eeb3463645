//! The only reader of the environment: every setting with its unit, default and errors.

use crate::auth::Keys;
use aws_sdk_dynamodb::config::Credentials;
use chrono::TimeDelta;
use lambda_http::http::Uri;
use std::fmt;
use std::time::Duration;
use tracing::Level;

/// The value of an environment variable: the source of all settings outside tests.
#[must_use]
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The settings of the heartbeat function.
pub struct Config {
    /// `API_KEY_SHA256` (optional with `KEYS_TABLE`): SHA-256 digests of accepted keys, see [`Keys::parse`].
    pub keys: Keys,
    /// The table of additional keys, if there is one.
    pub keys_table: Option<KeysTableConfig>,
    /// `SERVERS_TABLE`: the table of servers.
    pub servers_table: String,
    /// `METRICS_TABLE`: the table of metrics.
    pub metrics_table: String,
    /// `METRICS_RETENTION_DAYS` (default 30): how long metrics are kept, days.
    pub retention: TimeDelta,
    /// How to reach DynamoDB.
    pub client: ClientConfig,
}

/// A table of keys.
pub struct KeysTableConfig {
    /// `KEYS_TABLE`: its name.
    pub name: String,
    /// `KEY_CACHE_SECONDS` (default 300): how long an accepted key is cached, seconds.
    pub cache_for: TimeDelta,
}

/// How to reach AWS, and its timeouts.
pub struct ClientConfig {
    /// `AWS_REGION`; Lambda sets it.
    pub region: String,
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`; Lambda sets them.
    pub credentials: Credentials,
    /// `AWS_ENDPOINT_URL_DYNAMODB`: a DynamoDB endpoint other than the region's.
    pub endpoint_url: Option<String>,
    /// `AWS_CA_BUNDLE`: a PEM file with the roots to trust instead of Amazon's.
    pub ca_bundle: Option<String>,
    /// `CONNECT_TIMEOUT_MS` (default 1000): the time limit for opening a connection: DNS, TCP and TLS,
    /// all addresses of the host together.
    pub connect_timeout: Duration,
    /// `ATTEMPT_TIMEOUT_MS` (default 1500): the time limit for one attempt of a call.
    pub attempt_timeout: Duration,
    /// `OPERATION_TIMEOUT_MS` (default 5000): the time limit for a call with all its attempts.
    pub operation_timeout: Duration,
    /// `IDLE_TIMEOUT_MS` (default 45000): how long an unused connection is kept. It is closed before the
    /// network drops it.
    pub idle_timeout: Duration,
}

impl Config {
    /// Reads every setting from a source of variables: [`environment`], or a map in a test.
    ///
    /// # Errors
    /// Returns the first setting that is missing or invalid.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let source = Source(&variable);
        let keys_table = source.optional("KEYS_TABLE");
        let keys = match source.optional("API_KEY_SHA256") {
            Some(digests) => {
                Keys::parse(&digests).map_err(|error| ConfigError::new("API_KEY_SHA256", error))?
            }
            None if keys_table.is_some() => Keys::default(),
            None => {
                let reason = "it is not set, and neither is KEYS_TABLE";
                return Err(ConfigError::new("API_KEY_SHA256", reason));
            }
        };
        let cache_seconds = source.positive("KEY_CACHE_SECONDS", 300)?;
        Ok(Self {
            keys,
            keys_table: keys_table.map(|name| KeysTableConfig {
                name,
                cache_for: TimeDelta::seconds(cache_seconds.into()),
            }),
            servers_table: source.required("SERVERS_TABLE")?,
            metrics_table: source.required("METRICS_TABLE")?,
            retention: TimeDelta::days(source.positive("METRICS_RETENTION_DAYS", 30)?.into()),
            client: ClientConfig::read(&variable)?,
        })
    }
}

/// The settings of the watchdog.
pub struct WatchdogConfig {
    /// `SERVERS_TABLE`: the table of servers.
    pub servers_table: String,
    /// `ALERT_TOPIC_ARN` (optional): the SNS topic for announcements.
    pub topic_arn: Option<String>,
    /// `OFFLINE_AFTER_SECONDS` (default 180) and `HOLD_SECONDS` (default: the larger of 600 and twice
    /// `OFFLINE_AFTER_SECONDS`; 0 switches the rule off), seconds.
    pub rules: Rules,
    /// `AWS_ENDPOINT_URL_SNS`: an SNS endpoint other than the region's.
    pub sns_endpoint_url: Option<String>,
    /// How to reach AWS.
    pub client: ClientConfig,
}

/// When a server counts as offline.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// A server is late if it has been silent for longer than this, and overdue after half of it.
    pub offline_after: TimeDelta,
    /// In a mass silence, a late server is judged once it has been silent for this long. Zero switches the
    /// rule off.
    pub hold: TimeDelta,
}

impl WatchdogConfig {
    /// Reads every setting of the watchdog.
    ///
    /// # Errors
    /// Returns the first setting that is missing or invalid.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let source = Source(&variable);
        let topic_arn = source.optional("ALERT_TOPIC_ARN");
        if topic_arn.as_ref().is_some_and(|arn| !is_topic(arn)) {
            let reason = "it is not the ARN of an SNS topic";
            return Err(ConfigError::new("ALERT_TOPIC_ARN", reason));
        }
        let offline_after = source.positive("OFFLINE_AFTER_SECONDS", 180)?;
        let hold = match source.optional("HOLD_SECONDS") {
            None => 600.max(i64::from(offline_after) * 2),
            Some(seconds) => seconds
                .parse::<u32>()
                .map_err(|_| ConfigError::new("HOLD_SECONDS", "it is not a whole number"))?
                .into(),
        };
        Ok(Self {
            servers_table: source.required("SERVERS_TABLE")?,
            topic_arn,
            rules: Rules {
                offline_after: TimeDelta::seconds(offline_after.into()),
                hold: TimeDelta::seconds(hold),
            },
            sns_endpoint_url: source.url("AWS_ENDPOINT_URL_SNS")?,
            client: ClientConfig::read(&variable)?,
        })
    }
}

/// `arn:<partition>:sns:<region>:<account>:<name>`
fn is_topic(arn: &str) -> bool {
    let parts: Vec<_> = arn.split(':').collect();
    parts.len() == 6
        && parts[0] == "arn"
        && parts[2] == "sns"
        && parts.iter().all(|part| !part.is_empty())
}

/// Reads `AWS_LAMBDA_LOG_LEVEL` (default INFO): the lowest level that is logged. Lambda sets it to one of
/// its six levels. `tracing` has no FATAL, which is read as ERROR.
///
/// # Errors
/// If it is not one of Lambda's levels.
pub fn log_level(variable: impl Fn(&str) -> Option<String>) -> Result<Level, ConfigError> {
    const NAME: &str = "AWS_LAMBDA_LOG_LEVEL";
    let Some(level) = Source(variable).optional(NAME) else {
        return Ok(Level::INFO);
    };
    match level.to_ascii_uppercase().as_str() {
        "TRACE" => Ok(Level::TRACE),
        "DEBUG" => Ok(Level::DEBUG),
        "INFO" => Ok(Level::INFO),
        "WARN" => Ok(Level::WARN),
        "ERROR" | "FATAL" => Ok(Level::ERROR),
        _ => Err(ConfigError::new(
            NAME,
            "it is not TRACE, DEBUG, INFO, WARN, ERROR or FATAL",
        )),
    }
}

impl ClientConfig {
    /// Reads only these settings.
    ///
    /// # Errors
    /// Returns the first setting that is missing or invalid.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let source = Source(variable);
        let client = Self {
            region: source.required("AWS_REGION")?,
            credentials: Credentials::new(
                source.required("AWS_ACCESS_KEY_ID")?,
                source.required("AWS_SECRET_ACCESS_KEY")?,
                source.optional("AWS_SESSION_TOKEN"),
                None,
                "environment",
            ),
            endpoint_url: source.url("AWS_ENDPOINT_URL_DYNAMODB")?,
            ca_bundle: source.optional("AWS_CA_BUNDLE"),
            connect_timeout: source.millis("CONNECT_TIMEOUT_MS", 1_000)?,
            attempt_timeout: source.millis("ATTEMPT_TIMEOUT_MS", 1_500)?,
            operation_timeout: source.millis("OPERATION_TIMEOUT_MS", 5_000)?,
            idle_timeout: source.millis("IDLE_TIMEOUT_MS", 45_000)?,
        };
        if client.connect_timeout > client.attempt_timeout {
            return Err(ConfigError::new(
                "CONNECT_TIMEOUT_MS",
                "it is above ATTEMPT_TIMEOUT_MS",
            ));
        }
        if client.attempt_timeout >= client.operation_timeout {
            return Err(ConfigError::new(
                "ATTEMPT_TIMEOUT_MS",
                "it is not below OPERATION_TIMEOUT_MS",
            ));
        }
        Ok(client)
    }
}

struct Source<F>(F);

impl<F: Fn(&str) -> Option<String>> Source<F> {
    /// The value of a variable, if it is set and not empty.
    fn optional(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    fn required(&self, name: &'static str) -> Result<String, ConfigError> {
        self.optional(name)
            .ok_or_else(|| ConfigError::new(name, "it is not set"))
    }

    fn url(&self, name: &'static str) -> Result<Option<String>, ConfigError> {
        let url = self.optional(name);
        if url.as_deref().is_none_or(is_http_url) {
            Ok(url)
        } else {
            Err(ConfigError::new(name, "it is not an http or https URL"))
        }
    }

    fn positive(&self, name: &'static str, default: u32) -> Result<u32, ConfigError> {
        let Some(value) = self.optional(name) else {
            return Ok(default);
        };
        value
            .parse()
            .ok()
            .filter(|number| *number > 0)
            .ok_or_else(|| ConfigError::new(name, "it is not a whole number above 0"))
    }

    fn millis(&self, name: &'static str, default: u32) -> Result<Duration, ConfigError> {
        Ok(Duration::from_millis(self.positive(name, default)?.into()))
    }
}

/// Whether this is an `http` or `https` URL with a host, and with a valid port if it has one.
fn is_http_url(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else {
        return false;
    };
    let host_and_port = uri.authority().is_some_and(|authority| {
        !authority.host().is_empty()
            && (authority.port_u16().is_some() || authority.as_str() == authority.host())
    });
    host_and_port && matches!(uri.scheme_str(), Some("http" | "https"))
}

/// An invalid setting, with which the function does not start. It never contains the setting's value.
#[derive(Debug)]
pub struct ConfigError {
    variable: &'static str,
    reason: String,
}

impl ConfigError {
    pub(crate) fn new(variable: &'static str, reason: impl fmt::Display) -> Self {
        Self {
            variable,
            reason: reason.to_string(),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.variable, self.reason)
    }
}

impl std::error::Error for ConfigError {}
