//! The page for the browser, served with the operator's own credentials.

mod guard;

use crate::aws::Aws;
use crate::stop;
use crate::target::{METRICS, SERVERS, Target};
use anyhow::Context;
use axum::middleware::from_fn_with_state;
use clap::Args;
use guard::Guard;
use page::Tables;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::TcpListener;

/// Serve a page for the browser: the fleet, charts of each server, and metrics for Prometheus.
///
/// The page is only as safe as the address that it listens on. Everything is read with the credentials of this shell, and
/// nothing is changed. /api/servers and /api/servers/ID/history give the same JSON as the commands, and /metrics is for
/// Prometheus: one scan of the servers table per scrape, and at most one in 10 s.
#[derive(Args)]
#[command(after_help = "Example:\n  heartbeatctl --stack heartbeat web")]
pub struct Command {
    /// The address and port. Any address but a loopback one needs --password-file.
    #[arg(long, default_value = "127.0.0.1:8787", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// A file whose first line is the password that the browser asks for, with any user name.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Another name under which the page may be called; may be repeated.
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,
}

impl Command {
    pub async fn run(self, target: &Target) -> anyhow::Result<()> {
        let guard = Guard::new(self.listen.ip(), self.hosts, self.password_file.as_deref())?;
        let aws = Aws::new(target);
        let tables = Tables {
            servers: aws.name(&SERVERS).await?,
            metrics: aws.name(&METRICS).await?,
            client: aws.dynamodb().await,
        };
        let router = page::router(tables).layer(from_fn_with_state(Arc::new(guard), guard::check));
        let listener = TcpListener::bind(self.listen)
            .await
            .with_context(|| format!("cannot listen on {}", self.listen))?;
        eprintln!("http://{} (Ctrl-C stops it)", listener.local_addr()?);
        let stopped = async {
            let _ = stop::requested().await;
        };
        tokio::select! {
            served = axum::serve(listener, page::with_headers(router)) => Ok(served?),
            () = stopped => Ok(()),
        }
    }
}
