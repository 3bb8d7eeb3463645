//! The page for the browser, served on this machine with the operator's own credentials.

mod guard;

use crate::aws::Aws;
use crate::stop;
use crate::target::{METRICS, SERVERS, Target};
use anyhow::{Context, ensure};
use axum::middleware::from_fn_with_state;
use clap::Args;
use guard::Guard;
use page::{Options, Tables};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// How often an open page asks anew.
const REFRESH: Duration = Duration::from_secs(10);

/// Serve a page for the browser: the fleet, charts of each server, and metrics for Prometheus.
///
/// It is for this machine alone: to share it, deploy it with the stack (`heartbeatctl page password`), or put a proxy in
/// front. Everything is read with the credentials of this shell, and nothing is changed. /api/servers and
/// /api/servers/ID/history give the same JSON as the commands, and /metrics is for Prometheus: one scan of the servers table
/// per scrape, and at most one in 10 s. /api/servers and /metrics take ?group=NAME; /api/servers?limit=1000 lists a large
/// fleet in parts.
#[derive(Args)]
#[command(after_help = "Example:\n  heartbeatctl --stack heartbeat web")]
pub struct Command {
    /// The loopback address and the port.
    #[arg(long, default_value = "127.0.0.1:8787", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// Another name under which the page may be called, such as that of a proxy; may be repeated.
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,
}

impl Command {
    pub async fn run(self, target: &Target) -> anyhow::Result<()> {
        ensure!(
            self.listen.ip().is_loopback(),
            "others can reach {}: listen on 127.0.0.1 and put a proxy in front, or deploy the page: PAGE=on make deploy",
            self.listen.ip()
        );
        let aws = Aws::new(target);
        let (servers, metrics) = (aws.name(&SERVERS).await?, aws.name(&METRICS).await?);
        let (client, clock) = aws.dynamodb().await?;
        let tables = Tables { client, servers, metrics, clock };
        let options = Options { refresh: REFRESH, max_body: None, silence: None };
        let guard = Arc::new(Guard { hosts: self.hosts });
        let router = page::router(tables, options).layer(from_fn_with_state(guard, guard::check));
        let listener = TcpListener::bind(self.listen)
            .await
            .with_context(|| format!("cannot listen on {}", self.listen))?;
        eprintln!("http://{} (Ctrl-C stops it)", listener.local_addr()?);
        let stopped = async {
            let _ = stop::requested().await;
        };
        tokio::select! {
            served = axum::serve(listener, page::protected(router)) => Ok(served?),
            () = stopped => Ok(()),
        }
    }
}
