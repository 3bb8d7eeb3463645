//! The Lambda function: wires the crate together at cold start and serves.

use heartbeat::client;
use heartbeat::config::{self, Config};
use heartbeat::handler::{App, disarm, handle};
use heartbeat::log;
use heartbeat::store::Store;
use lambda_http::request::LambdaRequest;
use lambda_http::{Adapter, Error, LambdaEvent, Service, service_fn};
use std::convert::Infallible;
use std::process::ExitCode;
use tracing_subscriber::util::SubscriberInitExt;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    log::subscriber(config::log_level(environment), std::io::stdout).init();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            tracing::error!(%reason, "refused to start");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Error> {
    let config = Config::read(environment)?;
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
    let mut answering = Adapter::from(service_fn(|request| async {
        Ok::<_, Infallible>(handle(&app, request).await)
    }));
    lambda_runtime::run(service_fn(|event: LambdaEvent<LambdaRequest>| {
        answering.call(LambdaEvent::new(disarm(event.payload), event.context))
    }))
    .await
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
