//! A DynamoDB on this machine, in one file, with the function's two tables in it.
//!
//! `make run` starts it; what it holds is kept between runs.

#[path = "../tests/api/tables.rs"]
mod tables;

use clap::Parser;
use heartbeat::config::ClientConfig;
use std::error::Error;

/// Serves a DynamoDB from a file.
#[derive(Parser)]
struct Arguments {
    /// The port to listen on, on the loopback address.
    #[arg(long, default_value_t = 8000)]
    port: u16,
    /// The file that holds the data.
    #[arg(long, default_value = "target/local-dynamodb.sqlite")]
    file: String,
    /// The table of servers.
    #[arg(long, env, default_value = "heartbeat-servers")]
    servers_table: String,
    /// The table of metrics.
    #[arg(long, env, default_value = "heartbeat-metrics")]
    metrics_table: String,
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
    let server = tokio::spawn(dynoxide::server::serve_with_shutdown(
        listener,
        database,
        interrupted,
    ));

    let setting = |name: &str| match name {
        "AWS_ENDPOINT_URL_DYNAMODB" => Some(url.clone()),
        "AWS_REGION" | "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" => Some("local".to_owned()),
        _ => None,
    };
    let (client, _) = heartbeat::client::connect(&ClientConfig::read(setting)?)?;
    tables::create(&client, "ServersTable", &arguments.servers_table).await;
    tables::create(&client, "MetricsTable", &arguments.metrics_table).await;
    println!("DynamoDB at {url}, kept in {}", arguments.file);
    server.await??;
    Ok(())
}
