//! The Lambda function: wires the crate together at cold start and serves.

use heartbeat::client;
use heartbeat::config::Config;
use heartbeat::handler::{App, handle};
use heartbeat::store::Store;
use lambda_http::{Error, service_fn};
use std::convert::Infallible;
use std::process::ExitCode;
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    init_log();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            tracing::error!(%reason, "refused to start");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Error> {
    let config = Config::read(|name| std::env::var(name).ok())?;
    let (client, warm_up) = client::connect(&config.client)?;
    if let Err(reason) = warm_up.run().await {
        tracing::warn!(reason, "no connection to DynamoDB yet");
    }
    let store = Store::new(
        client,
        config.servers_table,
        config.metrics_table,
        config.retention,
    );
    let app = App {
        keys: config.keys,
        store,
    };
    tracing::info!("started");
    lambda_http::run(service_fn(|request| async {
        Ok::<_, Infallible>(handle(&app, request).await)
    }))
    .await
}

/// One JSON line an event, with the `timestamp` and `level` by which Lambda filters. What the SDK and the
/// runtime have to say is kept to warnings: below, they would print requests.
fn init_log() {
    let level = std::env::var("AWS_LAMBDA_LOG_LEVEL")
        .ok()
        .and_then(|level| level.parse().ok());
    let levels = Targets::new()
        .with_default(Level::WARN)
        .with_target("heartbeat", level.unwrap_or(Level::INFO));
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_target(false);
    let lines = lines.with_current_span(false).with_span_list(false);
    tracing_subscriber::registry()
        .with(lines)
        .with(levels)
        .init();
}
