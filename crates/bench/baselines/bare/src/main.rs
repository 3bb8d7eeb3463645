//! Baseline: the same two requests, signed with `aws-sigv4` and sent by hand over two open connections. It validates
//! nothing, retries nothing and has no timeouts: no function can do less.

use anyhow::{Context, Result, ensure};
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use lambda_runtime::{LambdaEvent, service_fn};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::env;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;

const RETENTION: TimeDelta = TimeDelta::days(30);

#[derive(Deserialize)]
struct Event {
    body: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let function = &Function::connect().await?;
    lambda_runtime::run(service_fn(|event: LambdaEvent<Event>| async move {
        let body = function.record(&event).await?;
        Ok::<_, anyhow::Error>(json!({
            "statusCode": 200,
            "headers": { "content-type": "application/json", "cache-control": "no-store" },
            "body": body.to_string(),
            "isBase64Encoded": false,
        }))
    }))
    .await
}

struct Function {
    identity: Identity,
    region: String,
    servers_table: String,
    metrics_table: String,
    servers: Connection,
    metrics: Connection,
}

impl Function {
    async fn connect() -> Result<Self> {
        let credentials = Credentials::new(
            env::var("AWS_ACCESS_KEY_ID")?,
            env::var("AWS_SECRET_ACCESS_KEY")?,
            env::var("AWS_SESSION_TOKEN").ok(),
            None,
            "environment",
        );
        let uri: Uri = env::var("AWS_ENDPOINT_URL_DYNAMODB")?.parse()?;
        let tls = tls()?;
        let (servers, metrics) = tokio::try_join!(
            Connection::open(uri.clone(), tls.clone()),
            Connection::open(uri, tls),
        )?;
        Ok(Self {
            identity: credentials.into(),
            region: env::var("AWS_REGION")?,
            servers_table: env::var("SERVERS_TABLE")?,
            metrics_table: env::var("METRICS_TABLE")?,
            servers,
            metrics,
        })
    }

    async fn record(&self, event: &LambdaEvent<Event>) -> Result<Value> {
        let heartbeat: Value = serde_json::from_str(&event.payload.body)?;
        let id = &event.context.request_id;
        let received_at = Utc::now();
        let update = self.update(&heartbeat, id, received_at);
        let put = self.put(&heartbeat, id, received_at)?;
        let (before, _) = tokio::try_join!(
            self.write(&self.servers, "DynamoDB_20120810.UpdateItem", &update),
            self.write(&self.metrics, "DynamoDB_20120810.PutItem", &put),
        )?;
        let registered = before.get("Attributes").is_none();
        Ok(json!({ "status": "ok", "server_registered": registered, "pending_commands": [] }))
    }

    fn update(&self, heartbeat: &Value, id: &str, received_at: DateTime<Utc>) -> Value {
        let os_info = &heartbeat["os_info"];
        json!({
            "TableName": self.servers_table,
            "Key": { "server_id": { "S": heartbeat["server_id"] } },
            "UpdateExpression": "SET hostname = :hostname, #status = :online, last_seen = :now, \
                registered_at = if_not_exists(registered_at, :now), \
                registration_id = if_not_exists(registration_id, :id), \
                os_distribution = :os_distribution, os_version = :os_version, \
                kernel_version = :kernel_version, architecture = :architecture",
            "ConditionExpression": "attribute_not_exists(last_seen) OR last_seen <= :now",
            "ExpressionAttributeNames": { "#status": "status" },
            "ExpressionAttributeValues": {
                ":hostname": { "S": heartbeat["hostname"] },
                ":online": { "S": "online" },
                ":now": { "S": text(received_at) },
                ":id": { "S": id },
                ":os_distribution": { "S": os_info["distribution"] },
                ":os_version": { "S": os_info["version"] },
                ":kernel_version": { "S": os_info["kernel"] },
                ":architecture": { "S": os_info["architecture"] },
            },
            "ReturnValues": "ALL_OLD",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        })
    }

    fn put(&self, heartbeat: &Value, id: &str, received_at: DateTime<Utc>) -> Result<Value> {
        let timestamp = heartbeat["timestamp"].as_str().context("timestamp")?;
        let timestamp = text(DateTime::parse_from_rfc3339(timestamp)?.to_utc());
        let number = |value: &Value| json!({ "N": value.to_string() });
        let mut item: Map<_, _> = heartbeat["metrics"]
            .as_object()
            .context("metrics")?
            .iter()
            .map(|(name, value)| (name.clone(), number(value)))
            .collect();
        let expires_at = (received_at + RETENTION).timestamp();
        item.extend([
            ("server_id".to_owned(), json!({ "S": heartbeat["server_id"] })),
            ("recorded_at".to_owned(), json!({ "S": format!("{timestamp}#{id}") })),
            ("timestamp".to_owned(), json!({ "S": timestamp })),
            ("received_at".to_owned(), json!({ "S": text(received_at) })),
            ("expires_at".to_owned(), number(&expires_at.into())),
        ]);
        Ok(json!({
            "TableName": self.metrics_table,
            "Item": item,
            "ConditionExpression": "attribute_not_exists(server_id)",
        }))
    }

    async fn write(&self, connection: &Connection, target: &str, body: &Value) -> Result<Value> {
        let body = Bytes::from(serde_json::to_vec(body)?);
        let request = Request::post("/")
            .header("host", &connection.host)
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-target", target);
        let mut request = request.body(Full::new(body.clone()))?;
        let params = v4::SigningParams::builder()
            .identity(&self.identity)
            .region(&self.region)
            .name("dynamodb")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()?
            .into();
        let headers = request
            .headers()
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let signable =
            SignableRequest::new("POST", &connection.url, headers, SignableBody::Bytes(&body))?;
        let (instructions, _) = sign(signable, &params)?.into_parts();
        instructions.apply_to_request_http1x(&mut request);
        let (status, body) = connection.send(request).await?;
        ensure!(status == StatusCode::OK, "{status}");
        Ok(serde_json::from_slice(&body)?)
    }
}

/// A connection that is open from the start.
struct Connection {
    url: String,
    host: String,
    sender: Mutex<SendRequest<Full<Bytes>>>,
}

impl Connection {
    async fn open(uri: Uri, tls: TlsConnector) -> Result<Self> {
        let authority = uri.authority().context("endpoint without a host")?;
        let port = authority.port_u16().unwrap_or(443);
        let tcp = TcpStream::connect((authority.host(), port)).await?;
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from(authority.host().to_owned())?;
        let stream = tls.connect(name, tcp).await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { url: uri.to_string(), host: authority.to_string(), sender: Mutex::new(sender) })
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes)> {
        let mut sender = self.sender.lock().await;
        sender.ready().await?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }
}

fn tls() -> Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(env::var("AWS_CA_BUNDLE")?)? {
        roots.add(root?)?;
    }
    let config =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}
