//! A call to AWS that failed: whether a retry can help, and why it failed.

use aws_runtime::retries::classifiers::{THROTTLING_ERRORS, TRANSIENT_ERRORS};
use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use std::error::Error;
use std::fmt;

/// A failed call. It holds the error with all its causes, which is logged and never sent to a caller.
#[derive(Debug)]
pub enum Fault {
    /// A retry may succeed.
    Transient(Source),
    /// No retry succeeds until somebody changes something, such as a missing table or permission.
    Permanent(Source),
}

/// The error of a failed call.
pub type Source = Box<dyn Error + Send + Sync>;

/// Codes of 4xx responses that are transient, besides those that the SDK knows as throttling or transient. Lambda
/// renews expired credentials.
const TRANSIENT_CODES: &[&str] = &[
    "ExpiredTokenException",
    "ItemCollectionSizeLimitExceededException",
    "ReplicatedWriteConflictException",
    "TransactionConflictException",
];

/// Error codes for a signature that is too old or too new. The SDK corrects its clock from the response.
pub const SIGNATURE_CODES: &[&str] = &[
    "InvalidSignatureException",
    "RequestExpired",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
];

impl Fault {
    /// Classifies the error of a call.
    ///
    /// It is permanent if the request could not be built, or if the service rejected it. Everything else, from a failed
    /// connection to a response that cannot be parsed, is transient.
    pub fn of<E>(error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let is_permanent = match &error {
            SdkError::ConstructionFailure(_) => true,
            SdkError::ServiceError(rejection) => {
                let code = rejection.err().code();
                rejection.raw().status().is_client_error()
                    && code.is_some_and(|code| !is_transient(code))
            }
            _ => false,
        };
        if is_permanent { Self::Permanent(error.into()) } else { Self::Transient(error.into()) }
    }

    #[must_use]
    pub const fn is_permanent(&self) -> bool {
        matches!(self, Self::Permanent(_))
    }
}

fn is_transient(code: &str) -> bool {
    let lists = [TRANSIENT_CODES, SIGNATURE_CODES, THROTTLING_ERRORS, TRANSIENT_ERRORS];
    lists.iter().any(|codes| codes.contains(&code))
}

/// The error with all its causes.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Transient(source) | Self::Permanent(source)) = self;
        DisplayErrorContext(source.as_ref()).fmt(f)
    }
}
