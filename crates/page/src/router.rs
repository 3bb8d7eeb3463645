//! The routes of the page and of its programs' interfaces.

use crate::fleet::Fleet;
use crate::history::{Period, Request, Source, output};
use crate::{html, openmetrics, time};
use aws_sdk_dynamodb::Client;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use chrono::Utc;
use maud::Markup;
use serde::Deserialize;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tables::{METRICS, ServerId};
use tokio::sync::Mutex;

/// How old the fleet may be that a page shows, so that several requests at once are one scan.
const FRESH: Duration = Duration::from_secs(1);

/// How old it may be for Prometheus.
const SCRAPED: Duration = Duration::from_secs(10);

/// On every response. Nothing is loaded from elsewhere, and nothing that came from an agent can run.
const HEADERS: [(HeaderName, &str); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
];

/// The tables that the page reads, and a client for them.
pub struct Tables {
    pub client: Client,
    pub servers: String,
    pub metrics: String,
}

/// What the requests share.
struct App {
    tables: Tables,
    /// The fleet when it was last read.
    fleet: Mutex<Option<(Instant, Arc<Fleet>)>>,
}

/// The page. Whoever serves it decides who may see it, and gives every response its [headers](with_headers).
pub fn router(tables: Tables) -> Router {
    let style = async || text("text/css", include_str!("style.css"));
    let script = async || text("text/javascript", include_str!("app.js"));
    let app = App {
        tables,
        fleet: Mutex::default(),
    };
    Router::new()
        .route("/", get(fleet_page))
        .route("/fleet", get(fleet_part))
        .route("/servers/{id}", get(server_page))
        .route("/api/servers", get(servers_json))
        .route("/api/servers/{id}/history", get(history_json))
        .route("/metrics", get(metrics))
        .route("/style.css", get(style))
        .route("/app.js", get(script))
        .fallback(async || Failure::NotFound.page())
        .with_state(Arc::new(app))
}

/// The same with the headers of every response, also of those that a layer of it gave.
pub fn with_headers(router: Router) -> Router {
    router.layer(map_response(async |mut response: Response| {
        for (name, value) in HEADERS {
            let value = HeaderValue::from_static(value);
            response.headers_mut().insert(name, value);
        }
        response
    }))
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
        let Tables {
            client, servers, ..
        } = &self.tables;
        let fleet = Arc::new(Fleet::read(client, servers, Utc::now()).await?);
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
        (status, html::failure(&reason, retries)).into_response()
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

async fn fleet_page(State(app): State<Arc<App>>) -> Result<Markup, Response> {
    let fleet = app
        .fleet(FRESH)
        .await
        .map_err(|error| Failure::Aws(error).page())?;
    Ok(html::fleet(&fleet))
}

async fn fleet_part(State(app): State<Arc<App>>) -> Result<Markup, Response> {
    let fleet = app
        .fleet(FRESH)
        .await
        .map_err(|error| Failure::Aws(error).text())?;
    Ok(html::fleet_part(&fleet))
}

async fn server_page(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Markup, Response> {
    let fleet = app
        .fleet(FRESH)
        .await
        .map_err(|error| Failure::Aws(error).page())?;
    let server = fleet
        .servers
        .iter()
        .find(|server| server.id() == id)
        .ok_or_else(|| Failure::NotFound.page())?;
    Ok(html::server(server, fleet.at))
}

async fn servers_json(State(app): State<Arc<App>>) -> Result<impl IntoResponse, Response> {
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
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(query): Query<HistoryQuery>,
) -> Result<impl IntoResponse, Response> {
    let server: ServerId = id.parse().map_err(|_| Failure::NotFound.json())?;
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
        server,
        metrics: METRICS.iter().collect(),
        period,
    };
    let found = source
        .read(&request, &|_| {})
        .await
        .map_err(|error| Failure::Aws(error).json())?;
    let mut json = Vec::new();
    output::json(&mut json, &found.rows, &request.metrics, every)
        .map_err(|error| Failure::Aws(error.into()).json())?;
    Ok(text("application/json", json))
}

async fn metrics(State(app): State<Arc<App>>) -> Result<impl IntoResponse, Response> {
    let fleet = app
        .fleet(SCRAPED)
        .await
        .map_err(|error| Failure::Aws(error).text())?;
    let encoded = openmetrics::encode(fleet).map_err(|error| Failure::Aws(error.into()).text())?;
    Ok(text(openmetrics::CONTENT_TYPE, encoded))
}
