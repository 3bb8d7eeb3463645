//! The response bodies, and how a response is built. All are JSON, and are never cached.

use crate::heartbeat::FieldError;
use lambda_http::http::{HeaderValue, StatusCode, header};
use lambda_http::{Body, Response};
#[cfg(test)]
use schemars::JsonSchema;
use serde::Serialize;

/// The response to a heartbeat whose writes are durable.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) struct HeartbeatResponse {
    #[cfg_attr(test, schemars(extend("const" = "ok")))]
    status: &'static str,
    /// True for exactly one heartbeat of a server: the one that registered it.
    server_registered: bool,
    /// Commands for the agent. Always empty so far.
    #[cfg_attr(test, schemars(with = "Vec<()>", extend("items" = serde_json::json!({}))))]
    pending_commands: [(); 0],
}

/// The path does not exist, or does not accept the method.
#[derive(Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) struct NoSuchRoute {
    pub detail: &'static str,
}

/// Why the heartbeat was not accepted.
#[derive(Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) struct Rejection {
    pub detail: Reason,
}

/// One reason.
#[derive(Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) struct Reason {
    /// For programs.
    pub code: Code,
    /// For people.
    pub message: &'static str,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Code {
    Unauthorized,
    Forbidden,
    PayloadTooLarge,
    Internal,
    Unavailable,
}

/// Everything that is wrong with the request.
#[derive(Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) struct Unprocessable<'a> {
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub detail: &'a [FieldError],
}

impl HeartbeatResponse {
    /// The response to a heartbeat that did or did not register its server.
    pub(crate) const fn new(server_registered: bool) -> Self {
        Self {
            status: "ok",
            server_registered,
            pending_commands: [],
        }
    }
}

/// Builds a response.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response<Body> {
    let body = serde_json::to_string(body).expect("response bodies can always be serialised");
    let mut response = Response::new(Body::Text(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
