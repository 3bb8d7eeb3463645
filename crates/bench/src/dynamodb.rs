//! A stub of DynamoDB and SNS over TLS. It accepts every write, every key and every message, returns a fleet for a
//! scan, and counts handshakes and calls.

use anyhow::Result;
use chrono::{Days, NaiveDate};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, PoisonError, RwLock};
use std::time::Duration;
use tables::metric::Place;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// The stub's TLS identity.
pub struct Identity {
    /// The certificate of its authority, as PEM.
    pub authority: String,
    tls: TlsAcceptor,
}

impl Identity {
    /// Creates an authority and a certificate for `localhost`.
    pub fn new() -> Result<Self> {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(["localhost".to_owned()])?;
        let certificate = certificate.signed_by(&key, &authority)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::from(key))?;
        Ok(Self { authority: authority.pem(), tls: TlsAcceptor::from(Arc::new(config)) })
    }
}

/// The stub. Dropping it stops it.
pub struct DynamoDb {
    /// The URL that it listens on.
    pub url: String,
    state: Arc<State>,
    _server: JoinSet<()>,
}

#[derive(Default)]
struct State {
    handshakes: AtomicUsize,
    calls: AtomicUsize,
    /// The responses to a scan of the servers table, page by page.
    pages: RwLock<Vec<Bytes>>,
    /// How long each of them takes.
    page_time: RwLock<Duration>,
    /// What the last scan read of each item.
    projection: RwLock<Option<String>>,
    /// Whether the days of servers are there, but for the last.
    has_days: AtomicBool,
}

impl DynamoDb {
    /// Starts the stub.
    pub async fn start(identity: &Identity) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("https://localhost:{}", listener.local_addr()?.port());
        let state = Arc::new(State::default());
        let mut server = JoinSet::new();
        server.spawn(accept(listener, identity.tls.clone(), state.clone()));
        Ok(Self { url, state, _server: server })
    }

    /// Fills the servers table.
    pub fn fill(&self, pages: Vec<Bytes>) {
        let mut current = self.state.pages.write();
        **current.as_mut().unwrap_or_else(PoisonError::get_mut) = pages;
    }

    /// Lets each page of a scan take so long.
    pub fn delay_pages(&self, time: Duration) {
        let mut current = self.state.page_time.write();
        **current.as_mut().unwrap_or_else(PoisonError::get_mut) = time;
    }

    /// Has the days of servers, but for the last.
    pub fn add_days(&self) {
        self.state.has_days.store(true, Ordering::SeqCst);
    }

    /// The projection expression of the last scan.
    pub fn projection(&self) -> Option<String> {
        self.state.projection.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// TLS handshakes so far.
    pub fn handshakes(&self) -> usize {
        self.state.handshakes.load(Ordering::SeqCst)
    }

    /// Requests so far.
    pub fn calls(&self) -> usize {
        self.state.calls.load(Ordering::SeqCst)
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((tcp, _)) = listener.accept().await {
        connections.spawn(serve(tcp, tls.clone(), state.clone()));
    }
}

async fn serve(tcp: TcpStream, tls: TlsAcceptor, state: Arc<State>) -> Result<()> {
    tcp.set_nodelay(true)?;
    // Counted at the start, because the client may finish the handshake before the server does.
    state.handshakes.fetch_add(1, Ordering::SeqCst);
    let stream = tls.accept(tcp).await?;
    let service = service_fn(move |request| {
        state.calls.fetch_add(1, Ordering::SeqCst);
        respond(request, state.clone())
    });
    http1::Builder::new().serve_connection(TokioIo::new(stream), service).await?;
    Ok(())
}

/// An item of the keys table, for the server in the event.
const KEY: &str = r#"{"Item":{"key_sha256":{"S":"4c88089bdf15cb0dffde5c179461a2f99fa7cfb0bed250a8d87f8aa1d80eaa11"},"server_id":{"S":"omv-mediaserver"},"label":{"S":"omv-mediaserver"},"created_at":{"S":"2026-01-18T10:30:00.000000Z"},"expires_at":{"N":"32503680000"}}}"#;

/// The response to a heartbeat that asks for the item before its write: that of the server in the event. It has a reading
/// if the heartbeat writes one.
fn server_before(update: &str) -> Bytes {
    let mut item = json!({
        "server_id": { "S": "omv-mediaserver" },
        "hostname": { "S": "omv-mediaserver.home.lan" },
        "status": { "S": "online" },
        "last_seen": { "S": "2026-01-18T10:29:00.104220Z" },
        "registered_at": { "S": "2026-01-02T08:00:41.000312Z" },
        "registration_id": { "S": "8f0c1b8e-8a1f-4a53-9a55-52a1f6a4b1f0" },
        "os_distribution": { "S": "Debian GNU/Linux" },
        "os_version": { "S": "12 (bookworm)" },
        "kernel_version": { "S": "6.1.0-18-amd64" },
        "architecture": { "S": "x86_64" },
    });
    if update.contains(":reading") {
        item["reading"] = READING.clone();
    }
    // What a build that knows the fields beyond the seed has written a minute ago.
    if update.contains(":m1") {
        item["agent_version"] = json!({ "S": "2.0.0" });
        for mark in ["m1", "m2", "m3"] {
            item[mark] = json!({ "S": "5f2b9a01" });
        }
        for list in ["disks", "services"] {
            item["reading"]["M"][list] = json!({ "M": {} });
        }
    }
    json!({ "Attributes": item }).to_string().into()
}

/// The reading of the event as the table holds it.
pub static READING: LazyLock<Value> = LazyLock::new(|| {
    let mut reading = json!({
        "timestamp": { "S": "2026-01-18T10:29:00.000000Z" },
        "received_at": { "S": "2026-01-18T10:29:00.104220Z" },
    });
    for metric in tables::METRICS.iter().filter(|metric| metric.place == Place::Seed) {
        reading[metric.name] = json!({ "N": metric.example.to_string() });
    }
    json!({ "M": reading })
});

/// A page of events, for a query of the metrics table.
static EVENTS: LazyLock<Bytes> = LazyLock::new(|| {
    let server = json!({
        "server_id": "server-000042", "hostname": "server-000042.eu-central.example.com",
        "last_seen": "2026-01-18T10:29:00.104220Z",
    });
    let said = json!({ "time": "2026-01-18T10:32:00.000000Z", "offline": [server], "omitted": 0 });
    let event = json!({
        "server_id": { "S": "#events" },
        "recorded_at": { "S": "2026-01-18T10:32:00.000000Z" },
        "said": { "S": said.to_string() },
    });
    let items = vec![event; 50];
    json!({ "Items": items, "Count": 50, "ScannedCount": 50 }).to_string().into()
});

/// SNS's response to a message.
const PUBLISHED: &str = r#"<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult><MessageId>567910cd-659e-55d4-8ccb-5aaf14679dc0</MessageId></PublishResult></PublishResponse>"#;

/// Responds to a write, the lookup of a key, a scan, a query, a message to a topic, or a GET.
async fn respond(
    request: Request<Incoming>,
    state: Arc<State>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let is_get = request.method() == Method::GET;
    let operation = request
        .headers()
        .get("x-amz-target")
        .and_then(|target| target.to_str().ok()?.split('.').next_back())
        .map(ToOwned::to_owned);
    let body = request.into_body().collect().await?.to_bytes();
    let body = match operation.as_deref() {
        None if is_get => "healthy: dynamodb.us-east-1.amazonaws.com ".into(),
        None => PUBLISHED.into(),
        Some("GetItem") if body.windows(9).any(|part| part == b"#watchdog") => state.own(),
        Some("GetItem") if body.windows(7).any(|part| part == b"#groups") => "{}".into(),
        Some("GetItem") => KEY.into(),
        Some("Scan") => {
            let time = *state.page_time.read().unwrap_or_else(PoisonError::into_inner);
            tokio::time::sleep(time).await;
            state.page(&body)
        }
        Some("Query") => queried(&body, state.has_days.load(Ordering::SeqCst)),
        Some("UpdateItem") => match std::str::from_utf8(&body) {
            Ok(update) if update.contains("ALL_OLD") => server_before(update),
            _ => "{}".into(),
        },
        Some(_) => "{}".into(),
    };
    let mut response = Response::builder();
    if operation.is_some() {
        response = response
            .header("server", "Server")
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amzn-requestid", "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789ABCDEF")
            .header("x-amz-crc32", crc32fast::hash(&body));
    }
    Ok(response.body(Full::from(body)).expect("these headers are valid"))
}

/// The rows of a day, in pages of 500.
static ROWS: LazyLock<Vec<Bytes>> = LazyLock::new(|| {
    let minutes: Vec<_> = (0..1_440).collect();
    let pages = minutes.chunks(500).enumerate();
    let page = |(number, minutes): (usize, &[i32])| {
        let row = |minute: &i32| {
            let time = format!("2026-01-16T{:02}:{:02}:00.000000Z", minute / 60, minute % 60);
            let mut row = READING["M"].clone();
            row["recorded_at"] =
                json!({ "S": format!("{time}#1f0c9a52-9f6e-4b8c-8d53-6a3f7f0e2d11") });
            row["received_at"] = json!({ "S": time });
            row["disks"] = json!({ "M": { "/": { "N": "82.1" }, "/data": { "N": "40.5" }, "/var": { "N": "20" } } });
            row
        };
        let items: Vec<_> = minutes.iter().map(row).collect();
        let mut page = json!({ "Items": items, "Count": items.len(), "ScannedCount": items.len() });
        if number < 2 {
            page["LastEvaluatedKey"] = json!({ "server_id": { "S": (number + 1).to_string() } });
        }
        page.to_string().into()
    };
    pages.map(page).collect()
});

/// The sixty days before the one that is due.
static DAYS: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let extent = json!({ "L": [{ "N": "20.1" }, { "N": "40.5123" }, { "N": "82.1" }] });
    let day = |age: u64| {
        let date = LAST_DAY.checked_sub_days(Days::new(age)).unwrap_or_default();
        let mut day = json!({
            "server_id": { "S": "#day:server-000042" },
            "recorded_at": { "S": date.to_string() },
            "expires_at": { "N": "32503680000" },
            "rows": { "N": "1440" },
            "disks": { "M": { "/": extent, "/data": extent, "/var": extent } },
        });
        for metric in &tables::METRICS {
            let total = json!({ "N": metric.example.to_string() });
            day[metric.name] = if metric.is_counter { total } else { extent.clone() };
        }
        day
    };
    (0..60).map(day).collect()
});

/// The last day that is there at the time of the bench's sweeps.
const LAST_DAY: NaiveDate = NaiveDate::from_ymd_opt(2026, 1, 15).expect("a date");

/// The response to a query: of the days of a server, of its rows, or of events.
fn queried(request: &[u8], has_days: bool) -> Bytes {
    let request: Value = serde_json::from_slice(request).unwrap_or_default();
    if !request["ExpressionAttributeValues"][":days"].is_null() {
        let days = if has_days { &DAYS[..] } else { &[] };
        let days: Vec<_> = match request["ProjectionExpression"].as_str() {
            Some(read) => days.iter().map(|day| project(day, read)).collect(),
            None => days.to_vec(),
        };
        let count = days.len();
        return json!({ "Items": days, "Count": count, "ScannedCount": count }).to_string().into();
    }
    if request["ProjectionExpression"].is_null() {
        return EVENTS.clone();
    }
    let start = request["ExclusiveStartKey"]["server_id"]["S"].as_str();
    ROWS.get(start.map_or(0, |start| start.parse().unwrap_or(0))).cloned().unwrap_or_default()
}

/// What this expression reads of an item: attributes, and members of a map. Placeholders have the names of what they stand for.
pub fn project(item: &Value, expression: &str) -> Value {
    let mut read = json!({});
    for path in expression.split(", ") {
        let (name, member) = path.trim_start_matches('#').split_once('.').unwrap_or((path, ""));
        let name = name.trim_start_matches('#');
        let value = &item[name];
        if !value["M"][member].is_null() {
            read[name]["M"][member] = value["M"][member].clone();
        } else if member.is_empty() && !value.is_null() {
            read[name] = value.clone();
        }
    }
    read
}

impl State {
    /// The watchdog's own item, which is the last of a scan.
    fn own(&self) -> Bytes {
        let pages = self.pages.read().unwrap_or_else(PoisonError::into_inner);
        let last = pages.last().map(|page| serde_json::from_slice(page).unwrap_or_default());
        let last: Value = last.unwrap_or_default();
        let own = last["Items"].as_array().and_then(|items| items.last());
        json!({ "Item": own }).to_string().into()
    }

    /// The requested page of a scan, whose start key is the number of the page.
    fn page(&self, request: &[u8]) -> Bytes {
        let request: Value = serde_json::from_slice(request).unwrap_or_default();
        let projection = request["ProjectionExpression"].as_str().map(str::to_owned);
        *self.projection.write().unwrap_or_else(PoisonError::into_inner) = projection;
        let start = request["ExclusiveStartKey"]["server_id"]["S"].as_str();
        let number = start.map_or(0, |start| start.parse().unwrap_or(usize::MAX));
        let pages = self.pages.read().unwrap_or_else(PoisonError::into_inner);
        pages.get(number).cloned().unwrap_or_default()
    }
}
