//! The time by DynamoDB's clock, which every response of it says. This machine's own may be wrong, and the tables say only when
//! somebody last wrote.

use crate::explain::explain_in;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use chrono::{DateTime, TimeDelta, Utc};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// How much this machine's clock may differ before it is said. The `Date` of a response has whole seconds.
const TOLERANCE: TimeDelta = TimeDelta::minutes(1);

/// No response has said the time yet.
const UNKNOWN: i64 = i64::MIN;

/// How far DynamoDB's clock is ahead of this machine's, milliseconds.
#[derive(Debug, Clone)]
pub struct Clock(Arc<AtomicI64>);

impl Clock {
    /// The same client, whose responses set the clock.
    pub fn of(client: &Client) -> (Client, Self) {
        let clock = Self(Arc::new(AtomicI64::new(UNKNOWN)));
        let config = client.config().to_builder().interceptor(clock.clone());
        (Client::from_conf(config.build()), clock)
    }

    /// The time by DynamoDB's clock, or by this machine's before the first response.
    pub fn now(&self) -> DateTime<Utc> {
        Utc::now() + self.ahead().unwrap_or_default()
    }

    /// The time by DynamoDB's clock. If no response has said it yet, a table is asked: a rejection says it, too, so nobody
    /// needs a permission for this.
    ///
    /// # Errors
    /// If there is no response.
    pub async fn ask(&self, client: &Client, table: &str) -> anyhow::Result<DateTime<Utc>> {
        if self.ahead().is_none() {
            let asked = client.scan().table_name(table).limit(1).send().await;
            if let Err(error) = asked
                && error.raw_response().is_none()
            {
                return Err(explain_in(table)(error));
            }
        }
        Ok(self.now())
    }

    /// How far this machine's clock is ahead of DynamoDB's, if that has to be said; negative if it is behind.
    pub fn error(&self) -> Option<TimeDelta> {
        self.ahead().map(|ahead| -ahead).filter(|error| error.abs() > TOLERANCE)
    }

    fn ahead(&self) -> Option<TimeDelta> {
        let milliseconds = self.0.load(Ordering::Relaxed);
        (milliseconds != UNKNOWN).then(|| TimeDelta::milliseconds(milliseconds))
    }
}

impl Intercept for Clock {
    fn name(&self) -> &'static str {
        "Clock"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        let sent = date.and_then(|date| DateTime::parse_from_rfc2822(date).ok());
        if let Some(sent) = sent {
            let ahead = sent.to_utc() - Utc::now();
            self.0.store(ahead.num_milliseconds(), Ordering::Relaxed);
        }
        Ok(())
    }
}
