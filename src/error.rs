//! Everything that can stop a heartbeat, and the answer that each becomes.

use crate::heartbeat::FieldError;
use crate::response::{self, Code, NoSuchRoute, Reason, Rejection, Unprocessable};
use aws_runtime::retries::classifiers::{THROTTLING_ERRORS, TRANSIENT_ERRORS};
use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use lambda_http::http::{HeaderName, HeaderValue, StatusCode, header};
use lambda_http::{Body, Response};
use std::error::Error as StdError;
use std::fmt;

/// Why a request was not answered with 200.
#[derive(Debug)]
pub enum Error {
    /// 404: another path.
    NotFound,
    /// 405 with `Allow`: the right path, another method.
    MethodNotAllowed,
    /// 401 with `WWW-Authenticate`: no key, or an unknown one.
    Unauthorized,
    /// 401 as well: the keys table holds the key, in an item with an unreadable attribute of this name.
    MalformedKey(&'static str),
    /// 403: a key that is bound to another server.
    Forbidden,
    /// 413: a body above the limit.
    PayloadTooLarge,
    /// 422: everything that is wrong with the request.
    Unprocessable(Vec<FieldError>),
    /// 503 with `Retry-After`: DynamoDB could not be reached, or rejected a call that it may accept a moment
    /// later.
    Unavailable(Vec<Fault>),
    /// 500: at least one call failed in a way that no retry can change.
    Internal(Vec<Fault>),
}

/// A call to DynamoDB that failed: for the log alone, with all its causes.
pub type Fault = Box<dyn StdError + Send + Sync>;

/// Seconds that an agent should wait before its next attempt.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

impl Error {
    /// The status of the answer.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unauthorized | Self::MalformedKey(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unprocessable(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn answer(&self) -> Response<Body> {
        let status = self.status();
        let (code, message) = match self {
            Self::NotFound => {
                let detail = "Not Found";
                return response::json(status, &NoSuchRoute { detail });
            }
            Self::MethodNotAllowed => {
                let detail = "Method Not Allowed";
                return response::json(status, &NoSuchRoute { detail });
            }
            Self::Unprocessable(detail) => {
                return response::json(status, &Unprocessable { detail });
            }
            Self::Unauthorized | Self::MalformedKey(_) => {
                (Code::Unauthorized, "Missing or invalid API key")
            }
            Self::Forbidden => (Code::Forbidden, "This API key is bound to another server"),
            Self::PayloadTooLarge => (Code::PayloadTooLarge, "The body is larger than 64 KiB"),
            Self::Internal(_) => (Code::Internal, "The heartbeat could not be stored"),
            Self::Unavailable(_) => (
                Code::Unavailable,
                "The heartbeat could not be stored; send it again",
            ),
        };
        let detail = Reason { code, message };
        response::json(status, &Rejection { detail })
    }

    const fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::MethodNotAllowed => Some((header::ALLOW, HeaderValue::from_static("POST"))),
            Self::Unauthorized | Self::MalformedKey(_) => {
                Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("ApiKey")))
            }
            Self::Unavailable(_) => Some((header::RETRY_AFTER, RETRY_AFTER)),
            _ => None,
        }
    }
}

impl From<&Error> for Response<Body> {
    fn from(error: &Error) -> Self {
        let mut answer = error.answer();
        answer.headers_mut().extend(error.header());
        answer
    }
}

/// The reason, for the log: field errors by place and rule, faults with the whole chain of causes.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("another path"),
            Self::MethodNotAllowed => f.write_str("another method"),
            Self::Unauthorized => f.write_str("missing or unknown API key"),
            Self::MalformedKey(attribute) => {
                write!(f, "{attribute} of an item in the keys table cannot be read")
            }
            Self::Forbidden => f.write_str("API key bound to another server"),
            Self::PayloadTooLarge => f.write_str("body above the limit"),
            Self::Unprocessable(errors) => {
                let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
                f.write_str(&errors.join(", "))
            }
            Self::Unavailable(faults) | Self::Internal(faults) => {
                let faults: Vec<_> = faults
                    .iter()
                    .map(|fault| DisplayErrorContext(fault.as_ref()).to_string())
                    .collect();
                f.write_str(&faults.join("; "))
            }
        }
    }
}

/// A call to DynamoDB that failed.
pub(crate) struct Failure {
    is_permanent: bool,
    fault: Fault,
}

/// Codes of 4xx answers that a later attempt may not get, beside those that the SDK knows as throttling or
/// transient. Lambda renews credentials that have expired.
const TRANSIENT_CODES: [&str; 4] = [
    "ExpiredTokenException",
    "ItemCollectionSizeLimitExceededException",
    "ReplicatedWriteConflictException",
    "TransactionConflictException",
];

/// Codes of an answer to a signature that is too old or too new. The SDK corrects the clock by that answer.
pub(crate) const SIGNATURE_CODES: &[&str] = &[
    "InvalidSignatureException",
    "RequestExpired",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
];

impl Failure {
    /// Classifies a failure as transient (503) or permanent (500).
    ///
    /// Permanent is a request that could not be built, and what DynamoDB itself says of one (a missing
    /// table, denied access). All else, from a rejected connection to an answer that makes no sense, may be
    /// over in a moment.
    pub(crate) fn classify<E>(error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    {
        let is_transient = |code| {
            [
                &TRANSIENT_CODES[..],
                SIGNATURE_CODES,
                THROTTLING_ERRORS,
                TRANSIENT_ERRORS,
            ]
            .iter()
            .any(|codes| codes.contains(&code))
        };
        let is_permanent = match &error {
            SdkError::ConstructionFailure(_) => true,
            SdkError::ServiceError(rejection) => {
                let code = rejection.err().code();
                rejection.raw().status().is_client_error()
                    && code.is_some_and(|code| !is_transient(code))
            }
            _ => false,
        };
        Self {
            is_permanent,
            fault: error.into(),
        }
    }

    /// The answer to a heartbeat with these failures: permanent if one of them is.
    pub(crate) fn join(failures: impl IntoIterator<Item = Self>) -> Error {
        let mut is_permanent = false;
        let faults = failures.into_iter().map(|failure| {
            is_permanent |= failure.is_permanent;
            failure.fault
        });
        let faults = faults.collect();
        if is_permanent {
            Error::Internal(faults)
        } else {
            Error::Unavailable(faults)
        }
    }
}
