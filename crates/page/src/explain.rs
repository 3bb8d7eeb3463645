//! Faults of AWS as one line for people.

use anyhow::anyhow;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use std::error::Error;
use std::fmt::Debug;

/// Turns an SDK error into one line, with a hint if the cause is known.
pub fn explain<E, R>(error: SdkError<E, R>) -> anyhow::Error
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    R: Debug + Send + Sync + 'static,
{
    if let Some(service) = error.as_service_error() {
        let code = service.code().unwrap_or("an unknown error");
        return match service.message() {
            Some(message) => anyhow!("{code}: {}", one_line(message)),
            None => anyhow!("{code}"),
        };
    }
    let chain = one_line(&format!("{:#}", anyhow!(error)));
    let hint = if chain.contains("Missing Region") || chain.contains("missing signing region") {
        "no AWS region: set AWS_REGION, or one in the profile"
    } else if chain.contains("redential") {
        "no AWS credentials: sign in as for the AWS CLI (AWS_PROFILE, `aws sso login`, …)"
    } else {
        "AWS cannot be reached"
    };
    anyhow!("{hint}: {chain}")
}

fn one_line(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    words.join(" ")
}

/// Like [`explain`], for an operation on a table, which is named if it does not exist.
pub fn explain_in<E, R>(table: &str) -> impl Fn(SdkError<E, R>) -> anyhow::Error
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    R: Debug + Send + Sync + 'static,
{
    move |error| match error.code() {
        Some("ResourceNotFoundException") => anyhow!("there is no table {table} in this region"),
        _ => explain(error),
    }
}
