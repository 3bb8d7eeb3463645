//! What the functions run between, on this machine: a DynamoDB, a Lambda, a topic. `make run` and the tests in Python start it.
//! Each prints its URL first.

use clap::Parser;
use dev::runtime_api::RuntimeApi;
use dev::topic::Topic;
use std::error::Error;
use std::future::pending;
use std::io::{self, Write};

#[derive(Parser)]
enum Arguments {
    /// Serve a DynamoDB from a file, which is kept, with the template's tables.
    Dynamodb(Dynamodb),
    /// Serve the Runtime API of one function, and its invocation: POST an event to `/2015-03-31/functions/…/invocations`.
    Lambda,
    /// Serve an SNS topic, and print each message that is published, as a line of JSON.
    Topic,
}

#[derive(clap::Args)]
struct Dynamodb {
    /// The port to listen on, on the loopback address.
    #[arg(long, default_value_t = 8000)]
    port: u16,
    /// The file that holds the data. With `:memory:`, it is kept nowhere, and nothing waits for a disk.
    #[arg(long, default_value = "target/local-dynamodb.sqlite")]
    file: String,
    /// The name of the servers table.
    #[arg(long, env, default_value = "heartbeat-servers")]
    servers_table: String,
    /// The name of the metrics table.
    #[arg(long, env, default_value = "heartbeat-metrics")]
    metrics_table: String,
    /// The name of the keys table.
    #[arg(long, env, default_value = "heartbeat-keys")]
    keys_table: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    match Arguments::parse() {
        Arguments::Dynamodb(arguments) => arguments.serve().await,
        Arguments::Lambda => {
            let api = RuntimeApi::start().await?;
            writeln!(io::stdout(), "http://{}", api.address)?;
            pending().await
        }
        Arguments::Topic => {
            let topic = Topic::start().await;
            writeln!(io::stdout(), "{}", topic.url)?;
            loop {
                let message = topic.next().await;
                writeln!(io::stdout(), "{}", serde_json::to_string(&message.parameters)?)?;
            }
        }
    }
}

impl Dynamodb {
    async fn serve(self) -> Result<(), Box<dyn Error>> {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", self.port)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let database = dynoxide::Database::new(&self.file)?;
        let interrupted = async {
            let _ = tokio::signal::ctrl_c().await;
        };
        let server =
            tokio::spawn(dynoxide::server::serve_with_shutdown(listener, database, interrupted));
        let client = dev::dynamodb::client(&url, "us-east-1");
        dev::template::create(&client, "ServersTable", &self.servers_table).await;
        dev::template::create(&client, "MetricsTable", &self.metrics_table).await;
        dev::template::create(&client, "KeysTable", &self.keys_table).await;
        let _ = writeln!(io::stdout(), "{url}: a DynamoDB, kept in {}", self.file);
        server.await??;
        Ok(())
    }
}
