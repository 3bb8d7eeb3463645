//! Every error of a heartbeat, and the response that it becomes. All bodies are JSON, and none is ever cached.

use super::auth::AuthError;
use super::heartbeat::FieldError;
use crate::fault::Fault;
use lambda_http::http::{HeaderName, HeaderValue, StatusCode, header};
use lambda_http::{Body, Response};
use serde::Serialize;
use serde_json::json;
use std::fmt;

/// Why a heartbeat was not accepted.
#[derive(Debug)]
pub enum Error {
    /// 404: unknown path.
    NotFound,
    /// 405 with `Allow`: the right path, but the wrong method.
    MethodNotAllowed,
    /// 401 with `WWW-Authenticate`: no key, or an unknown one.
    Unauthorized,
    /// 401 as well: the key's item in the keys table has an unreadable attribute with this name.
    MalformedKey(&'static str),
    /// 403: the key is bound to another server.
    Forbidden,
    /// 415: the body is compressed.
    UnsupportedMediaType,
    /// 413: the body is larger than the limit.
    PayloadTooLarge,
    /// 422: everything that is wrong with the request.
    Unprocessable(Vec<FieldError>),
    /// At least one call to DynamoDB failed. 500 if one of them failed permanently, else 503 with `Retry-After`.
    Storage(Vec<Fault>),
}

/// Seconds that an agent should wait before its next attempt.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

impl From<AuthError> for Error {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Unknown => Self::Unauthorized,
            AuthError::Malformed(attribute) => Self::MalformedKey(attribute),
            AuthError::Fault(fault) => Self::Storage(vec![fault]),
        }
    }
}

impl Error {
    /// The status of the response.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unauthorized | Self::MalformedKey(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unprocessable(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Storage(faults) if faults.iter().any(Fault::is_permanent) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            Self::Storage(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The code for programs and the message for people, unless FastAPI has a body of its own for this error.
    fn reason(&self) -> Option<(&'static str, &'static str)> {
        Some(match self {
            Self::NotFound | Self::MethodNotAllowed | Self::Unprocessable(_) => return None,
            Self::Unauthorized | Self::MalformedKey(_) => {
                ("UNAUTHORIZED", "Missing or invalid API key")
            }
            Self::Forbidden => ("FORBIDDEN", "This API key is bound to another server"),
            Self::UnsupportedMediaType => (
                "UNSUPPORTED_MEDIA_TYPE",
                "A Content-Encoding other than identity is not supported: send the body uncompressed",
            ),
            Self::PayloadTooLarge => ("PAYLOAD_TOO_LARGE", "The body is larger than 1 MiB"),
            Self::Storage(_) if self.status() == StatusCode::SERVICE_UNAVAILABLE => {
                ("UNAVAILABLE", "The heartbeat could not be stored; send it again")
            }
            Self::Storage(_) => ("INTERNAL", "The heartbeat could not be stored"),
        })
    }

    fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        match self.status() {
            StatusCode::METHOD_NOT_ALLOWED => {
                Some((header::ALLOW, HeaderValue::from_static("POST")))
            }
            StatusCode::UNAUTHORIZED => {
                Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("ApiKey")))
            }
            StatusCode::SERVICE_UNAVAILABLE => Some((header::RETRY_AFTER, RETRY_AFTER)),
            _ => None,
        }
    }
}

impl From<&Error> for Response<Body> {
    fn from(error: &Error) -> Self {
        let status = error.status();
        let body = match (error, error.reason()) {
            (_, Some((code, message))) => json!({ "detail": { "code": code, "message": message } }),
            (Error::Unprocessable(detail), None) => json!({ "detail": detail }),
            (_, None) => json!({ "detail": status.canonical_reason() }),
        };
        let mut response = respond(status, &body);
        response.headers_mut().extend(error.header());
        response
    }
}

/// The body of the response to a heartbeat whose writes are durable.
#[derive(Debug, Serialize)]
pub struct HeartbeatResponse {
    status: &'static str,
    /// True for exactly one heartbeat of a server: the one that registered it.
    server_registered: bool,
    /// Commands for the agent. Always empty so far.
    pending_commands: [(); 0],
}

impl HeartbeatResponse {
    pub const fn new(server_registered: bool) -> Self {
        Self { status: "ok", server_registered, pending_commands: [] }
    }
}

/// Builds a response.
pub fn respond(status: StatusCode, body: &impl Serialize) -> Response<Body> {
    let body = serde_json::to_string(body).expect("response bodies can always be serialised");
    let mut response = Response::new(Body::Text(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The reason for the log: field errors with location and rule, faults with all their causes.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("unknown path"),
            Self::MethodNotAllowed => f.write_str("wrong method"),
            Self::Unauthorized => f.write_str("missing or unknown API key"),
            Self::MalformedKey(attribute) => {
                write!(f, "{attribute} of an item in the keys table cannot be read")
            }
            Self::Forbidden => f.write_str("API key bound to another server"),
            Self::UnsupportedMediaType => f.write_str("content encoding"),
            Self::PayloadTooLarge => f.write_str("body above the limit"),
            Self::Unprocessable(errors) => write_all(f, errors, ", "),
            Self::Storage(faults) => write_all(f, faults, "; "),
        }
    }
}

fn write_all(
    f: &mut fmt::Formatter<'_>,
    all: &[impl fmt::Display],
    separator: &str,
) -> fmt::Result {
    for (index, one) in all.iter().enumerate() {
        f.write_str(if index == 0 { "" } else { separator })?;
        one.fmt(f)?;
    }
    Ok(())
}
