//! The `OpenAPI` 3.1 document, built from the types that read requests and the errors that answer them.
//!
//! What it says of a field comes from the field's type, and its example of an answer is that answer.

use crate::error::Error;
use crate::handler::{API_KEY, MAX_BODY, PATH};
use crate::heartbeat::{self, Heartbeat, HeartbeatId, HeartbeatResponse, Metrics, OsInfo};
use crate::response;
use lambda_http::http::StatusCode;
use lambda_http::{Body, Response};
use serde_json::{Map, Value, json};

/// The document, as the repository keeps it.
#[must_use]
pub fn document() -> String {
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": env!("CARGO_PKG_NAME"),
            "version": env!("CARGO_PKG_VERSION"),
            "summary": env!("CARGO_PKG_DESCRIPTION"),
            "description": description(),
            "license": { "name": env!("CARGO_PKG_LICENSE"), "identifier": env!("CARGO_PKG_LICENSE") },
        },
        "servers": [{
            "url": "{base_url}",
            "description": "Wherever the stack is deployed.",
            "variables": {
                "base_url": {
                    "default": "https://api.example.com",
                    "description": format!("The stack's `HeartbeatUrl`, up to `{PATH}`."),
                },
            },
        }],
        "tags": [{ "name": "agents", "description": "What a fleet's agents call." }],
        "paths": { PATH: { "post": operation() } },
        "components": {
            "schemas": {
                "FieldError": field_error(),
                "Heartbeat": Heartbeat::definition(),
                "HeartbeatResponse": heartbeat_response(),
                "Metrics": Metrics::definition(),
                "NoSuchRoute": no_such_route(),
                "OsInfo": OsInfo::definition(),
                "Refusal": refusal(),
                "Unprocessable": unprocessable(),
            },
            "securitySchemes": {
                "ApiKey": {
                    "type": "apiKey",
                    "in": "header",
                    "name": API_KEY.as_str(),
                    "description": "The agent's key. It may be bound to one server.",
                },
            },
        },
    });
    format!("{document:#}\n")
}

/// What is read beyond the schema: a member, what is sent, and how it is read or with which code refused.
const READINGS: [(&str, &str, &str); 14] = [
    ("load_1m", r#""0.5""#, "0.5"),
    ("load_1m", r#"" 1e3 ""#, "1000"),
    ("load_1m", "true", "1"),
    ("load_1m", r#""high""#, "float_parsing"),
    ("uptime_seconds", "86400.0", "86400"),
    ("uptime_seconds", r#"" +12.0 ""#, "12"),
    ("uptime_seconds", "12.5", "int_from_float"),
    ("uptime_seconds", r#""1e3""#, "int_parsing"),
    (
        "timestamp",
        r#""2026-01-18""#,
        "2026-01-18T00:00:00.000000Z",
    ),
    (
        "timestamp",
        r#""2026-01-18 11:30+0100""#,
        "2026-01-18T10:30:00.000000Z",
    ),
    (
        "timestamp",
        r#""2026-01-18T10:30:00,1234567""#,
        "2026-01-18T10:30:00.123456Z",
    ),
    ("timestamp", "1768732200", "2026-01-18T10:30:00.000000Z"),
    ("timestamp", "1768732200000", "2026-01-18T10:30:00.000000Z"),
    (
        "timestamp",
        r#""2026-01-18T24:00:00Z""#,
        "datetime_from_date_parsing",
    ),
];

fn description() -> String {
    let mut text = String::from(
        "An agent sends one heartbeat every 60 seconds. Repeating one is always safe.\n\n\
         Unknown members are ignored, and of a repeated one the last counts. The body is read as JSON \
         whatever its `Content-Type` says.\n\n\
         ## Lenient readings\n\n\
         The schemas say what an agent should send. Numbers and date-times are read more leniently than \
         that, as pydantic's lax mode reads them: a number may be spelled in a string or be a boolean, \
         and a date-time may lack its time or offset (then it is UTC), or be a Unix time in seconds, or \
         in milliseconds above 2e10. What cannot be read so is refused with the code that stands here \
         in its place.\n\n\
         | member | sent | read as |\n|---|---|---|\n",
    );
    for (member, sent, read) in READINGS {
        text.push_str(&format!("| `{member}` | `{sent}` | `{read}` |\n"));
    }
    text.push_str(
        "\n## Answers of the gateway\n\n\
         API Gateway may answer by itself, in its own form, where it throttles, where a request exceeds \
         its own limits, or where a path has no route.",
    );
    text
}

fn operation() -> Value {
    let success = response::json(StatusCode::OK, &HeartbeatResponse::new(true));
    let mut responses = Map::new();
    responses.insert(
        success.status().as_str().to_owned(),
        response(
            &success,
            "Both writes are durable, or were already.",
            "HeartbeatResponse",
        ),
    );
    for (error, reason, schema) in errors() {
        let status = error.status().as_str().to_owned();
        responses.insert(status, response(&Response::from(&error), reason, schema));
    }
    json!({
        "operationId": "sendHeartbeat",
        "summary": "Send a heartbeat",
        "description": "Marks the server as online, registers it when it is new, and appends its readings.",
        "tags": ["agents"],
        "security": [{ "ApiKey": [] }],
        "parameters": [{
            "name": HeartbeatId::HEADER,
            "in": "header",
            "description": "The agent's name for this heartbeat, the same each time that it is repeated: \
                            the readings are then stored once. Any unique text.",
            "schema": HeartbeatId::schema(),
            "example": "1f0c9a52-9f6e-4b8c-8d53-6a3f7f0e2d11",
        }],
        "requestBody": {
            "required": true,
            "description": format!("At most {} KiB.", MAX_BODY / 1024),
            "content": {
                "application/json": { "schema": reference("Heartbeat"), "example": Heartbeat::example() },
            },
        },
        "responses": responses,
    })
}

/// Every error, why a caller gets it, and the schema of its body.
fn errors() -> [(Error, &'static str, &'static str); 8] {
    let field_errors = heartbeat::parse(br#"{"server_id":"NAS","hostname":"nas"}"#)
        .err()
        .unwrap_or_default();
    [
        (
            Error::Unauthorized,
            "No API key, or one that nobody knows.",
            "Refusal",
        ),
        (
            Error::Forbidden,
            "The API key is bound to another server. Nothing was written.",
            "Refusal",
        ),
        (Error::NotFound, "Another path.", "NoSuchRoute"),
        (Error::MethodNotAllowed, "Another method.", "NoSuchRoute"),
        (
            Error::PayloadTooLarge,
            "The body is above the limit.",
            "Refusal",
        ),
        (
            Error::Unprocessable(field_errors),
            "Everything that is wrong with the request, in the schema's order.",
            "Unprocessable",
        ),
        (
            Error::Internal(Vec::new()),
            "A fault that repeating cannot cure.",
            "Refusal",
        ),
        (
            Error::Unavailable(Vec::new()),
            "Storage cannot be reached or will not write just now. One write may have landed; \
             the repeat completes the other.",
            "Refusal",
        ),
    ]
}

/// The headers that answers carry.
const HEADERS: [(&str, &str); 4] = [
    ("Allow", "The only method."),
    ("Cache-Control", "No answer is ever cached."),
    ("Retry-After", "Seconds to wait before the repeat."),
    ("WWW-Authenticate", "The scheme that is missing."),
];

/// Describes an answer by the very answer.
fn response(answer: &Response<Body>, reason: &str, schema: &str) -> Value {
    let mut headers = Map::new();
    for (name, meaning) in HEADERS {
        let Some(value) = answer.headers().get(name) else {
            continue;
        };
        let value = String::from_utf8_lossy(value.as_bytes());
        let schema = value.parse::<u32>().map_or_else(
            |_| json!({ "type": "string", "const": value }),
            |number| json!({ "type": "integer", "minimum": 0, "examples": [number] }),
        );
        let header = json!({ "description": meaning, "required": true, "schema": schema });
        headers.insert(name.to_owned(), header);
    }
    json!({
        "description": reason,
        "headers": headers,
        "content": { "application/json": { "schema": reference(schema), "example": body(answer) } },
    })
}

fn body(answer: &Response<Body>) -> Value {
    serde_json::from_slice(answer.body()).unwrap_or_default()
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn heartbeat_response() -> Value {
    json!({
        "type": "object",
        "description": "The answer to a heartbeat whose writes are durable.",
        "properties": {
            "status": { "type": "string", "const": "ok" },
            "server_registered": {
                "type": "boolean",
                "description": "True for exactly one heartbeat of a server: the one that registered it.",
            },
            "pending_commands": {
                "type": "array",
                "items": {},
                "description": "Commands for the agent. Always empty so far.",
            },
        },
        "required": ["status", "server_registered", "pending_commands"],
    })
}

fn no_such_route() -> Value {
    json!({
        "type": "object",
        "description": "Nothing answers at this path, or to this method.",
        "properties": { "detail": { "type": "string" } },
        "required": ["detail"],
    })
}

fn refusal() -> Value {
    let code = |(error, ..): (Error, _, _)| {
        let body = body(&Response::from(&error));
        body.pointer("/detail/code").cloned()
    };
    let codes: Vec<_> = errors().into_iter().filter_map(code).collect();
    json!({
        "type": "object",
        "description": "Why the heartbeat was not taken.",
        "properties": {
            "detail": {
                "type": "object",
                "title": "Reason",
                "properties": {
                    "code": { "type": "string", "description": "For programs.", "enum": codes },
                    "message": { "type": "string", "description": "For people." },
                },
                "required": ["code", "message"],
            },
        },
        "required": ["detail"],
    })
}

fn unprocessable() -> Value {
    json!({
        "type": "object",
        "description": "Everything that is wrong with the request.",
        "properties": {
            "detail": { "type": "array", "minItems": 1, "items": reference("FieldError") },
        },
        "required": ["detail"],
    })
}

fn field_error() -> Value {
    json!({
        "type": "object",
        "description": "One thing that is wrong with the request. It never repeats what was sent.",
        "properties": {
            "type": {
                "type": "string",
                "description": "Pydantic's code for the rule that is broken.",
                "examples": ["string_too_long"],
            },
            "loc": {
                "type": "array",
                "items": { "type": "string" },
                "minItems": 1,
                "description": "Where: `body` or `header`, then the path to the field.",
                "examples": [["body", "metrics", "cpu_percent"]],
            },
            "msg": { "type": "string", "description": "The rule, for people." },
        },
        "required": ["type", "loc", "msg"],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heartbeat::Field;
    use aws_sdk_dynamodb::types::AttributeValue;

    #[test]
    fn the_document_in_the_repository_is_up_to_date() {
        let kept = include_str!("../openapi.json");
        assert!(
            kept == document(),
            "openapi.json is stale: cargo run --example openapi"
        );
    }

    // C3.6, C3.7
    #[test]
    fn values_are_read_as_the_description_says() {
        for (member, sent, expected) in READINGS {
            let sent: Value = serde_json::from_str(sent).expect("JSON");
            let mut body = Heartbeat::example();
            let object = match member {
                "timestamp" => &mut body,
                _ => &mut body["metrics"],
            };
            object[member] = sent;
            let read = match heartbeat::parse(body.to_string().as_bytes()) {
                Err(errors) => errors[0].violation.code().to_owned(),
                Ok(Heartbeat { timestamp, .. }) if member == "timestamp" => timestamp.to_string(),
                Ok(Heartbeat { metrics, .. }) => match metrics.attribute() {
                    Some(AttributeValue::M(metrics)) => metrics[member].as_n().cloned().expect("N"),
                    _ => panic!("no metrics"),
                },
            };
            assert_eq!(read, expected, "{member}");
        }
    }

    #[test]
    fn every_member_of_an_answer_is_described() {
        let answer = json!(HeartbeatResponse::new(true));
        let described = heartbeat_response();
        let names = |object: &Value| object.as_object().map(|o| o.keys().cloned().collect());
        let names: (Option<Vec<_>>, _) = (names(&answer), names(&described["properties"]));
        assert_eq!(names.0, names.1);
    }
}
