//! The path of one request: route → authenticate → parse → record → respond.

use super::auth::Auth;
use super::error::{Error, HeartbeatResponse, respond};
use super::heartbeat::{self, FieldError};
use super::store::Store;
use crate::event::REPLACEMENT;
use crate::fault::Fault;
use chrono::Utc;
use lambda_http::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use lambda_http::request::RequestContext;
use lambda_http::{Body, Request, RequestExt, Response};
use std::time::Duration;
use tables::HeartbeatId;
use tokio::time::{Instant, timeout_at};
use tracing::{debug, error, info, warn};

/// The only path that exists.
pub const PATH: &str = "/api/v1/agents/heartbeat";

/// The maximum size of a body after base64 decoding, bytes.
pub const MAX_BODY: usize = 1024 * 1024;

/// The header that holds the key.
pub const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The header that holds the key of an agent that enrolled at HomelabCmd. It precedes the other one.
pub const AGENT_TOKEN: HeaderName = HeaderName::from_static("x-agent-token");

/// The state that all requests share.
pub struct App {
    /// The keys that are accepted.
    pub auth: Auth,
    /// The tables that hold heartbeats.
    pub store: Store,
    /// How long the lookup of a key and the writes may take together.
    pub operation_timeout: Duration,
}

/// Handles one request. Errors become responses, too.
pub async fn handle(app: &App, request: Request) -> Response<Body> {
    let request_id = request.lambda_context_ref().map_or("", |context| &context.request_id);
    match record(app, &request, request_id).await {
        Ok(response) => respond(StatusCode::OK, &response),
        Err(error) => {
            let status = error.status().as_u16();
            match error {
                Error::Storage(_) => {
                    error!(request_id, status, reason = %error, "storage fault");
                }
                Error::MalformedKey(_) => {
                    error!(request_id, status, reason = %error, "malformed key");
                }
                _ => warn!(request_id, status, reason = %error, "rejected"),
            }
            Response::from(&error)
        }
    }
}

async fn record(
    app: &App,
    request: &Request,
    request_id: &str,
) -> Result<HeartbeatResponse, Error> {
    let received_at = Utc::now();
    route(request)?;
    let key = presented_key(request.headers()).ok_or(Error::Unauthorized)?;
    let grant = app.auth.authenticate(key, received_at).await?;
    if !is_plain(request.headers()) {
        return Err(Error::UnsupportedMediaType);
    }
    if request.body().len() > MAX_BODY {
        return Err(Error::PayloadTooLarge);
    }
    let (id, heartbeat) = match (identify(request, request_id), heartbeat::parse(request.body())) {
        (Ok(id), Ok(heartbeat)) => (id, heartbeat),
        (id, heartbeat) => {
            let errors = id.err().into_iter().chain(heartbeat.err().into_iter().flatten());
            return Err(Error::Unprocessable(errors.collect()));
        }
    };
    let server_id = &heartbeat.server_id;
    if !grant.allows(server_id) {
        return Err(Error::Forbidden);
    }
    debug!(request_id, %server_id, "heartbeat received");
    let started = grant.asked_at.unwrap_or_else(Instant::now);
    let deadline = started + app.operation_timeout;
    let recording = app.store.record(&heartbeat, &id, grant.group(), received_at);
    let recorded = match grant.asked_at {
        None => recording.await,
        // Each call alone may take the whole timeout. The lookup and the writes together may not take longer.
        Some(_) => timeout_at(deadline, recording)
            .await
            .unwrap_or_else(|elapsed| Err(vec![Fault::Transient(elapsed.into())])),
    };
    let recorded = recorded.map_err(Error::Storage)?;
    if recorded.is_registration {
        info!(request_id, %server_id, "server registered");
    }
    if recorded.is_unnoted_return {
        let noting = app.store.note_duplicate(server_id, received_at);
        let noted = timeout_at(deadline, noting).await;
        if let Err(fault) = noted.unwrap_or_else(|elapsed| Err(Fault::Transient(elapsed.into()))) {
            warn!(request_id, %server_id, reason = %fault, "returned sender not noted");
        }
    }
    Ok(HeartbeatResponse::new(recorded.is_registration))
}

fn route(request: &Request) -> Result<(), Error> {
    let (stage, route_key) = match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV1(context)) => (context.stage.as_deref(), None),
        Some(RequestContext::ApiGatewayV2(context)) => {
            (context.stage.as_deref(), context.route_key.as_deref())
        }
        _ => (None, None),
    };
    let path = request.raw_http_path();
    let after_stage = || stage.and_then(|stage| path.strip_prefix('/')?.strip_prefix(stage));
    // The API mapping of a custom domain adds a prefix to the path, but not to the route.
    let is_route = || route_key.and_then(|key| key.strip_prefix("POST ")) == Some(PATH);
    if path != PATH && after_stage() != Some(PATH) && !is_route() {
        return Err(Error::NotFound);
    }
    if request.method() != Method::POST {
        return Err(Error::MethodNotAllowed);
    }
    Ok(())
}

/// The agent token, unless it is empty, or else the API key.
fn presented_key(headers: &HeaderMap) -> Option<&[u8]> {
    let mut tokens = headers.get_all(AGENT_TOKEN).iter();
    let header = if tokens.all(|token| token.as_bytes().trim_ascii().is_empty()) {
        &API_KEY
    } else {
        &AGENT_TOKEN
    };
    single_value(headers, header)
}

/// The heartbeat's id: the agent's `Idempotency-Key`, or else the request id.
fn identify(request: &Request, request_id: &str) -> Result<HeartbeatId, FieldError> {
    let name = HeaderName::from_static(HeartbeatId::HEADER);
    match single_value(request.headers(), &name) {
        None => Ok(HeartbeatId::of_request(request_id)),
        Some(sent) => HeartbeatId::new(sent)
            .map_err(|rule| FieldError::in_header(HeartbeatId::HEADER, &rule.into())),
    }
}

/// Whether the body is not compressed. An empty value means `identity`, and what no header can hold means nothing.
fn is_plain(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::CONTENT_ENCODING).iter();
    let is_ignored = |value: &&HeaderValue| {
        std::str::from_utf8(value.as_bytes()).is_ok_and(|text| text.contains(REPLACEMENT))
    };
    values
        .filter(|value| !is_ignored(value))
        .map(|value| value.as_bytes().trim_ascii())
        .all(|value| value.is_empty() || value.eq_ignore_ascii_case(b"identity"))
}

/// The value of a header that was sent once, without surrounding white space.
fn single_value<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Some(value.as_bytes().trim_ascii()),
        _ => None,
    }
}
