//! The event of a request, whatever its headers hold.
//!
//! API Gateway is JSON, which can carry a control character where no header can. `lambda_http` cannot read such an event, so the
//! invocation would fail instead of the request.

use lambda_http::http::HeaderValue;
use lambda_http::request::LambdaRequest;
use serde::de::{Deserialize, Deserializer, Error};
use serde_json::Value;
use serde_json::value::RawValue;
use std::slice;

/// An event of API Gateway.
#[derive(Debug)]
pub struct Event(pub LambdaRequest);

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let event = <&RawValue>::deserialize(deserializer)?.get();
        let repaired = || {
            let mut event = serde_json::from_str(event).ok()?;
            repair(&mut event);
            read(&event.to_string())
        };
        // What serde says of an event may contain a key.
        let read = read(event).or_else(repaired).map(Self);
        read.ok_or_else(|| D::Error::custom("the payload is no request of API Gateway"))
    }
}

/// Reads either format, as `lambda_http` does, which would copy the event.
fn read(event: &str) -> Option<LambdaRequest> {
    let version_1 = serde_json::from_str(event).map(LambdaRequest::ApiGatewayV1);
    let read = version_1.or_else(|_| serde_json::from_str(event).map(LambdaRequest::ApiGatewayV2));
    read.ok()
}

/// Stands for each character that no header can hold. No key and no id contains it.
pub const REPLACEMENT: &str = "\u{fffd}";

fn repair(event: &mut Value) {
    for holder in ["headers", "multiValueHeaders"] {
        let headers = event.get_mut(holder).and_then(Value::as_object_mut);
        for (_, values) in headers.into_iter().flatten() {
            let values = match values {
                Value::Array(values) => values.as_mut_slice(),
                value => slice::from_mut(value),
            };
            for value in values {
                if let Value::String(text) = value
                    && HeaderValue::from_str(text).is_err()
                {
                    *text = text.replace(|character: char| character.is_control(), REPLACEMENT);
                }
            }
        }
    }
}
