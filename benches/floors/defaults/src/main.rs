//! Floor: the same function behind the SDK's default client, with nothing opened before it is needed.

use heartbeat::config::Config;
use heartbeat::handler::{App, handle};
use heartbeat::store::Store;
use lambda_http::{Error, service_fn};
use std::convert::Infallible;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let config = Config::read(|name| std::env::var(name).ok())?;
    let sdk = aws_config::load_defaults(aws_config::BehaviorVersion::latest()).await;
    let app = App {
        keys: config.keys,
        store: Store::new(
            aws_sdk_dynamodb::Client::new(&sdk),
            config.servers_table,
            config.metrics_table,
            config.retention,
        ),
    };
    lambda_http::run(service_fn(|request| async {
        Ok::<_, Infallible>(handle(&app, request).await)
    }))
    .await
}
