//! The settings of the watchdog, with their units, defaults and errors.

use crate::aws::AwsConfig;
use crate::settings::{InvalidSetting, Settings};
use chrono::TimeDelta;

/// The settings of the watchdog.
pub struct Config {
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
    pub aws: AwsConfig,
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
        let hold = match settings.optional("HOLD_SECONDS") {
            None => 600.max(i64::from(offline_after) * 2),
            Some(seconds) => seconds
                .parse::<u32>()
                .map_err(|_| InvalidSetting::new("HOLD_SECONDS", "it is not a whole number"))?
                .into(),
        };
        Ok(Self {
            servers_table: settings.required("SERVERS_TABLE")?,
            topic_arn,
            rules: Rules {
                offline_after: TimeDelta::seconds(offline_after.into()),
                hold: TimeDelta::seconds(hold),
            },
            sns_endpoint_url: settings.url("AWS_ENDPOINT_URL_SNS")?,
            aws: AwsConfig::read(&variable)?,
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
