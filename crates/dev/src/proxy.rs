//! A proxy between the function and DynamoDB that breaks what passes through it.
//!
//! It works on raw sockets, because the faults do: no well-maintained crate both resets connections and distinguishes
//! the two writes. The SDK's `wire-mock` has no database behind it, `turmoil` simulates the network, and ports of
//! Toxiproxy see bytes, not requests.

use aws_smithy_types::body::SdkBody;
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// One of the calls of a heartbeat or a sweep, identified by `X-Amz-Target`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// The lookup in the keys table.
    Key,
    /// The update of the servers table.
    Server,
    /// The row in the metrics table, or a batch of items.
    Metrics,
    /// A page of the servers table.
    Scan,
}

/// What can happen to a request instead of a normal response.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// The connection is reset before a byte of the request is read.
    ResetBeforeRequest,
    /// The connection is reset after half of the request's body has been read.
    ResetMidRequest,
    /// The request is read and never answered.
    NoResponse,
    /// Something other than DynamoDB responds: status, content type, body.
    Answer(u16, &'static str, &'static str),
    /// The proxy rejects the request as DynamoDB does: status, code.
    Reject(u16, &'static str),
    /// DynamoDB's response is lost: the write has succeeded, and the connection is reset.
    LoseAnswer,
    /// The connection is reset after half of DynamoDB's response has been written.
    ResetMidAnswer,
    /// DynamoDB's response arrives one byte at a time.
    Drip,
    /// DynamoDB's response has only half of its body, with a matching length.
    Truncate,
    /// The response is not HTTP.
    Garble,
}

/// How idle connections end.
#[derive(Debug, Clone, Copy)]
enum Ending {
    /// With a FIN.
    HangUp,
    /// Without a FIN: everything that is sent afterwards is lost.
    Vanish,
}

type Rule = Box<dyn FnMut(Call) -> Option<Fault> + Send>;

/// A proxy in front of DynamoDB.
pub struct Proxy {
    /// The URL that it listens on.
    pub url: String,
    shared: Arc<Shared>,
}

struct Shared {
    database: String,
    client: Client<HttpConnector, SdkBody>,
    rule: Mutex<Rule>,
    ending: watch::Sender<Ending>,
    /// The number of connections that are being served.
    open: AtomicUsize,
    /// The number of requests that have suffered a fault.
    struck: AtomicUsize,
    /// The number of requests that were sent on a vanished connection.
    swallowed: AtomicUsize,
    /// Whether requests other than DynamoDB operations are never answered.
    swallows_unnamed: AtomicBool,
    /// The delay of each call's response.
    delays: Mutex<HashMap<Call, Duration>>,
    /// The number of connections so far.
    accepted: AtomicUsize,
    /// The operation of each request, and the number of the connection that it came through.
    requests: Mutex<Vec<(String, usize)>>,
    /// How far the service's clock is ahead of this machine's, seconds.
    clock_offset: AtomicI64,
    /// What DynamoDB has charged, by operation, in capacity units.
    bill: Mutex<Vec<(String, f64)>>,
}

/// Separate from the test's own runtime, so that a test can freeze the function without freezing the proxy.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

impl Proxy {
    /// Starts a proxy that lets everything through.
    pub fn start(database: &str) -> Self {
        let (proxy, closed) = Self::start_closed(database);
        closed.listen();
        proxy
    }

    /// Starts a proxy in the test's own runtime. When the test pauses its clock, time goes on as soon as everything waits,
    /// except for DynamoDB: the delays of the proxy, timeouts and retries then take no time.
    pub fn start_here(database: &str) -> Self {
        let (proxy, Closed { socket, shared }) = Self::start_closed(database);
        tokio::spawn(accept(socket.listen(1024).unwrap(), shared));
        proxy
    }

    /// Starts a proxy that rejects connections until [`Closed::listen`] is called.
    pub fn start_closed(database: &str) -> (Self, Closed) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let url = format!("http://{}", socket.local_addr().unwrap());
        let shared = Arc::new(Shared {
            database: database.to_owned(),
            client: Client::builder(TokioExecutor::new()).build_http(),
            rule: Mutex::new(Box::new(|_| None)),
            ending: watch::Sender::new(Ending::HangUp),
            open: AtomicUsize::new(0),
            struck: AtomicUsize::new(0),
            swallowed: AtomicUsize::new(0),
            swallows_unnamed: AtomicBool::new(false),
            delays: Mutex::default(),
            accepted: AtomicUsize::new(0),
            requests: Mutex::default(),
            clock_offset: AtomicI64::new(0),
            bill: Mutex::default(),
        });
        let closed = Closed { socket, shared: shared.clone() };
        (Self { url, shared }, closed)
    }

    /// Sets the rule that decides what happens to each request.
    pub fn rule(&self, rule: impl FnMut(Call) -> Option<Fault> + Send + 'static) {
        *self.shared.rule.lock().unwrap() = Box::new(rule);
    }

    /// Lets everything through again.
    pub fn heal(&self) {
        self.rule(|_| None);
    }

    /// The number of requests that have suffered a fault.
    pub fn struck(&self) -> usize {
        self.shared.struck.load(Ordering::SeqCst)
    }

    /// The number of requests that were sent on a vanished connection.
    pub fn swallowed(&self) -> usize {
        self.shared.swallowed.load(Ordering::SeqCst)
    }

    /// Delays the responses to this call from now on.
    pub fn delay(&self, call: Call, delay: Duration) {
        self.shared.delays.lock().unwrap().insert(call, delay);
    }

    /// The number of connections that have been accepted.
    pub fn connections(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// From now on, requests other than DynamoDB operations (the warm-up) are never answered.
    pub fn swallow_unnamed_requests(&self) {
        self.shared.swallows_unnamed.store(true, Ordering::SeqCst);
    }

    /// Takes every request since the last call: its operation, and the number of its connection.
    pub fn take_requests(&self) -> Vec<(String, usize)> {
        std::mem::take(&mut self.shared.requests.lock().unwrap())
    }

    /// Sets the service's clock this far ahead of this machine's, in seconds. It rejects a signature that is
    /// more than five minutes off, as DynamoDB does.
    pub fn set_clock(&self, offset: i64) {
        self.shared.clock_offset.store(offset, Ordering::SeqCst);
    }

    /// What DynamoDB has charged so far: each operation with its capacity units, by name.
    pub fn bill(&self) -> Vec<(String, f64)> {
        let mut bill = self.shared.bill.lock().unwrap().clone();
        bill.sort_by(|(left, _), (right, _)| left.cmp(right));
        bill
    }

    /// Closes every idle connection, and returns when that is done.
    pub fn hang_up(&self) {
        self.end(Ending::HangUp);
    }

    /// Turns every idle connection into a black hole, and returns when that is done.
    pub fn vanish(&self) {
        self.end(Ending::Vanish);
    }

    /// Blocks the thread, so that the function is frozen in the meantime, as Lambda freezes it.
    fn end(&self, ending: Ending) {
        self.shared.ending.send_replace(ending);
        for _ in 0..10_000 {
            if self.shared.open.load(Ordering::SeqCst) == 0 {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("a connection is still open");
    }
}

/// A bound port that is not listening.
pub struct Closed {
    socket: TcpSocket,
    shared: Arc<Shared>,
}

impl Closed {
    /// Starts to listen.
    pub fn listen(self) {
        let _guard = RUNTIME.enter();
        let listener = self.socket.listen(1024).unwrap();
        RUNTIME.spawn(accept(listener, self.shared));
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((peer, _)) = listener.accept().await {
        let shared = shared.clone();
        tokio::spawn(async move {
            shared.open.fetch_add(1, Ordering::SeqCst);
            let number = shared.accepted.fetch_add(1, Ordering::SeqCst);
            let end = shared.serve(peer, number).await;
            shared.open.fetch_sub(1, Ordering::SeqCst);
            if let Ok(Some(mut vanished)) = end
                && Head::peek(&vanished).await.is_ok()
            {
                shared.swallowed.fetch_add(1, Ordering::SeqCst);
                swallow(&mut vanished).await;
            }
        });
    }
}

impl Shared {
    /// Serves a connection until it ends; returns it if it is to vanish.
    async fn serve(&self, mut peer: TcpStream, number: usize) -> Result<Option<TcpStream>> {
        peer.set_nodelay(true)?;
        let mut ending = self.ending.subscribe();
        loop {
            let head = tokio::select! {
                head = Head::peek(&peer) => head?,
                _ = ending.changed() => match *ending.borrow() {
                    Ending::HangUp => return Ok(None),
                    Ending::Vanish => return Ok(Some(peer)),
                },
            };
            if let Some(operation) = &head.operation {
                let mut requests = self.requests.lock().unwrap();
                requests.push((operation.clone(), number));
            }
            if head.operation.is_none() && self.swallows_unnamed.load(Ordering::SeqCst) {
                swallow(&mut peer).await;
                return Ok(None);
            }
            let fault = head.call().and_then(|call| self.fault(call));
            if let Some(Fault::ResetBeforeRequest) = fault {
                return reset(peer);
            }
            let mut head_bytes = vec![0; head.length];
            peer.read_exact(&mut head_bytes).await?;
            let mut body = vec![0; head.content_length];
            if let Some(Fault::ResetMidRequest) = fault {
                let half = body.len() / 2;
                peer.read_exact(&mut body[..half]).await?;
                return reset(peer);
            }
            peer.read_exact(&mut body).await?;
            let now = Utc::now() + TimeDelta::seconds(self.clock_offset.load(Ordering::SeqCst));
            let mut response = match fault {
                None if head.is_clock_skewed(now) => {
                    Response::rejection(400, "InvalidSignatureException")
                }
                Some(Fault::NoResponse) => {
                    swallow(&mut peer).await;
                    return Ok(None);
                }
                Some(Fault::Garble) => {
                    peer.write_all(b"220 mail.example.com ESMTP\r\n\r\n").await?;
                    return Ok(None);
                }
                Some(Fault::Answer(status, content_type, body)) => {
                    Response::of_type(content_type, status, body.into())
                }
                Some(Fault::Reject(status, code)) => Response::rejection(status, code),
                _ => self.forward(&head_bytes, body).await?,
            };
            let delays = self.delays.lock().unwrap().clone();
            if let Some(delay) = head.call().and_then(|call| delays.get(&call)) {
                tokio::time::sleep(*delay).await;
            }
            let date = now.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
            response.headers.insert(header::DATE, date.parse().unwrap());
            match fault {
                Some(Fault::LoseAnswer) => return reset(peer),
                Some(Fault::ResetMidAnswer) => {
                    let bytes = response.bytes();
                    peer.write_all(&bytes[..bytes.len() / 2]).await?;
                    return reset(peer);
                }
                Some(Fault::Truncate) => {
                    let half = response.body[..response.body.len() / 2].to_vec();
                    let response = Response::new(response.status, response.headers, half);
                    peer.write_all(&response.bytes()).await?;
                }
                Some(Fault::Drip) => {
                    for byte in response.bytes() {
                        peer.write_all(&[byte]).await?;
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
                _ => peer.write_all(&response.bytes()).await?,
            }
        }
    }

    fn fault(&self, call: Call) -> Option<Fault> {
        let mut rule = self.rule.lock().unwrap_or_else(PoisonError::into_inner);
        let fault = rule(call)?;
        self.struck.fetch_add(1, Ordering::SeqCst);
        Some(fault)
    }

    /// Forwards a request to DynamoDB, and records the capacity that it used.
    async fn forward(&self, head: &[u8], body: Vec<u8>) -> Result<Response> {
        let head = String::from_utf8_lossy(head);
        let method = head.split(' ').next().unwrap_or_default();
        let mut request = Request::builder().method(method).uri(&self.database);
        for (name, value) in fields(&head) {
            if !name.eq_ignore_ascii_case("content-length") {
                request = request.header(name, value);
            }
        }
        let body = match serde_json::from_slice::<Value>(&body) {
            Ok(mut operation) => {
                operation["ReturnConsumedCapacity"] = "TOTAL".into();
                operation.to_string().into_bytes()
            }
            Err(_) => body,
        };
        let request = request.body(SdkBody::from(body)).map_err(Error::other)?;
        // A paused clock stands still while a blocking task runs: this one does, until the response is here.
        let (_response_is_here, waiting) = std::sync::mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || waiting.recv());
        let response = self.client.request(request).await.map_err(Error::other)?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(Error::other)?.to_bytes();
        let charged = serde_json::from_slice(&body).unwrap_or(Value::Null);
        if let Some(units) = charged["ConsumedCapacity"]["CapacityUnits"].as_f64() {
            let mut bill = self.bill.lock().unwrap_or_else(PoisonError::into_inner);
            bill.push((target(&head).unwrap_or_default().to_owned(), units));
        }
        Ok(Response::new(parts.status.as_u16(), parts.headers, body.into()))
    }
}

/// What the proxy needs to know about a request.
struct Head {
    length: usize,
    content_length: usize,
    operation: Option<String>,
    signed_at: Option<DateTime<Utc>>,
}

impl Head {
    /// Reads the head of the next request without removing it from the socket.
    async fn peek(peer: &TcpStream) -> Result<Self> {
        let mut bytes = vec![0; 16 * 1024];
        loop {
            let seen = peer.peek(&mut bytes).await?;
            if seen == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            if let Some(end) = bytes[..seen].windows(4).position(|end| end == b"\r\n\r\n") {
                return Ok(Self::parse(&bytes[..end + 4]));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn parse(bytes: &[u8]) -> Self {
        let head = String::from_utf8_lossy(bytes);
        Self {
            length: bytes.len(),
            content_length: field(&head, "content-length")
                .map_or(0, |length| length.parse().unwrap()),
            operation: target(&head).map(str::to_owned),
            signed_at: field(&head, "x-amz-date").map(|date| {
                let date = NaiveDateTime::parse_from_str(date, "%Y%m%dT%H%M%SZ");
                date.unwrap().and_utc()
            }),
        }
    }

    fn call(&self) -> Option<Call> {
        match self.operation.as_deref() {
            Some("GetItem") => Some(Call::Key),
            Some("UpdateItem") => Some(Call::Server),
            Some("PutItem" | "BatchWriteItem") => Some(Call::Metrics),
            Some("Scan") => Some(Call::Scan),
            _ => None,
        }
    }

    /// Whether the signature is too old or too new by the service's clock.
    fn is_clock_skewed(&self, now: DateTime<Utc>) -> bool {
        let is_skewed = |at: DateTime<Utc>| (at - now).abs() > TimeDelta::minutes(5);
        self.signed_at.is_some_and(is_skewed)
    }
}

fn fields(head: &str) -> impl Iterator<Item = (&str, &str)> {
    head.split("\r\n").skip(1).filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((name, value.trim()))
    })
}

fn field<'a>(head: &'a str, wanted: &str) -> Option<&'a str> {
    fields(head).find_map(|(name, value)| name.eq_ignore_ascii_case(wanted).then_some(value))
}

/// The name of the requested operation.
fn target(head: &str) -> Option<&str> {
    field(head, "x-amz-target")?.rsplit('.').next()
}

struct Response {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Response {
    fn new(status: u16, mut headers: HeaderMap, body: Vec<u8>) -> Self {
        headers.remove(header::TRANSFER_ENCODING);
        headers.remove(header::CONNECTION);
        headers.insert(header::CONTENT_LENGTH, body.len().into());
        Self { status, headers, body }
    }

    fn of_type(content_type: &'static str, status: u16, body: Vec<u8>) -> Self {
        let headers = [(header::CONTENT_TYPE, HeaderValue::from_static(content_type))];
        Self::new(status, headers.into_iter().collect(), body)
    }

    fn rejection(status: u16, code: &str) -> Self {
        let body = json!({
            "__type": format!("com.amazonaws.dynamodb.v20120810#{code}"),
            "message": "said by the proxy",
        });
        Self::of_type("application/x-amz-json-1.0", status, body.to_string().into())
    }

    fn bytes(&self) -> Vec<u8> {
        let status = StatusCode::from_u16(self.status).unwrap();
        let mut bytes = format!("HTTP/1.1 {status}\r\n").into_bytes();
        for (name, value) in &self.headers {
            bytes.extend_from_slice(name.as_str().as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// Closes a connection with a RST.
fn reset(peer: TcpStream) -> Result<Option<TcpStream>> {
    peer.set_zero_linger()?;
    Ok(None)
}

/// Reads and discards everything until the peer closes the connection.
async fn swallow(peer: &mut TcpStream) {
    let mut bytes = [0; 4096];
    while matches!(peer.read(&mut bytes).await, Ok(1..)) {}
}
