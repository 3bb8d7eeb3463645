//! The `OpenAPI` 3.1 document, built from the types of requests and responses. It is compiled only for tests: one
//! of them compares the document with `openapi.json`, and writes the file for `make openapi`.

use super::error::{Error, HeartbeatResponse, respond};
use super::handler::{AGENT_TOKEN, API_KEY, MAX_BODY, PATH};
use super::heartbeat::{self, Heartbeat, Member, Object, OsInfo, Schema};
use crate::fault::Fault;
use lambda_http::http::StatusCode;
use lambda_http::{Body, Response};
use serde_json::{Map, Value, json};
use tables::metric::{MAX_AMOUNT, MAX_TEMPERATURE, METRICS, MIN_TEMPERATURE, Metric, Place, Rule};
use tables::{HeartbeatId, Number, ServiceStatus, time};

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
        let mut body = body().0;
        let object = match member {
            "timestamp" => &mut body,
            _ => &mut body["metrics"],
        };
        object[member] = sent;
        let read = match heartbeat::parse(body.to_string().as_bytes()) {
            Err(errors) => errors[0].code.to_owned(),
            Ok(Heartbeat { timestamp, .. }) if member == "timestamp" => time::format(timestamp),
            Ok(Heartbeat { metrics, .. }) => {
                let value = metrics.and_then(|metrics| metrics.get(member));
                value.expect("a value").to_string()
            }
        };
        assert_eq!(read, expected, "{member}");
    }
}

fn document() -> Value {
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
        "paths": { PATH: { "post": operation() } },
        "components": {
            "schemas": schemas(),
            "securitySchemes": {
                "ApiKey": {
                    "type": "apiKey",
                    "in": "header",
                    "name": API_KEY.as_str(),
                    "description": "The agent's key. It may be bound to one server.",
                },
                "AgentToken": {
                    "type": "apiKey",
                    "in": "header",
                    "name": AGENT_TOKEN.as_str(),
                    "description": "The same, from an agent that enrolled at HomelabCmd. If it is not empty, the other one is ignored.",
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
    ("timestamp", r#""2026-01-18""#, "2026-01-18T00:00:00.000000Z"),
    ("timestamp", r#""2026-01-18 11:30+0100""#, "2026-01-18T10:30:00.000000Z"),
    ("timestamp", r#""2026-01-18T10:30:00,1234567""#, "2026-01-18T10:30:00.123456Z"),
    ("timestamp", "1768732200", "2026-01-18T10:30:00.000000Z"),
    ("timestamp", "1768732200000", "2026-01-18T10:30:00.000000Z"),
    ("timestamp", r#""2026-01-18T24:00:00Z""#, "datetime_from_date_parsing"),
];

fn description() -> String {
    let mut text = String::from(
        "An agent sends one heartbeat every 60 seconds. Retrying one with the same `Idempotency-Key` is always safe.\n\n\
         Unknown members are ignored, and so is what does not have its form in a member that the first version of this \
         API did not know: `updates_available`, `security_updates`, `metrics.reboot_required`, `metrics.temperature_celsius`, `filesystems`, \
         `services`, `agent_version`, `server_guid`, `boot_id`. If a member is duplicated, the last one counts. The body is read as JSON, \
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

fn operation() -> Value {
    json!({
        "operationId": "sendHeartbeat",
        "summary": "Send a heartbeat",
        "description": "Marks the server as online, registers it if it is new, and appends its metrics.",
        "tags": ["agents"],
        "security": [{ "ApiKey": [] }, { "AgentToken": [] }],
        "parameters": [{
            "name": HeartbeatId::HEADER,
            "in": "header",
            "description": "The agent's id for this heartbeat: any unique text. If it is the same for every \
                            attempt to send the heartbeat, the metrics are stored once.",
            "schema": {
                "type": "string",
                "minLength": 1,
                "maxLength": HeartbeatId::MAX_LENGTH,
                "pattern": HeartbeatId::PATTERN,
            },
            "example": "1f0c9a52-9f6e-4b8c-8d53-6a3f7f0e2d11",
        }],
        "requestBody": {
            "required": true,
            "description": format!("At most {} MiB.", MAX_BODY / 1_048_576),
            "content": {
                "application/json": {
                    "schema": reference("Heartbeat"),
                    "example": body().0,
                },
            },
        },
        "responses": responses(),
    })
}

/// A complete example of the body, and its schema.
fn body() -> (Value, Value) {
    let (mut example, mut schema) = (example::<Heartbeat>(), definition::<Heartbeat>());
    let is_in_body = |place| place == Place::Body;
    for (object, added) in [
        (&mut example, each_metric(is_in_body, example_of_metric)),
        (&mut schema["properties"], each_metric(is_in_body, schema_of_metric)),
    ] {
        object.as_object_mut().expect("an object").extend(added);
    }
    (example, schema)
}

/// A complete example of an object.
fn example<T: Object>() -> Value {
    T::MEMBERS.iter().map(|member| (member.name.to_owned(), example_of(member))).collect()
}

fn example_of(member: &Member) -> Value {
    let schema = match member.schema {
        Schema::Nullable(schema) => *schema,
        schema => schema,
    };
    match schema {
        Schema::Bool => json!(member.example == "true"),
        Schema::Object(OsInfo::NAME) => example::<OsInfo>(),
        Schema::Object(_) => Value::Object(each_metric(is_in_metrics, example_of_metric)),
        Schema::List("Service") => json!([{
            "name": "plex",
            "status": "failed",
            "status_reason": "exit code 1",
        }]),
        Schema::List(_) => json!([{
            "mount_point": "/",
            "used_bytes": 42_949_672_960_u64,
            "available_bytes": 9_448_928_051_u64,
        }]),
        Schema::DateTime | Schema::Text { .. } | Schema::Nullable(_) => json!(member.example),
    }
}

/// The schema of an object, to which others refer.
fn definition<T: Object>() -> Value {
    let properties = T::MEMBERS.iter().map(|member| {
        let mut schema = schema_of(member.schema);
        schema["description"] = member.description.into();
        schema["examples"] = json!([example_of(member)]);
        (member.name.to_owned(), schema)
    });
    let required = T::MEMBERS.iter().filter(|member| member.is_required);
    json!({
        "type": "object",
        "description": T::DESCRIPTION,
        "properties": Map::from_iter(properties),
        "required": required.map(|member| member.name).collect::<Vec<_>>(),
    })
}

fn schema_of(schema: Schema) -> Value {
    match schema {
        Schema::Bool => json!({ "type": "boolean" }),
        Schema::DateTime => json!({ "type": "string", "format": "date-time" }),
        Schema::Text { min, max, pattern } => {
            let mut schema = json!({ "type": "string", "maxLength": max });
            if min > 0 {
                schema["minLength"] = min.into();
            }
            if let Some(pattern) = pattern {
                schema["pattern"] = pattern.into();
            }
            schema
        }
        Schema::Object(name) => reference(name),
        Schema::List(name) => json!({ "type": "array", "items": reference(name) }),
        Schema::Nullable(schema) => nullable(schema_of(*schema)),
    }
}

/// A schema that also allows null.
fn nullable(mut schema: Value) -> Value {
    match schema.get_mut("type") {
        Some(name) => *name = json!([name, "null"]),
        None => schema = json!({ "anyOf": [schema, { "type": "null" }] }),
    }
    schema
}

/// Something about each metric in a place, by its name.
fn each_metric(is_in: fn(Place) -> bool, about: fn(&Metric) -> Value) -> Map<String, Value> {
    let metrics = METRICS.iter().filter(|metric| is_in(metric.place));
    metrics.map(|metric| (metric.name.to_owned(), about(metric))).collect()
}

fn is_in_metrics(place: Place) -> bool {
    place != Place::Body
}

fn example_of_metric(metric: &Metric) -> Value {
    match (metric.rule, metric.example) {
        (Rule::Flag, flag) => json!(flag.as_f64() > 0.0),
        (_, Number::Float(float)) => json!(float),
        (_, Number::Whole(whole)) => json!(whole),
    }
}

fn schema_of_metric(metric: &Metric) -> Value {
    let number = |kind: &str, minimum: Value, maximum: Value| json!({ "type": kind, "minimum": minimum, "maximum": maximum });
    let mut schema = nullable(match metric.rule {
        Rule::Percent => number("number", 0.into(), 100.0.into()),
        Rule::Amount => number("number", 0.into(), MAX_AMOUNT.into()),
        Rule::Temperature => number("number", MIN_TEMPERATURE.into(), MAX_TEMPERATURE.into()),
        Rule::Count => number("integer", 0.into(), u64::MAX.into()),
        Rule::Flag => json!({ "type": "boolean" }),
    });
    schema["description"] = metric.description.into();
    schema["examples"] = json!([example_of_metric(metric)]);
    schema
}

/// Every response: why a caller gets it, and the schema of its body.
fn responses() -> Map<String, Value> {
    let success = respond(StatusCode::OK, &HeartbeatResponse::new(true));
    let field_errors =
        heartbeat::parse(br#"{"server_id":"NAS","hostname":"nas"}"#).err().unwrap_or_default();
    let errors = [
        (Error::Unauthorized, "No API key, or an unknown one.", "Rejection"),
        (
            Error::Forbidden,
            "The API key is bound to another server. Nothing was written.",
            "Rejection",
        ),
        (
            Error::NotFound,
            "Unknown path; or, from API Gateway, a path or a method without a route.",
            "NoSuchRoute",
        ),
        (
            Error::MethodNotAllowed,
            "Wrong method, where every method reaches the function. The deployed stack has one route: API Gateway answers \
             other methods with 404.",
            "NoSuchRoute",
        ),
        (Error::PayloadTooLarge, "The body is larger than the limit.", "Rejection"),
        (Error::UnsupportedMediaType, "The body is compressed.", "Rejection"),
        (
            Error::Unprocessable(field_errors),
            "Everything that is wrong with the request, in the schema's order.",
            "Unprocessable",
        ),
        (
            Error::Storage(vec![Fault::Permanent("".into())]),
            "A permanent fault; or, from API Gateway, a crash or a timeout.",
            "Rejection",
        ),
        (
            Error::Storage(vec![Fault::Transient("".into())]),
            "A transient fault. One write may have succeeded; a retry completes the other. Or, from API \
             Gateway: the function cannot be reached.",
            "Rejection",
        ),
    ];
    let reason = "Both writes are durable, now or from an earlier attempt.";
    let success = response(&success, reason, "HeartbeatResponse");
    let throttled = json!({
        "description": "API Gateway throttled the request.",
        "content": { "application/json": {
            "schema": reference("GatewayMessage"),
            "example": { "message": "Too Many Requests" },
        } },
    });
    let mut responses = Map::new();
    responses.insert(StatusCode::OK.as_str().to_owned(), success);
    responses.insert(StatusCode::TOO_MANY_REQUESTS.as_str().to_owned(), throttled);
    for (error, reason, schema) in errors {
        let mut response = response(&Response::from(&error), reason, schema);
        if let Error::Storage(_) | Error::NotFound = error {
            add_gateway_response(&mut response, error.status());
        }
        responses.insert(error.status().as_str().to_owned(), response);
    }
    responses
}

/// Adds the response that API Gateway itself sends with the same status, without our headers.
fn add_gateway_response(response: &mut Value, status: StatusCode) {
    let content = &mut response["content"]["application/json"];
    let (schema, example) = (content["schema"].take(), content["example"].take());
    *content = json!({
        "schema": { "anyOf": [schema, reference("GatewayMessage")] },
        "examples": {
            "function": { "value": example },
            "gateway": { "value": { "message": status.canonical_reason() } },
        },
    });
    for header in response["headers"].as_object_mut().into_iter().flat_map(Map::values_mut) {
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
fn response(response: &Response<Body>, reason: &str, schema: &str) -> Value {
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
        "content": { "application/json": { "schema": reference(schema), "example": body } },
    })
}

/// The schemas of the bodies.
fn schemas() -> Value {
    let text = |description: &str| json!({ "type": "string", "description": description });
    let bytes =
        |description: &str| json!({ "type": "integer", "minimum": 0, "description": description });
    json!({
        "Heartbeat": body().1,
        "FileSystem": {
            "type": "object",
            "description": "A file system. How full it is follows from its bytes, as in `df`, or else is `percent`. An \
                            entry without this form is left out.",
            "properties": {
                "mount_point": {
                    "type": "string",
                    "minLength": 1,
                    "description": "Where it is mounted. Beyond 64 bytes, it is shortened in the middle.",
                },
                "used_bytes": bytes("The bytes in use."),
                "available_bytes": bytes("The bytes that are left for users."),
                "percent": {
                    "type": "number",
                    "minimum": 0,
                    "maximum": 100,
                    "description": "The share in use, where the bytes are not known.",
                },
            },
            "required": ["mount_point"],
        },
        "Metrics": {
            "type": "object",
            "description": "One set of readings; every one is optional.",
            "properties": each_metric(is_in_metrics, schema_of_metric),
            "required": [],
        },
        "OsInfo": definition::<OsInfo>(),
        "Service": {
            "type": "object",
            "description": "A service. An entry without this form is left out.",
            "properties": {
                "name": {
                    "type": "string",
                    "minLength": 1,
                    "description": "Its name. Beyond 40 bytes, it is shortened in the middle.",
                },
                "status": {
                    "type": "string",
                    "enum": ServiceStatus::ALL.map(ServiceStatus::as_str),
                    "description": "What it does. Those that do not run are stored.",
                },
                "status_reason": {
                    "type": "string",
                    "description": "Why it does not run, in words. Beyond 80 bytes, or 200 in all, it is shortened in the \
                                    middle.",
                },
            },
            "required": ["name", "status"],
        },
        "HeartbeatResponse": object(
            "The response to a heartbeat whose writes are durable.",
            [
                ("status", json!({ "type": "string", "const": "ok" })),
                ("server_registered", json!({
                    "type": "boolean",
                    "description": "True for exactly one heartbeat of a server: the one that registered it.",
                })),
                ("pending_commands", json!({
                    "type": "array",
                    "items": {},
                    "description": "Commands for the agent. Always empty so far.",
                })),
            ],
        ),
        "FieldError": object(
            "A rule that the request breaks. It never contains what was sent.",
            [
                ("type", json!({
                    "type": "string",
                    "description": "Pydantic's code for the rule.",
                    "examples": ["string_too_long"],
                })),
                ("loc", json!({
                    "type": "array",
                    "items": { "type": "string" },
                    "minItems": 1,
                    "description": "The location: `body` or `header`, then the path to the field.",
                    "examples": [["body", "metrics", "cpu_percent"]],
                })),
                ("msg", text("The rule, as a message for people.")),
            ],
        ),
        "GatewayMessage": object(
            "The body of a response of API Gateway itself.",
            [("message", json!({ "type": "string" }))],
        ),
        "NoSuchRoute": object(
            "The path does not exist, or does not accept the method.",
            [("detail", json!({ "type": "string" }))],
        ),
        "Rejection": object(
            "Why the heartbeat was not accepted.",
            [("detail", reference("Reason"))],
        ),
        "Reason": object(
            "One reason.",
            [
                ("code", json!({
                    "$ref": "#/components/schemas/Code",
                    "description": "For programs.",
                })),
                ("message", text("For people.")),
            ],
        ),
        "Code": {
            "type": "string",
            "enum": [
                "UNAUTHORIZED",
                "FORBIDDEN",
                "PAYLOAD_TOO_LARGE",
                "UNSUPPORTED_MEDIA_TYPE",
                "INTERNAL",
                "UNAVAILABLE",
            ],
        },
        "Unprocessable": object(
            "Everything that is wrong with the request.",
            [("detail", json!({ "type": "array", "items": reference("FieldError"), "minItems": 1 }))],
        ),
    })
}

/// The schema of an object whose members are all required.
fn object<const N: usize>(description: &str, members: [(&str, Value); N]) -> Value {
    let required = members.each_ref().map(|(name, _)| (*name).to_owned());
    let members = members.map(|(name, schema)| (name.to_owned(), schema));
    json!({
        "type": "object",
        "description": description,
        "properties": Map::from_iter(members),
        "required": required.to_vec(),
    })
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}
