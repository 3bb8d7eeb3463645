//! The part of Lambda that a function talks to: it hands out events and takes answers.

use anyhow::{Context, Result, ensure};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Longer than anything takes, under callgrind too.
const PATIENCE: Duration = Duration::from_secs(120);

/// The Runtime API of one function, up for as long as it is held.
pub struct RuntimeApi {
    /// `AWS_LAMBDA_RUNTIME_API`.
    pub address: String,
    events: UnboundedSender<Bytes>,
    messages: UnboundedReceiver<Message>,
    _server: JoinSet<()>,
}

/// What the function says.
enum Message {
    /// It asks for the next event.
    Next(Instant),
    /// It posts: an answer, or an error that ends it.
    Post(Instant, Post),
}

struct Post {
    path: String,
    body: Bytes,
}

struct Lambda {
    events: Mutex<UnboundedReceiver<Bytes>>,
    messages: UnboundedSender<Message>,
}

impl RuntimeApi {
    /// Starts the API.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let (events, pending) = unbounded_channel();
        let (sender, messages) = unbounded_channel();
        let lambda = Arc::new(Lambda {
            events: Mutex::new(pending),
            messages: sender,
        });
        let mut server = JoinSet::new();
        server.spawn(accept(listener, lambda));
        Ok(Self {
            address,
            events,
            messages,
            _server: server,
        })
    }

    /// Waits until the function asks for an event.
    pub async fn next(&mut self) -> Result<Instant> {
        match self.message().await? {
            Message::Next(at) => Ok(at),
            Message::Post(_, post) => anyhow::bail!("{}: {:?}", post.path, post.body),
        }
    }

    /// Hands over an event and waits for the answer, which has to be a 200.
    pub async fn invoke(&mut self, event: &Bytes) -> Result<Duration> {
        let start = Instant::now();
        self.events.send(event.clone())?;
        let Message::Post(end, Post { path, body }) = self.message().await? else {
            anyhow::bail!("the next event was asked for before this one was answered");
        };
        let answer: serde_json::Value = serde_json::from_slice(&body)?;
        ensure!(answer["statusCode"] == 200, "{path}: {answer}");
        Ok(end - start)
    }

    async fn message(&mut self) -> Result<Message> {
        let message = timeout(PATIENCE, self.messages.recv()).await;
        message
            .context("the function is silent")?
            .context("the Runtime API is down")
    }
}

async fn accept(listener: TcpListener, lambda: Arc<Lambda>) {
    let mut connections = JoinSet::new();
    while let Ok((tcp, _)) = listener.accept().await {
        connections.spawn(serve(tcp, lambda.clone()));
    }
}

async fn serve(tcp: TcpStream, lambda: Arc<Lambda>) -> Result<()> {
    tcp.set_nodelay(true)?;
    let service = service_fn(|request| lambda.answer(request));
    http1::Builder::new()
        .serve_connection(TokioIo::new(tcp), service)
        .await?;
    Ok(())
}

impl Lambda {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
        let (parts, body) = request.into_parts();
        if parts.method == Method::GET {
            self.messages.send(Message::Next(Instant::now()))?;
            let event = self.events.lock().await.recv().await;
            let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
            let deadline = now + Duration::from_secs(10);
            return Ok(Response::builder()
                .header("content-type", "application/json")
                .header(
                    "lambda-runtime-aws-request-id",
                    format!(
                        "00000000-0000-4000-8000-{:012}",
                        now.as_micros() % 1_000_000_000_000
                    ),
                )
                .header(
                    "lambda-runtime-deadline-ms",
                    deadline.as_millis().to_string(),
                )
                .header(
                    "lambda-runtime-invoked-function-arn",
                    "arn:aws:lambda:us-east-1:123456789012:function:heartbeat",
                )
                .header(
                    "lambda-runtime-trace-id",
                    "Root=1-696cb5d8-0123456789abcdef01234567;Parent=0123456789abcdef;Sampled=0",
                )
                .body(Full::from(event.context("the bench is over")?))?);
        }
        let body = body.collect().await?.to_bytes();
        let path = parts.uri.path().to_owned();
        self.messages
            .send(Message::Post(Instant::now(), Post { path, body }))?;
        Ok(Response::builder()
            .status(StatusCode::ACCEPTED)
            .body(Full::default())?)
    }
}
