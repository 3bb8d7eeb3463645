//! The watchdog function: its cold start.

use heartbeat::config::{self, WatchdogConfig};
use heartbeat::watchdog::{Watchdog, sweep_time};
use heartbeat::{client, log};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;
use std::process::ExitCode;
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
    log::init(config::log_level(environment))?;
    let config = WatchdogConfig::read(environment)?;
    let dynamodb = client::dynamodb(&config.client)?;
    let sns = client::sns(&config.client, config.sns_endpoint_url.as_deref())?;
    let watchdog = Watchdog::new(config, dynamodb, sns);
    tracing::info!("started");
    lambda_runtime::run(service_fn(|event: LambdaEvent<Value>| {
        sweep(&watchdog, event)
    }))
    .await
}

async fn sweep(watchdog: &Watchdog, event: LambdaEvent<Value>) -> Result<(), Error> {
    let time = sweep_time(&event.payload, chrono::Utc::now());
    let left = event.context.deadline().duration_since(SystemTime::now());
    let deadline = Instant::now() + left.unwrap_or_default();
    let request_id = &event.context.request_id;
    let swept = watchdog.sweep(time, deadline, request_id).await;
    if let Err(reason) = &swept {
        tracing::error!(request_id, %reason, "sweep failed");
    }
    Ok(swept?)
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
