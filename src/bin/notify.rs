//! The function that passes announcements on to chats and phones: its cold start.

use heartbeat::deadline::time_budget;
use heartbeat::notify::{Config, DEFAULT_TIME, Dispatcher, SnsEvent};
use heartbeat::settings::environment;
use heartbeat::{VERSION, log};
use lambda_runtime::{Error, LambdaEvent, service_fn};
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
    let dispatcher = Arc::new(Dispatcher::new(Config::from_variables(environment)?)?);
    tracing::info!(version = VERSION, "started");
    lambda_runtime::run_concurrent(service_fn(move |event| deliver(dispatcher.clone(), event)))
        .await
}

async fn deliver(dispatcher: Arc<Dispatcher>, event: LambdaEvent<SnsEvent>) -> Result<(), Error> {
    let time_left = time_budget(event.context.deadline(), SystemTime::now(), DEFAULT_TIME);
    let deadline = Instant::now() + time_left;
    Ok(dispatcher.deliver(&event.payload, deadline, &event.context.request_id).await?)
}
