//! Every error of a heartbeat, and the response that it becomes.

use crate::heartbeat::FieldError;
use crate::response::{self, Code, NoSuchRoute, Reason, Rejection, Unprocessable};
use aws_runtime::retries::classifiers::{THROTTLING_ERRORS, TRANSIENT_ERRORS};
use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use lambda_http::http::{HeaderName, HeaderValue, StatusCode, header};
use lambda_http::{Body, Response};
use std::error::Error as StdError;
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
    /// 413: the body is larger than the limit.
    PayloadTooLarge,
    /// 422: everything that is wrong with the request.
    Unprocessable(Vec<FieldError>),
    /// 503 with `Retry-After`: at least one call to DynamoDB failed, and none of them permanently.
    Unavailable(Vec<Fault>),
    /// 500: at least one call failed permanently.
    Internal(Vec<Fault>),
}

/// The error of a failed call to DynamoDB. It is logged with all its causes, and never sent to the caller.
pub type Fault = Box<dyn StdError + Send + Sync>;

/// Seconds that an agent should wait before its next attempt.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

impl Error {
    /// The status of the response.
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

    fn response(&self) -> Response<Body> {
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
        let mut response = error.response();
        response.headers_mut().extend(error.header());
        response
    }
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

/// Codes of 4xx responses that are transient, besides those that the SDK knows as throttling or transient. Lambda
/// renews expired credentials.
const TRANSIENT_CODES: [&str; 4] = [
    "ExpiredTokenException",
    "ItemCollectionSizeLimitExceededException",
    "ReplicatedWriteConflictException",
    "TransactionConflictException",
];

/// Error codes for a signature that is too old or too new. The SDK corrects its clock from the response.
pub(crate) const SIGNATURE_CODES: &[&str] = &[
    "InvalidSignatureException",
    "RequestExpired",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
];

impl Failure {
    /// Classifies a failure as transient (503) or permanent (500).
    ///
    /// A failure is permanent if the request could not be built, or if DynamoDB rejected it (a missing table, denied
    /// access). Everything else, from a failed connection to a response that cannot be parsed, is transient.
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

    /// Combines failures into one error, which is permanent if one of them is.
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
