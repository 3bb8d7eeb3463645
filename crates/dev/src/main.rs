//! A local DynamoDB in one file, with the template's tables. `make run` starts it. The file is kept between runs.

use clap::Parser;
use std::error::Error;
use std::io::{self, Write};

/// Serve a DynamoDB from a file.
#[derive(Parser)]
struct Arguments {
    /// The port to listen on, on the loopback address.
    #[arg(long, default_value_t = 8000)]
    port: u16,
    /// The file that holds the data.
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
    let arguments = Arguments::parse();
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", arguments.port)).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let database = dynoxide::Database::new(&arguments.file)?;
    let interrupted = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    let server =
        tokio::spawn(dynoxide::server::serve_with_shutdown(listener, database, interrupted));
    let client = dev::dynamodb::client(&url, "us-east-1");
    dev::template::create(&client, "ServersTable", &arguments.servers_table).await;
    dev::template::create(&client, "MetricsTable", &arguments.metrics_table).await;
    dev::template::create(&client, "KeysTable", &arguments.keys_table).await;
    let _ = writeln!(io::stdout(), "DynamoDB at {url}, kept in {}", arguments.file);
    server.await??;
    Ok(())
}
