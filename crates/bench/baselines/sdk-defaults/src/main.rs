//! Baseline: the same function with the SDK's default client, whose connections are opened only when they are needed.

use heartbeat::aws::Clients;
use heartbeat::endpoint::{self, Config};
use heartbeat::settings::environment;
use lambda_http::Error;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let config = Config::from_variables(environment)?;
    let sdk = aws_config::load_defaults(aws_config::BehaviorVersion::latest()).await;
    let client = aws_sdk_dynamodb::Client::new(&sdk);
    let clients = Clients { servers: client.clone(), metrics: client };
    lambda_runtime::run_concurrent(endpoint::function(config, clients)).await
}
