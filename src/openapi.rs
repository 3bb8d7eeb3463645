//! The `OpenAPI` 3.1 document, built from the types of requests and responses. It is compiled only for tests: one
//! of them compares the document with `openapi.json`, and writes the file for `make openapi`.

use crate::error::Error;
use crate::handler::{API_KEY, MAX_BODY, PATH};
use crate::heartbeat::{self, Field, Heartbeat, HeartbeatId, Metrics, OsInfo};
use crate::response::{self, HeartbeatResponse, NoSuchRoute, Rejection, Unprocessable};
use aws_sdk_dynamodb::types::AttributeValue;
use lambda_http::http::StatusCode;
use lambda_http::{Body, Response};
use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

#[test]
fn the_document_in_the_repository_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    let document = format!("{:#}\n", document());
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(path, &document).expect("openapi.json can be written");
    }
    let stored = std::fs::read_to_string(path).unwrap_or_default();
    assert!(stored == document, "openapi.json is stale: make openapi");
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
            Err(errors) => errors[0].code.to_owned(),
            Ok(Heartbeat { timestamp, .. }) if member == "timestamp" => timestamp.to_string(),
            Ok(Heartbeat { metrics, .. }) => match metrics.attribute() {
                Some(AttributeValue::M(metrics)) => metrics[member].as_n().cloned().expect("N"),
                _ => panic!("no metrics"),
            },
        };
        assert_eq!(read, expected, "{member}");
    }
}

fn document() -> Value {
    let mut schemas = Schemas::new();
    schemas.define("Heartbeat", Heartbeat::definition());
    schemas.define("Metrics", Metrics::definition());
    schemas.define("OsInfo", OsInfo::definition());
    let operation = operation(&mut schemas);
    json!({
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
            "description": "The deployed stack.",
            "variables": {
                "base_url": {
                    "default": "https://api.example.com",
                    "description": format!("The stack's `HeartbeatUrl`, up to `{PATH}`."),
                },
            },
        }],
        "tags": [{ "name": "agents", "description": "The API for a fleet's agents." }],
        "paths": { PATH: { "post": operation } },
        "components": {
            "schemas": schemas.finish(),
            "securitySchemes": {
                "ApiKey": {
                    "type": "apiKey",
                    "in": "header",
                    "name": API_KEY.as_str(),
                    "description": "The agent's key. It may be bound to one server.",
                },
            },
        },
    })
}

/// Values that the schema does not cover: the member, the value sent, and the value read or the error code.
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
        "An agent sends one heartbeat every 60 seconds. Retrying one is always safe: an agent retries 429 and \
         every 5xx, with the same `Idempotency-Key`.\n\n\
         Unknown members are ignored. If a member is duplicated, the last one counts. The body is read as JSON, \
         whatever its `Content-Type`.\n\n\
         ## Lenient parsing\n\n\
         The schemas describe what an agent should send. Numbers and date-times are read more leniently, \
         as in pydantic's lax mode: a number may be in a string or be a boolean, and a date-time may lack \
         its time or offset (then it is UTC), or be a Unix time in seconds, or in milliseconds above 2e10. \
         Anything else is rejected; the table then shows the error code.\n\n\
         | member | sent | read as |\n|---|---|---|\n",
    );
    for (member, sent, read) in READINGS {
        text.push_str(&format!("| `{member}` | `{sent}` | `{read}` |\n"));
    }
    text.push_str(
        "\n## Responses of the gateway\n\n\
         API Gateway itself responds, with `{\"message\":…}`, if it throttles (429), if the function \
         crashes or times out (500), if the function cannot be reached (503), if a request exceeds \
         the gateway's own limits, or if a path has no route.",
    );
    text
}

fn operation(schemas: &mut Schemas) -> Value {
    json!({
        "operationId": "sendHeartbeat",
        "summary": "Send a heartbeat",
        "description": "Marks the server as online, registers it if it is new, and appends its metrics.",
        "tags": ["agents"],
        "security": [{ "ApiKey": [] }],
        "parameters": [{
            "name": HeartbeatId::HEADER,
            "in": "header",
            "description": "The agent's id for this heartbeat: any unique text. If it is the same for every \
                            attempt to send the heartbeat, the metrics are stored once.",
            "schema": HeartbeatId::schema(),
            "example": "1f0c9a52-9f6e-4b8c-8d53-6a3f7f0e2d11",
        }],
        "requestBody": {
            "required": true,
            "description": format!("At most {} KiB.", MAX_BODY / 1024),
            "content": {
                "application/json": {
                    "schema": reference("Heartbeat"),
                    "example": Heartbeat::example(),
                },
            },
        },
        "responses": responses(schemas),
    })
}

/// Every response: why a caller gets it, and the schema of its body.
fn responses(schemas: &mut Schemas) -> Map<String, Value> {
    let success = response::json(StatusCode::OK, &HeartbeatResponse::new(true));
    let field_errors = heartbeat::parse(br#"{"server_id":"NAS","hostname":"nas"}"#)
        .err()
        .unwrap_or_default();
    let no_such_route = schemas.of::<NoSuchRoute>();
    let rejection = schemas.of::<Rejection>();
    let errors = [
        (
            Error::Unauthorized,
            "No API key, or an unknown one.",
            &rejection,
        ),
        (
            Error::Forbidden,
            "The API key is bound to another server. Nothing was written.",
            &rejection,
        ),
        (Error::NotFound, "Unknown path.", &no_such_route),
        (Error::MethodNotAllowed, "Wrong method.", &no_such_route),
        (
            Error::PayloadTooLarge,
            "The body is larger than the limit.",
            &rejection,
        ),
        (
            Error::Unprocessable(field_errors),
            "Everything that is wrong with the request, in the schema's order.",
            &schemas.of::<Unprocessable>(),
        ),
        (
            Error::Internal(Vec::new()),
            "A permanent fault; or, from API Gateway, a crash or a timeout.",
            &rejection,
        ),
        (
            Error::Unavailable(Vec::new()),
            "A transient fault. One write may have succeeded; a retry completes the other. Or, from API \
             Gateway: the function cannot be reached.",
            &rejection,
        ),
    ];
    let reason = "Both writes are durable, now or from an earlier attempt.";
    let success = response(&success, reason, &schemas.of::<HeartbeatResponse>());
    let throttled = json!({
        "description": "API Gateway throttled the request.",
        "content": { "application/json": {
            "schema": schemas.of::<GatewayMessage>(),
            "example": GatewayMessage { message: "Too Many Requests" },
        } },
    });
    let mut responses = Map::new();
    responses.insert(StatusCode::OK.as_str().to_owned(), success);
    responses.insert(StatusCode::TOO_MANY_REQUESTS.as_str().to_owned(), throttled);
    for (error, reason, schema) in errors {
        let mut response = response(&Response::from(&error), reason, schema);
        let message = match error {
            Error::Internal(_) => Some("Internal Server Error"),
            Error::Unavailable(_) => Some("Service Unavailable"),
            _ => None,
        };
        if let Some(message) = message {
            add_gateway_response(&mut response, &GatewayMessage { message }, schemas);
        }
        responses.insert(error.status().as_str().to_owned(), response);
    }
    responses
}

/// The body of a response of API Gateway itself.
#[derive(serde::Serialize, JsonSchema)]
struct GatewayMessage {
    message: &'static str,
}

/// Adds the response that API Gateway itself sends with the same status, without our headers.
fn add_gateway_response(response: &mut Value, message: &GatewayMessage, schemas: &mut Schemas) {
    let content = &mut response["content"]["application/json"];
    let (schema, example) = (content["schema"].take(), content["example"].take());
    *content = json!({
        "schema": { "anyOf": [schema, schemas.of::<GatewayMessage>()] },
        "examples": {
            "function": { "value": example },
            "gateway": { "value": message },
        },
    });
    for header in response["headers"]
        .as_object_mut()
        .into_iter()
        .flat_map(Map::values_mut)
    {
        header["required"] = false.into();
    }
}

/// The headers of responses.
const HEADERS: [(&str, &str); 4] = [
    ("Allow", "The only allowed method."),
    ("Cache-Control", "Responses are never cached."),
    ("Retry-After", "Seconds to wait before the next attempt."),
    ("WWW-Authenticate", "The required authentication scheme."),
];

/// Describes a response, with its body as the example.
fn response(response: &Response<Body>, reason: &str, schema: &Schema) -> Value {
    let mut headers = Map::new();
    for (name, meaning) in HEADERS {
        let Some(value) = response.headers().get(name) else {
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
    let body: Value = serde_json::from_slice(response.body()).unwrap_or_default();
    json!({
        "description": reason,
        "headers": headers,
        "content": { "application/json": { "schema": schema, "example": body } },
    })
}

/// The schemas of the components.
struct Schemas {
    generator: SchemaGenerator,
    definitions: Map<String, Value>,
}

impl Schemas {
    fn new() -> Self {
        let settings = SchemaSettings::draft2020_12();
        let settings = settings.with(|it| it.definitions_path = "/components/schemas".into());
        Self {
            generator: settings.into_generator(),
            definitions: Map::new(),
        }
    }

    fn define(&mut self, name: &str, schema: Value) {
        self.definitions.insert(name.to_owned(), schema);
    }

    /// A reference to the schema of a type.
    fn of<T: JsonSchema>(&mut self) -> Schema {
        self.generator.subschema_for::<T>()
    }

    fn finish(mut self) -> Map<String, Value> {
        self.definitions
            .extend(self.generator.take_definitions(true));
        self.definitions
    }
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}
