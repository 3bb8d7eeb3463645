//! The settings of the watchdog, with their units, defaults and errors.

use crate::aws::AwsConfig;
use crate::settings::{InvalidSetting, Settings};
use crate::webhook::Address;
use chrono::TimeDelta;
use tables::Limits;
use tables::server::Rules;
use verdict::digest::Schedule;

/// The settings of the watchdog.
#[derive(Debug)]
pub struct Config {
    /// `SERVERS_TABLE`: the table of servers.
    pub servers_table: String,
    /// `ALERT_TOPIC_ARN` (optional): the SNS topic for announcements.
    pub topic_arn: Option<String>,
    /// `OFFLINE_AFTER_SECONDS` (default 180), `HOLD_SECONDS` (default: the larger of 600 and twice
    /// `OFFLINE_AFTER_SECONDS`), `BACK_AFTER_SECONDS` (default 300), `LIMITS` (default `disk_percent=90`), `TIME_ZONE` (default `UTC`).
    pub rules: Rules,
    /// `DIGEST_AT` (default none), `HH:MM`, or several separated by commas: when a message says what is still wrong; with
    /// `/always` at the end: on good days, too.
    pub digest: Option<Schedule>,
    /// `METRICS_TABLE` (optional): the table of metrics, which also holds what has been announced.
    pub events: Option<EventsConfig>,
    /// `HISTORY_DAYS` (default 400), with `METRICS_TABLE`: how long days are kept; `None` if none are written.
    pub days: Option<DaysConfig>,
    /// `PING_URL` (optional), a secret: the address that is requested after each sweep that did all of its work.
    pub ping: Option<Address>,
    /// `PAGE_URL` (optional): where the page is, to which announcements link.
    pub page_url: Option<String>,
    /// `AWS_ENDPOINT_URL_SNS`: an SNS endpoint other than the region's.
    pub sns_endpoint_url: Option<String>,
    /// How to reach AWS.
    pub aws: AwsConfig,
}

/// Where events are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventsConfig {
    pub table: String,
    /// `METRICS_RETENTION_DAYS` (default 30): how long they are kept.
    pub retention: TimeDelta,
    /// How long those of one server are kept: as long as its days, or longer.
    pub keep_of_server: TimeDelta,
}

/// Where days are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaysConfig {
    pub table: String,
    /// How long rows are kept.
    pub retention: TimeDelta,
    /// How long days are kept.
    pub keep: TimeDelta,
}

impl Config {
    /// Reads every setting.
    ///
    /// # Errors
    /// Returns the first setting that is missing or invalid.
    pub fn from_variables(
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, InvalidSetting> {
        let settings = Settings(&variable);
        let topic_arn = settings.optional("ALERT_TOPIC_ARN");
        if topic_arn.as_ref().is_some_and(|arn| !is_topic(arn)) {
            let reason = "it is not the ARN of an SNS topic";
            return Err(InvalidSetting::new("ALERT_TOPIC_ARN", reason));
        }
        let offline_after = settings.positive("OFFLINE_AFTER_SECONDS", Rules::OFFLINE_AFTER)?;
        let hold = Rules::hold_for(offline_after);
        // Empty is a value here: no limits.
        let limits = variable("LIMITS").map(|list| Limits::parse(&list));
        let metrics_table = settings.optional("METRICS_TABLE");
        let retention_days = settings.positive("METRICS_RETENTION_DAYS", 30)?;
        let retention = TimeDelta::days(retention_days.into());
        let keep = settings.days("HISTORY_DAYS", 400)?;
        let ping = settings.optional("PING_URL").filter(|url| url != "none");
        let digest_at = settings.optional("DIGEST_AT").filter(|at| at != "none");
        Ok(Self {
            servers_table: settings.required("SERVERS_TABLE")?,
            topic_arn,
            rules: Rules {
                offline_after: TimeDelta::seconds(offline_after.into()),
                hold: settings.seconds("HOLD_SECONDS", hold)?,
                back_after: settings.seconds("BACK_AFTER_SECONDS", Rules::BACK_AFTER)?,
                limits: limits
                    .unwrap_or_else(|| Ok(Limits::standard()))
                    .map_err(|error| InvalidSetting::new("LIMITS", error))?,
                zone: settings.time_zone()?,
            },
            digest: digest_at
                .map(|at| at.parse())
                .transpose()
                .map_err(|error| InvalidSetting::new("DIGEST_AT", error))?,
            days: metrics_table.clone().filter(|_| !keep.is_zero()).map(|table| DaysConfig {
                table,
                retention,
                keep,
            }),
            events: metrics_table.map(|table| EventsConfig {
                table,
                retention,
                keep_of_server: retention.max(keep),
            }),
            ping: ping
                .map(|url| Address::parse(&url))
                .transpose()
                .map_err(|error| InvalidSetting::new("PING_URL", error))?,
            page_url: settings.page_url()?,
            sns_endpoint_url: settings.url("AWS_ENDPOINT_URL_SNS")?,
            aws: AwsConfig::from_variables(&variable)?,
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
