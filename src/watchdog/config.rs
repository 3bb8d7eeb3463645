//! The settings of the watchdog, with their units, defaults and errors.

use crate::aws::AwsConfig;
use crate::settings::{InvalidSetting, Settings};
use chrono::{NaiveTime, TimeDelta};
use tables::Limits;
use tables::limit::DEFAULT_LIMITS;

/// The settings of the watchdog.
pub struct Config {
    /// `SERVERS_TABLE`: the table of servers.
    pub servers_table: String,
    /// `ALERT_TOPIC_ARN` (optional): the SNS topic for announcements.
    pub topic_arn: Option<String>,
    /// When a server counts as offline or back, and what is announced besides.
    pub rules: Rules,
    /// `AWS_ENDPOINT_URL_SNS`: an SNS endpoint other than the region's.
    pub sns_endpoint_url: Option<String>,
    /// How to reach AWS.
    pub aws: AwsConfig,
}

/// When a server counts as offline or back, and what is announced besides.
#[derive(Debug, Clone)]
pub struct Rules {
    /// `OFFLINE_AFTER_SECONDS` (default 180): a server is late if it has been silent for longer than this, and overdue
    /// after half of it, unless it has a threshold of its own.
    pub offline_after: TimeDelta,
    /// `HOLD_SECONDS` (default: the larger of 600 and twice `OFFLINE_AFTER_SECONDS`): in a mass silence, a late server is
    /// judged once it has been silent for this long. Zero switches the rule off.
    pub hold: TimeDelta,
    /// `BACK_AFTER_SECONDS` (default 300): a return is announced after heartbeats over this time. Zero means at once.
    pub back_after: TimeDelta,
    /// `LIMITS` (default `disk_percent=90`): the values from which a metric is announced as high.
    pub limits: Limits,
    /// `DIGEST_AT` (default none), `HH:MM` in UTC: when a message a day says what is still wrong.
    pub digest_at: Option<NaiveTime>,
}

impl Config {
    /// Reads every setting.
    ///
    /// # Errors
    /// Returns the first setting that is missing or invalid.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, InvalidSetting> {
        let settings = Settings(&variable);
        let topic_arn = settings.optional("ALERT_TOPIC_ARN");
        if topic_arn.as_ref().is_some_and(|arn| !is_topic(arn)) {
            let reason = "it is not the ARN of an SNS topic";
            return Err(InvalidSetting::new("ALERT_TOPIC_ARN", reason));
        }
        let offline_after = settings.positive("OFFLINE_AFTER_SECONDS", 180)?;
        let hold = 600.max(offline_after.saturating_mul(2));
        // Empty is a value here: no limits.
        let limits = variable("LIMITS").unwrap_or_else(|| DEFAULT_LIMITS.to_owned());
        let digest_at = settings.optional("DIGEST_AT").filter(|at| at != "none");
        Ok(Self {
            servers_table: settings.required("SERVERS_TABLE")?,
            topic_arn,
            rules: Rules {
                offline_after: TimeDelta::seconds(offline_after.into()),
                hold: settings.seconds("HOLD_SECONDS", hold)?,
                back_after: settings.seconds("BACK_AFTER_SECONDS", 300)?,
                limits: Limits::parse(&limits)
                    .map_err(|error| InvalidSetting::new("LIMITS", error))?,
                digest_at: digest_at.map(|at| read_minute(&at)).transpose()?,
            },
            sns_endpoint_url: settings.url("AWS_ENDPOINT_URL_SNS")?,
            aws: AwsConfig::read(&variable)?,
        })
    }
}

/// `HH:MM`
fn read_minute(text: &str) -> Result<NaiveTime, InvalidSetting> {
    let time = NaiveTime::parse_from_str(text, "%H:%M");
    let time = time.ok().filter(|_| text.len() == "HH:MM".len());
    time.ok_or_else(|| InvalidSetting::new("DIGEST_AT", "it is not a time HH:MM, nor none"))
}

/// `arn:<partition>:sns:<region>:<account>:<name>`
fn is_topic(arn: &str) -> bool {
    let parts: Vec<_> = arn.split(':').collect();
    parts.len() == 6
        && parts[0] == "arn"
        && parts[2] == "sns"
        && parts.iter().all(|part| !part.is_empty())
}
