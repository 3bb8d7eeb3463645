//! The page for the browser, served with the operator's own credentials.

mod guard;
mod openmetrics;
mod page;

use crate::aws::Aws;
use crate::fleet::{Fleet, Tables};
use crate::history::output;
use crate::history::read::{Period, Request, Source};
use crate::target::{METRICS, SERVERS, Target};
use crate::{stop, time};
use anyhow::Context;
use axum::extract::{Path, Query, State as Shared};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, middleware};
use chrono::{TimeDelta, Utc};
use clap::Args;
use guard::Guard;
use maud::Markup;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tables::limit::DEFAULT_LIMITS;
use tables::metric::METRICS as ALL;
use tables::{Limits, ServerId};
use tokio::net::TcpListener;
use tokio::sync::Mutex;

/// How old the fleet may be that a page shows, so that several requests at once are one scan.
const FRESH: Duration = Duration::from_secs(1);

/// How old it may be for Prometheus.
const SCRAPED: Duration = Duration::from_secs(10);

/// Serve a page for the browser: the fleet, charts of each server, and metrics for Prometheus.
///
/// The page is only as safe as the address that it listens on. Everything is read with the credentials of this shell, and
/// nothing is changed. /api/servers and /api/servers/ID/history give the same JSON as the commands, and /metrics is for
/// Prometheus: one scan of the servers table per scrape, and at most one in 10 s.
#[derive(Args)]
#[command(after_help = "Example:\n  heartbeatctl --stack heartbeat web")]
pub struct Web {
    /// The address and port. Any address but a loopback one needs --password-file.
    #[arg(long, default_value = "127.0.0.1:8787", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// A file whose first line is the password that the browser asks for, with any user name.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Another name under which the page may be called; may be repeated.
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,
    /// Silence after which a server is shown as offline, even if no watchdog has marked it.
    #[arg(long, default_value = "180s", value_name = "DURATION", value_parser = time::duration)]
    offline_after: TimeDelta,
    /// The limits of the watchdog, to draw them. A server's own precede them.
    #[arg(long, env = "LIMITS", value_name = "LIMITS", default_value = DEFAULT_LIMITS, value_parser = Limits::parse)]
    watchdog_limits: Limits,
}

/// What the requests share.
struct App {
    tables: Tables,
    offline_after: TimeDelta,
    limits: Limits,
    /// The fleet when it was last read.
    fleet: Mutex<Option<(Instant, Arc<Fleet>)>>,
}

impl Web {
    pub async fn run(self, target: &Target) -> anyhow::Result<()> {
        let guard = Guard::new(self.listen, self.hosts, self.password_file.as_deref())?;
        let aws = Aws::new(target);
        let app = Arc::new(App {
            tables: Tables {
                servers: aws.name(&SERVERS).await?,
                metrics: aws.name(&METRICS).await?,
                client: aws.dynamodb().await,
            },
            offline_after: self.offline_after,
            limits: self.watchdog_limits,
            fleet: Mutex::default(),
        });
        let listener = TcpListener::bind(self.listen).await;
        let listener = listener.with_context(|| format!("cannot listen on {}", self.listen))?;
        eprintln!("http://{} (Ctrl-C stops it)", listener.local_addr()?);
        let router = Router::new()
            .route("/", get(fleet_page))
            .route("/fleet", get(fleet_part))
            .route("/servers/{id}", get(server_page))
            .route("/api/servers", get(servers_json))
            .route("/api/servers/{id}/history", get(history_json))
            .route("/metrics", get(metrics))
            .route(
                "/style.css",
                get(async || text("text/css", include_str!("web/style.css"))),
            )
            .route(
                "/app.js",
                get(async || text("text/javascript", include_str!("web/app.js"))),
            )
            .fallback(async || Failure::NotFound.page())
            .with_state(app)
            .layer(middleware::from_fn_with_state(
                Arc::new(guard),
                guard::check,
            ));
        let stopped = async {
            let _ = stop::requested().await;
        };
        tokio::select! {
            served = axum::serve(listener, router) => Ok(served?),
            () = stopped => Ok(()),
        }
    }
}

impl App {
    /// The fleet, at most this old.
    async fn fleet(&self, age: Duration) -> anyhow::Result<Arc<Fleet>> {
        // Whoever comes while the table is scanned waits for that scan.
        let mut last = self.fleet.lock().await;
        if let Some((at, fleet)) = &*last
            && at.elapsed() < age
        {
            return Ok(fleet.clone());
        }
        let fleet = Arc::new(Fleet::read(&self.tables, Utc::now(), self.offline_after).await?);
        *last = Some((Instant::now(), fleet.clone()));
        Ok(fleet)
    }
}

/// Why there is no answer.
enum Failure {
    NotFound,
    BadRequest(String),
    /// AWS cannot be read: a later attempt may succeed.
    Aws(anyhow::Error),
}

impl Failure {
    fn parts(&self) -> (StatusCode, String) {
        match self {
            Self::NotFound => (
                StatusCode::NOT_FOUND,
                "There is no such page or server.".to_owned(),
            ),
            Self::BadRequest(reason) => (StatusCode::BAD_REQUEST, reason.clone()),
            Self::Aws(error) => (StatusCode::BAD_GATEWAY, format!("{error:#}")),
        }
    }

    /// A page, which is retried by itself if that may help.
    fn page(&self) -> Response {
        let (status, reason) = self.parts();
        let retries = matches!(self, Self::Aws(_));
        (status, page::failure(&reason, retries)).into_response()
    }

    fn json(&self) -> Response {
        let (status, reason) = self.parts();
        let body = serde_json::json!({ "error": reason }).to_string();
        (status, text("application/json", body)).into_response()
    }

    fn text(&self) -> Response {
        let (status, reason) = self.parts();
        (status, text("text/plain; charset=utf-8", reason)).into_response()
    }
}

fn text(kind: &'static str, body: impl IntoResponse) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, kind)], body)
}

async fn fleet_page(Shared(app): Shared<Arc<App>>) -> Result<Markup, Response> {
    let fleet = app
        .fleet(FRESH)
        .await
        .map_err(|error| Failure::Aws(error).page())?;
    Ok(page::fleet(&fleet))
}

async fn fleet_part(Shared(app): Shared<Arc<App>>) -> Result<Markup, Response> {
    let fleet = app
        .fleet(FRESH)
        .await
        .map_err(|error| Failure::Aws(error).text())?;
    Ok(page::fleet_part(&fleet))
}

async fn server_page(
    Shared(app): Shared<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Markup, Response> {
    let fleet = app
        .fleet(FRESH)
        .await
        .map_err(|error| Failure::Aws(error).page())?;
    let server = fleet.servers.iter().find(|server| server.server_id == id);
    let server = server.ok_or_else(|| Failure::NotFound.page())?;
    Ok(page::server(server, &app.limits, fleet.at))
}

async fn servers_json(Shared(app): Shared<Arc<App>>) -> Result<impl IntoResponse, Response> {
    let fleet = app
        .fleet(FRESH)
        .await
        .map_err(|error| Failure::Aws(error).json())?;
    let json = fleet
        .json()
        .map_err(|error| Failure::Aws(error.into()).json())?;
    Ok(text("application/json", json))
}

#[derive(Deserialize)]
struct HistoryQuery {
    since: Option<String>,
    until: Option<String>,
    every: Option<String>,
}

async fn history_json(
    Shared(app): Shared<Arc<App>>,
    Path(id): Path<String>,
    Query(query): Query<HistoryQuery>,
) -> Result<impl IntoResponse, Response> {
    let id: ServerId = id.parse().map_err(|_| Failure::NotFound.json())?;
    let bad = |name: &'static str| {
        move |reason: String| Failure::BadRequest(format!("{name}: {reason}")).json()
    };
    let since = time::moment(query.since.as_deref().unwrap_or("24h")).map_err(bad("since"))?;
    let until = query
        .until
        .as_deref()
        .map(time::moment)
        .transpose()
        .map_err(bad("until"))?;
    let every = query
        .every
        .as_deref()
        .map(time::positive_duration)
        .transpose()
        .map_err(bad("every"))?;
    let period = Period::new(since, until, Utc::now()).map_err(bad("since"))?;
    let source = Source {
        client: app.tables.client.clone(),
        table: app.tables.metrics.clone(),
    };
    let request = Request {
        server: id,
        metrics: ALL.iter().collect(),
        period,
    };
    let read = source.read(&request, &|_| {}).await;
    let rows = read.map_err(|error| Failure::Aws(error).json())?.rows;
    let mut json = Vec::new();
    let written = output::json(&mut json, &rows, &request.metrics, every);
    written.map_err(|error| Failure::Aws(error.into()).json())?;
    Ok(text("application/json", json))
}

async fn metrics(Shared(app): Shared<Arc<App>>) -> Result<impl IntoResponse, Response> {
    let fleet = app
        .fleet(SCRAPED)
        .await
        .map_err(|error| Failure::Aws(error).text())?;
    let encoded = openmetrics::encode(fleet);
    let encoded = encoded.map_err(|error| Failure::Aws(error.into()).text())?;
    Ok(text(openmetrics::CONTENT_TYPE, encoded))
}
