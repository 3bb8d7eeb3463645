//! The routes of the page and of its programs' interfaces.

use crate::asset::{Asset, SCRIPT_FILE, STYLE_FILE};
use crate::body::{Body, Coding};
use crate::events::Events;
use crate::fleet::{Fleet, MAX_LISTED, Server, Wanted};
use crate::history::{Period, Request, Source, TOLERANCE, output};
use crate::html::{self, Root, Visit};
use crate::scans::Scans;
use crate::session::Session;
use crate::silence;
use crate::tables::Tables;
use crate::{chart, openmetrics, time, uptime};
use axum::extract::rejection::FormRejection;
use axum::extract::{OriginalUri, Path, Query, RawQuery, Request as HttpRequest, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Form, Router};
use chrono::{DateTime, TimeDelta, Utc};
use maud::Markup;
use serde::Deserialize;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;
use syntax::duration;
use tables::event::Subject;
use tables::{Group, METRICS, Metric, ServerId};

/// How old the fleet may be that a page shows, so that several requests at once are one scan.
const FRESH: Duration = Duration::from_secs(1);

/// How old it may be for Prometheus, and for a search, which asks again with each key.
const SCRAPED: Duration = Duration::from_secs(10);

/// The most servers that are kept of a scan where a body is bounded, because memory is, too.
const MAX_SERVERS: usize = 10_000;

/// The time whose events a page lists.
const EVENTS: TimeDelta = TimeDelta::days(7);

/// On every response that has no other. Nothing is loaded from elsewhere, nothing that came from an agent can run, and no other
/// page shows this one within itself.
const HEADERS: [(HeaderName, &str); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // With `no-referrer`, a browser does not say the origin of a form.
    (header::REFERRER_POLICY, "same-origin"),
    (header::CACHE_CONTROL, "no-store"),
];

/// What depends on who serves the page.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How often an open page asks anew.
    pub refresh: Duration,
    /// The most bytes of a body for programs, as AWS Lambda passes it on.
    pub max_body: Option<usize>,
    /// Whether whoever has a session may silence servers, and for how long that is recorded.
    pub silence: Option<TimeDelta>,
}

/// What the requests share.
struct App {
    tables: Tables,
    scans: Scans,
    uptimes: uptime::Cache,
    options: Options,
}

/// The page. Whoever serves it decides who may see it, and [protects](protected) it.
pub fn router(tables: Tables, options: Options) -> Router {
    let max_servers = options.max_body.map(|_| MAX_SERVERS);
    let app = App {
        scans: Scans::new(tables.clone(), max_servers),
        uptimes: uptime::Cache::default(),
        tables,
        options,
    };
    let changing = match options.silence {
        Some(_) => Router::new().route("/servers/{id}/silence", post(silence)),
        None => Router::new(),
    };
    let programs = Router::new()
        .route("/api/servers", get(servers_json))
        .route("/api/servers/{id}/history", get(history_json))
        .route("/api/events", get(events_json))
        .route("/metrics", get(metrics))
        // Also of a failure: only what is compressed may be small enough.
        .layer(map_response(async |response: Response| {
            ([(header::VARY, "accept-encoding")], response).into_response()
        }));
    changing
        .merge(programs)
        .route("/", get(fleet_page))
        .route("/fleet", get(fleet_part))
        .route("/fleet/{id}", get(server_part))
        .route("/servers/{id}", get(server_page))
        .route(&path(&STYLE_FILE), get(async || file(&STYLE_FILE)))
        .route(&path(&SCRIPT_FILE), get(async || file(&SCRIPT_FILE)))
        .fallback(async move |uri: Uri| Failure::NotFound.page(Root::of(uri.path()), &options))
        .with_state(Arc::new(app))
}

fn path(asset: &Asset) -> String {
    format!("/{}", asset.name)
}

/// A file that a browser never asks for again.
fn file(asset: &Asset) -> impl IntoResponse + use<> {
    let kept = "private, max-age=31536000, immutable";
    ([(header::CONTENT_TYPE, asset.kind), (header::CACHE_CONTROL, kept)], asset.content)
}

/// The same, closed to the pages of other sites, and with the headers of every response, also of those that a layer of it gave.
pub fn protected(router: Router) -> Router {
    router
        .layer(from_fn(async |request: HttpRequest, next: Next| {
            if is_of_another_site(request.headers()) {
                let reason = "Another site's page may link to this one, but not read it.\n";
                return (StatusCode::FORBIDDEN, reason).into_response();
            }
            next.run(request).await
        }))
        .layer(map_response(async |mut response: Response| {
            for (name, value) in HEADERS {
                response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
            }
            response
        }))
}

/// Whether a page of another site asks, other than by a link that somebody follows. What does not say who asks is no browser.
fn is_of_another_site(headers: &HeaderMap) -> bool {
    let is = |name, value: &str| {
        headers.get(name).is_some_and(|sent| sent.as_bytes() == value.as_bytes())
    };
    let is_link = is("sec-fetch-mode", "navigate") && is("sec-fetch-dest", "document");
    is("sec-fetch-site", "cross-site") && !is_link
}

/// Whether a page of this site asks for a change, as a browser says it: by `Sec-Fetch-Site`, or before that by `Origin`.
#[must_use]
pub fn is_of_this_site(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin";
    }
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let origin = text(header::ORIGIN).and_then(|origin| origin.split_once("://"));
    origin.zip(text(header::HOST)).is_some_and(|((_, host), own)| host.eq_ignore_ascii_case(own))
}

/// Why there is no answer.
enum Failure {
    NotFound,
    BadRequest(String),
    /// A form that this site did not give to this session.
    Foreign,
    /// AWS cannot be read: a later attempt may succeed.
    Aws(anyhow::Error),
    /// The answer has so many bytes.
    TooLarge(usize),
    /// It is about so many servers, of which not all are kept.
    TooMany(usize),
}

impl Failure {
    fn parts(&self) -> (StatusCode, String) {
        match self {
            Self::NotFound => {
                (StatusCode::NOT_FOUND, "There is no such page or server.".to_owned())
            }
            Self::BadRequest(reason) => (StatusCode::BAD_REQUEST, reason.clone()),
            Self::Foreign => {
                let reason =
                    "This form is not from here, or not of this session. Load its page anew.";
                (StatusCode::FORBIDDEN, reason.to_owned())
            }
            Self::Aws(error) => (StatusCode::BAD_GATEWAY, format!("{error:#}")),
            Self::TooMany(servers) => {
                let reason = format!(
                    "This answer would have {servers} servers, and at most {MAX_SERVERS} are kept here. \
                     `heartbeatctl web` serves it on your machine; a group or a search makes it smaller, and \
                     /api/servers?limit={MAX_LISTED} has as many at once."
                );
                (StatusCode::SERVICE_UNAVAILABLE, reason)
            }
            Self::TooLarge(bytes) => {
                let megabytes = *bytes as f64 / 1e6;
                let reason = format!(
                    "This answer would have {megabytes:.1} MB, and AWS Lambda passes on 6. `heartbeatctl web` serves it \
                     on your machine; `Accept-Encoding: gzip`, a group, a search or a shorter time makes it smaller."
                );
                (StatusCode::SERVICE_UNAVAILABLE, reason)
            }
        }
    }

    /// A page, which is retried by itself if that may help.
    fn page(&self, root: Root, options: &Options) -> Response {
        let (status, reason) = self.parts();
        let retried_after = matches!(self, Self::Aws(_)).then(|| options.refresh.as_secs());
        (status, html::failure(&reason, root, retried_after)).into_response()
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

impl App {
    async fn fleet(&self, age: Duration, wanted: &Wanted) -> Result<Arc<Fleet>, Failure> {
        self.part(None, age, wanted).await
    }

    /// The servers of the group that is asked for, else all.
    async fn part(
        &self,
        group: Option<&str>,
        age: Duration,
        wanted: &Wanted,
    ) -> Result<Arc<Fleet>, Failure> {
        let group = in_group(group)?;
        self.scans.fleet(group.as_ref(), age, wanted).await.map_err(Failure::Aws)
    }

    fn visit<'a>(&self, session: &'a Option<Extension<Session>>) -> Visit<'a> {
        Visit {
            refresh: self.options.refresh.as_secs(),
            session: session.as_ref().map(|Extension(session)| session),
            may_silence: self.options.silence.is_some(),
        }
    }

    /// The fleet, and what happened in it.
    async fn look(&self, query: &Search) -> Result<(Arc<Fleet>, anyhow::Result<Events>), Failure> {
        let wanted = Wanted::search(&query.search);
        let fleet = self.part(query.group.as_deref(), query.age(), &wanted).await?;
        let events = self.events(fleet.at, Subject::Fleet).await;
        Ok((fleet, events))
    }

    /// What happened lately, as far as a page lists it.
    async fn events(&self, now: DateTime<Utc>, subject: Subject<'_>) -> anyhow::Result<Events> {
        let period = [now - EVENTS, now + TOLERANCE];
        Events::query(&self.tables, period, subject, html::MAX_EVENTS).await
    }

    /// The same of a server, with its uptime.
    async fn events_and_uptime(
        &self,
        server: &Server,
        subject: Subject<'_>,
    ) -> anyhow::Result<Events> {
        let mut events = self.events(server.at, subject).await?;
        let said = self.uptimes.say(&self.tables, &server.stored, subject, &events, server.at);
        events.uptime = said.await?;
        Ok(events)
    }

    /// The response of which `write` writes the body, unless it is too large.
    fn response(
        &self,
        kind: &'static str,
        coding: Coding,
        write: impl FnOnce(&mut Body) -> io::Result<()>,
    ) -> Result<Response, Failure> {
        let mut body = Body::new(coding, self.options.max_body);
        let written = write(&mut body).and_then(|()| body.finish());
        let bytes = written.map_err(|error| Failure::Aws(error.into()))?;
        let body = text(kind, bytes.map_err(Failure::TooLarge)?);
        Ok(match coding {
            Coding::Identity => body.into_response(),
            Coding::Gzip => ([(header::CONTENT_ENCODING, "gzip")], body).into_response(),
        })
    }

    /// A body of JSON.
    fn json(&self, coding: Coding, json: &[u8]) -> Result<Response, Failure> {
        self.response("application/json", coding, |body| body.write_all(json))
    }
}

/// The group that is asked for; `None` is all servers.
fn in_group(name: Option<&str>) -> Result<Option<Group>, Failure> {
    let group = name.filter(|name| !name.is_empty()).map(str::parse).transpose();
    group.map_err(|reason: &str| bad("group")(reason.to_owned()))
}

#[derive(Deserialize)]
struct Search {
    #[serde(default)]
    search: String,
    /// Only the servers of this group.
    group: Option<String>,
}

impl Search {
    /// How old the fleet may be in which it searches.
    const fn age(&self) -> Duration {
        if self.search.is_empty() { FRESH } else { SCRAPED }
    }
}

async fn fleet_page(
    State(app): State<Arc<App>>,
    session: Option<Extension<Session>>,
    Query(query): Query<Search>,
) -> Result<Markup, Response> {
    let looked = app.look(&query).await;
    let (fleet, events) = looked.map_err(|failure| failure.page(Root::of("/"), &app.options))?;
    let group = query.group.as_deref().unwrap_or_default();
    Ok(html::fleet(&fleet, &events, &query.search, group, app.visit(&session)))
}

async fn fleet_part(
    State(app): State<Arc<App>>,
    Query(query): Query<Search>,
) -> Result<Markup, Response> {
    let (fleet, events) = app.look(&query).await.map_err(|failure| failure.text())?;
    Ok(html::fleet_part(&fleet, &events, &query.search))
}

async fn server_page(
    State(app): State<Arc<App>>,
    OriginalUri(uri): OriginalUri,
    session: Option<Extension<Session>>,
    Path(id): Path<String>,
) -> Result<Markup, Response> {
    let failed = |failure: Failure| failure.page(Root::of(uri.path()), &app.options);
    let wanted = Wanted::Server(id.clone());
    let fleet = app.fleet(FRESH, &wanted).await.map_err(failed)?;
    let found = fleet.server(&id).zip(id.parse().ok());
    let (server, id) = found.ok_or_else(|| failed(Failure::NotFound))?;
    let events = app.events_and_uptime(server, fleet.events_of(&id)).await;
    Ok(html::server(server, &fleet, &events, app.visit(&session)))
}

/// All that an open page of a server shows, and what its charts do if a period is asked for.
async fn server_part(
    State(app): State<Arc<App>>,
    session: Option<Extension<Session>>,
    Path(id): Path<String>,
    Query(query): Query<HistoryQuery>,
) -> Result<Response, Response> {
    let answer = async {
        let server_id = id.parse().map_err(|_| Failure::NotFound)?;
        let fleet = app.fleet(FRESH, &Wanted::Server(id.clone())).await?;
        let server = fleet.server(&id).ok_or(Failure::NotFound)?;
        let subject = fleet.events_of(&server_id);
        let happened = app.events_and_uptime(server, subject).await;
        let part = html::server_part(server, &fleet, &happened, app.visit(&session));
        let mut json = format!("{{\"html\":{}", serde_json::json!(part.into_string())).into_bytes();
        if query.span.since.is_some() {
            let Period { since, until, .. } = query.span.period("24h", app.tables.clock.now())?;
            let events = Events::query(&app.tables, [since, until], subject, usize::MAX).await;
            let events = events.map_err(Failure::Aws)?.json();
            json.extend_from_slice(b",\"history\":");
            json.append(&mut app.history(&id, &query, chart::drawn()).await?);
            json.extend_from_slice(format!(",\"events\":{events}").as_bytes());
        }
        json.push(b'}');
        // It has what a page has, so it is not compressed: the length would tell what is in it.
        app.json(Coding::Identity, &json)
    };
    answer.await.map_err(|failure: Failure| failure.text())
}

/// Silences a server, or ends that, and leads back to its page.
async fn silence(
    State(app): State<Arc<App>>,
    OriginalUri(uri): OriginalUri,
    session: Option<Extension<Session>>,
    Path(id): Path<String>,
    form: Result<Form<silence::Form>, FormRejection>,
) -> Response {
    let changed = async {
        let Form(form) = form.map_err(|reason| Failure::BadRequest(reason.body_text()))?;
        let is_own = session.is_some_and(|Extension(session)| session.gave(&form.token));
        let (true, Some(retention)) = (is_own, app.options.silence) else {
            return Err(Failure::Foreign);
        };
        let server: ServerId = id.parse().map_err(|_| Failure::NotFound)?;
        let wanted = Wanted::Server(id.clone());
        let fleet = app.fleet(FRESH, &wanted).await?;
        let known = fleet.server(&id).ok_or(Failure::NotFound)?;
        let silenced = form.apply(&app.tables, &server, &known.stored, retention);
        silenced.await.map_err(Failure::Aws)?;
        // So that the page that follows shows it.
        app.fleet(Duration::ZERO, &wanted).await
    };
    match changed.await {
        Ok(_) => (StatusCode::SEE_OTHER, [(header::LOCATION, format!("../{id}"))]).into_response(),
        Err(failure) => {
            let (status, reason) = failure.parts();
            (status, html::failure(&reason, Root::of(uri.path()), None)).into_response()
        }
    }
}

/// What is asked of the servers: all of them, or so many after one.
#[derive(Deserialize)]
struct ServersQuery {
    #[serde(flatten)]
    search: Search,
    limit: Option<String>,
    after: Option<String>,
}

impl ServersQuery {
    /// How many servers are asked for, after which one; `None` if it is all of them.
    fn listing(&self) -> Result<Option<(usize, Option<ServerId>)>, Failure> {
        let Self { limit, after, .. } = self;
        if limit.is_none() && after.is_none() {
            return Ok(None);
        }
        let after = after.as_deref().map(str::parse).transpose();
        let after = after.map_err(|reason: &str| bad("after")(reason.to_owned()))?;
        let limit = limit.as_deref().map_or(Ok(MAX_LISTED), |limit| {
            let limit = limit.parse().ok().filter(|limit| (1..=MAX_LISTED).contains(limit));
            limit.ok_or_else(|| bad("limit")(format!("a number from 1 to {MAX_LISTED}")))
        })?;
        Ok(Some((limit, after)))
    }
}

async fn servers_json(
    State(app): State<Arc<App>>,
    coding: Coding,
    RawQuery(raw): RawQuery,
    Query(query): Query<ServersQuery>,
) -> Result<Response, Response> {
    let answer = async {
        let ServersQuery { search: Search { search, group }, .. } = &query;
        let wanted = Wanted::search(search);
        if let Some((limit, after)) = query.listing()? {
            let group = in_group(group.as_deref())?;
            let listing = app.scans.listing(group.as_ref(), &wanted, limit, after.as_ref()).await;
            let mut listing = listing.map_err(Failure::Aws)?;
            let response = loop {
                let write = |body: &mut Body| Ok(listing.write_json(body)?);
                match app.response("application/json", coding, write) {
                    Err(Failure::TooLarge(_)) if listing.halve() => {}
                    response => break response?,
                }
            };
            let link = listing.next.map(|next| {
                let link = link_to_next(raw.as_deref().unwrap_or_default(), &next);
                [(header::LINK, link)]
            });
            return Ok((link, response).into_response());
        }
        let fleet = app.part(group.as_deref(), query.search.age(), &wanted).await?;
        let (found, count) = fleet.find(search);
        if found.len() < count {
            return Err(Failure::TooMany(count));
        }
        app.response("application/json", coding, |body| Ok(fleet.write_json(search, body)?))
    };
    answer.await.map_err(|failure: Failure| failure.json())
}

/// Leads to the servers after that one, with all that was asked for besides.
fn link_to_next(query: &str, next: &ServerId) -> String {
    let kept = query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("after="));
    let next = format!("after={}", next.as_str());
    let query: Vec<_> = kept.chain([next.as_str()]).collect();
    format!("<servers?{}>; rel=\"next\"", query.join("&"))
}

/// A period in a query. It ends now if no end is given.
#[derive(Deserialize)]
struct Span {
    since: Option<String>,
    until: Option<String>,
}

impl Span {
    fn period(&self, default: &str, now: DateTime<Utc>) -> Result<Period, Failure> {
        let since = time::moment(self.since.as_deref().unwrap_or(default));
        let until = self.until.as_deref().map(time::moment).transpose();
        let (since, until) = (since.map_err(bad("since"))?, until.map_err(bad("until"))?);
        Period::new(since, until, now).map_err(bad("since"))
    }
}

/// Rejects a parameter.
fn bad(name: &'static str) -> impl Fn(String) -> Failure {
    move |reason| Failure::BadRequest(format!("{name}: {reason}"))
}

#[derive(Deserialize)]
struct EventsQuery {
    #[serde(flatten)]
    span: Span,
    server: Option<String>,
}

async fn events_json(
    State(app): State<Arc<App>>,
    coding: Coding,
    Query(query): Query<EventsQuery>,
) -> Result<Response, Response> {
    let answer = async {
        let Period { since, until, .. } = query.span.period("7d", app.tables.clock.now())?;
        let server = query.server.map(|id| id.parse::<ServerId>());
        let subject = match &server {
            None => Some(Subject::Fleet),
            Some(Ok(id)) => Some(app.fleet(SCRAPED, &Wanted::Any).await?.events_of(id)),
            // No server has this id.
            Some(Err(_)) => None,
        };
        let events = match subject {
            Some(subject) => {
                let events = Events::query(&app.tables, [since, until], subject, usize::MAX);
                events.await.map_err(Failure::Aws)?
            }
            None => Events::default(),
        };
        app.json(coding, events.json().as_bytes())
    };
    answer.await.map_err(|failure: Failure| failure.json())
}

#[derive(Deserialize)]
struct HistoryQuery {
    #[serde(flatten)]
    span: Span,
    every: Option<String>,
}

async fn history_json(
    State(app): State<Arc<App>>,
    coding: Coding,
    Path(id): Path<String>,
    Query(query): Query<HistoryQuery>,
) -> Result<Response, Response> {
    let metrics = METRICS.iter().collect();
    let answer = async { app.json(coding, &app.history(&id, &query, metrics).await?) };
    answer.await.map_err(|failure: Failure| failure.json())
}

impl App {
    /// The history of a server, as JSON.
    async fn history(
        &self,
        id: &str,
        query: &HistoryQuery,
        metrics: Vec<&'static Metric>,
    ) -> Result<Vec<u8>, Failure> {
        let server: ServerId = id.parse().map_err(|_| Failure::NotFound)?;
        let every = query
            .every
            .as_deref()
            .map(duration::parse_positive)
            .transpose()
            .map_err(bad("every"))?;
        let period = query.span.period("24h", self.tables.clock.now())?;
        let source =
            Source { client: self.tables.client.clone(), table: self.tables.metrics.clone() };
        let request = Request { server, metrics, period };
        let mut json = Vec::new();
        let (written, is_empty) = if request.period.is_in_days(every) {
            let found = source.days(&request, &|_| {}).await.map_err(Failure::Aws)?.found;
            let written = output::json_of_buckets(&mut json, &found, &request.metrics);
            (written, found.is_empty())
        } else if let Some(every) = every {
            let found = source.buckets(&request, every, &|_| {}).await.map_err(Failure::Aws)?.found;
            let written = output::json_of_buckets(&mut json, &found, &request.metrics);
            (written, found.is_empty())
        } else {
            let found = source.rows(&request, &|_| {}).await.map_err(Failure::Aws)?.found;
            let written = output::json_of_rows(&mut json, &found, &request.metrics);
            (written, found.is_empty())
        };
        written.map_err(|error| Failure::Aws(error.into()))?;
        // A server that was forgotten has rows until they expire.
        if is_empty {
            let fleet = self.fleet(SCRAPED, &Wanted::Server(id.to_owned())).await?;
            fleet.server(id).ok_or(Failure::NotFound)?;
        }
        Ok(json)
    }
}

async fn metrics(
    State(app): State<Arc<App>>,
    coding: Coding,
    Query(query): Query<Search>,
) -> Result<Response, Response> {
    let answer = async {
        let fleet = app.part(query.group.as_deref(), SCRAPED, &Wanted::Any).await?;
        if fleet.is_cut() {
            return Err(Failure::TooMany(fleet.summary.servers()));
        }
        app.response(openmetrics::CONTENT_TYPE, coding, |body| {
            openmetrics::encode(fleet, body).map_err(io::Error::other)
        })
    };
    answer.await.map_err(|failure: Failure| failure.text())
}

#[cfg(test)]
mod tests {
    use super::*;

    // C13.11
    #[test]
    fn another_sites_page_may_only_link_here() {
        for (site, mode, dest, is_rejected) in [
            ("", "", "", false),
            ("same-origin", "cors", "empty", false),
            ("none", "navigate", "document", false),
            ("cross-site", "navigate", "document", false),
            ("cross-site", "navigate", "iframe", true),
            ("cross-site", "no-cors", "image", true),
            ("cross-site", "cors", "empty", true),
            ("cross-site", "", "", true),
        ] {
            let headers =
                [("sec-fetch-site", site), ("sec-fetch-mode", mode), ("sec-fetch-dest", dest)];
            let sent = headers.into_iter().filter(|(_, value)| !value.is_empty());
            let map = sent.map(|(name, value)| {
                (HeaderName::from_static(name), HeaderValue::from_static(value))
            });
            let headers: HeaderMap = map.collect();
            assert_eq!(is_of_another_site(&headers), is_rejected, "{headers:?}");
        }
    }

    // C13.4
    #[test]
    fn only_a_page_of_this_site_asks_for_a_change() {
        let is_own = |headers: &[(&'static str, &'static str)]| {
            let headers = headers.iter().map(|(name, value)| {
                (HeaderName::from_static(name), HeaderValue::from_static(value))
            });
            is_of_this_site(&headers.collect())
        };
        let host = ("host", "page.example.com");
        for (site, expected) in
            [("same-origin", true), ("same-site", false), ("cross-site", false), ("none", false)]
        {
            // It counts alone.
            let origin = ("origin", "https://page.example.com");
            assert_eq!(is_own(&[("sec-fetch-site", site), host, origin]), expected, "{site}");
        }
        for (origin, expected) in [
            ("https://page.example.com", true),
            ("https://PAGE.example.com", true),
            ("https://page.example.com:444", false),
            ("https://evil.example", false),
            ("https://evil.example/page.example.com", false),
            ("null", false),
            ("", false),
        ] {
            assert_eq!(is_own(&[("origin", origin), host]), expected, "{origin}");
        }
        assert!(!is_own(&[host]) && !is_own(&[]));
    }

    // C13.10
    #[test]
    fn the_link_to_the_next_servers_keeps_what_was_asked_for() {
        let next: ServerId = "web-9".parse().expect("an id");
        for (query, expected) in [
            ("limit=10", "<servers?limit=10&after=web-9>; rel=\"next\""),
            ("after=web-1", "<servers?after=web-9>; rel=\"next\""),
            (
                "after=web-1&search=a%20%3E+b&group=web&limit=2",
                "<servers?search=a%20%3E+b&group=web&limit=2&after=web-9>; rel=\"next\"",
            ),
        ] {
            assert_eq!(link_to_next(query, &next), expected);
        }
    }
}
