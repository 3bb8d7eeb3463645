//! The function that passes announcements on to chats and phones: its cold start.

use heartbeat::deadline::time_budget;
use heartbeat::notify::{Config, Courier, DEFAULT_TIME, Event};
use heartbeat::settings::environment;
use heartbeat::{VERSION, log};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    log::exit_code(run().await)
}

async fn run() -> Result<(), Error> {
    log::init(log::level(environment))?;
    let config = Config::read(environment)?;
    let courier = Arc::new(Courier::new(config)?);
    tracing::info!(version = VERSION, "started");
    lambda_runtime::run_concurrent(service_fn(move |event| deliver(courier.clone(), event))).await
}

async fn deliver(courier: Arc<Courier>, event: LambdaEvent<Event>) -> Result<(), Error> {
    let time_left = time_budget(event.context.deadline(), SystemTime::now(), DEFAULT_TIME);
    let deadline = Instant::now() + time_left;
    let request_id = &event.context.request_id;
    Ok(courier.deliver(&event.payload, deadline, request_id).await?)
}
