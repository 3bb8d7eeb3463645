//! The watchdog function: its cold start.

use heartbeat::config::{self, WatchdogConfig};
use heartbeat::watchdog::{Watchdog, sweep_time, time_for_sweep};
use heartbeat::{client, log};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            tracing::error!(%reason, "could not start");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Error> {
    log::init(config::log_level(config::environment))?;
    let config = WatchdogConfig::read(config::environment)?;
    let dynamodb = client::dynamodb(&config.client)?;
    let sns = client::sns(&config.client, config.sns_endpoint_url.as_deref())?;
    let watchdog = Arc::new(Watchdog::new(config, dynamodb, sns));
    tracing::info!("started");
    lambda_runtime::run_concurrent(service_fn(move |event| sweep(watchdog.clone(), event))).await
}

async fn sweep(watchdog: Arc<Watchdog>, event: LambdaEvent<Value>) -> Result<(), Error> {
    let time = sweep_time(&event.payload, chrono::Utc::now());
    let deadline = Instant::now() + time_for_sweep(event.context.deadline(), SystemTime::now());
    let request_id = &event.context.request_id;
    let swept = watchdog.sweep(time, deadline, request_id).await;
    if let Err(reason) = &swept {
        tracing::error!(request_id, %reason, "sweep failed");
    }
    Ok(swept?)
}
