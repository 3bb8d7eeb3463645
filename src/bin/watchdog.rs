//! The watchdog function: its cold start.

use heartbeat::deadline::time_budget;
use heartbeat::settings::environment;
use heartbeat::watchdog::{Config, DEFAULT_TIME, Watchdog, as_of};
use heartbeat::{VERSION, aws, log};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::time::Instant;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    log::exit_code(run().await)
}

async fn run() -> Result<(), Error> {
    log::init(log::level(environment))?;
    let config = Config::from_variables(environment)?;
    let dynamodb = aws::dynamodb(&config.aws)?;
    let sns = aws::sns(&config.aws, config.sns_endpoint_url.as_deref())?;
    let watchdog = Arc::new(Watchdog::new(config, dynamodb, sns)?);
    tracing::info!(version = VERSION, "started");
    lambda_runtime::run_concurrent(service_fn(move |event| sweep(watchdog.clone(), event))).await
}

async fn sweep(watchdog: Arc<Watchdog>, event: LambdaEvent<Value>) -> Result<(), Error> {
    let time = as_of(&event.payload, chrono::Utc::now());
    let time_left = time_budget(event.context.deadline(), SystemTime::now(), DEFAULT_TIME);
    let deadline = Instant::now() + time_left;
    let request_id = &event.context.request_id;
    let swept = watchdog.sweep(time, deadline, request_id).await;
    if let Err(reason) = &swept {
        tracing::error!(request_id, %reason, "sweep failed");
    }
    Ok(swept?)
}
