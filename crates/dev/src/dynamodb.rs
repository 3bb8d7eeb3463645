//! A DynamoDB for tests, and a client for it.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Config, Credentials, Region};
use aws_smithy_http_client::Builder;
use std::sync::LazyLock;

/// The URL of the DynamoDB for tests: that of `AWS_ENDPOINT_URL_DYNAMODB`, or else of one embedded in this process.
pub static URL: LazyLock<String> =
    LazyLock::new(|| std::env::var("AWS_ENDPOINT_URL_DYNAMODB").unwrap_or_else(|_| embedded()));

/// A client for a DynamoDB that accepts any credentials.
#[must_use]
pub fn client(url: &str, region: &str) -> Client {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region.to_owned()))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .endpoint_url(url)
        .http_client(Builder::new().build_http());
    Client::from_conf(config.build())
}

/// Starts an empty DynamoDB in its own thread, where it runs until the process ends.
fn embedded() -> String {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.set_nonblocking(true).expect("a socket");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            let database = dynoxide::Database::memory().expect("a database");
            dynoxide::server::serve_on(listener, database).await;
        });
    });
    url
}
