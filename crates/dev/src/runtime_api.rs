//! A local Lambda: its Runtime API, which hands out events and collects responses, and the invocation of its function over
//! HTTP.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::collections::HashMap;
use std::io::{self, Error, Result, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Mutex, oneshot};

/// The timeout of the heartbeat function in `template.yaml`.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The most bytes of a response that Lambda passes on.
const MAX_RESPONSE: usize = 6 * 1024 * 1024;

/// A Runtime API for any number of processes of one function. Clones share it.
#[derive(Clone)]
pub struct RuntimeApi {
    /// `AWS_LAMBDA_RUNTIME_API`.
    pub address: String,
    lambda: Arc<Lambda>,
}

/// What a function posted.
pub struct Answer {
    /// The path, which ends in `/response` for a response and in `/error` for a failure.
    pub path: String,
    /// The posted body.
    pub body: Bytes,
    /// When it arrived.
    pub at: Instant,
}

struct Lambda {
    events: UnboundedSender<(String, Bytes)>,
    pending: Mutex<UnboundedReceiver<(String, Bytes)>>,
    polls: UnboundedSender<Instant>,
    polled: Mutex<UnboundedReceiver<Instant>>,
    running: Mutex<HashMap<String, oneshot::Sender<Answer>>>,
    invocations: AtomicU64,
    /// The deadline of every event, if one is set.
    deadline: std::sync::Mutex<Option<SystemTime>>,
}

impl RuntimeApi {
    /// Starts the API, which runs as long as the runtime.
    ///
    /// # Errors
    /// If no port is free.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?.to_string();
        let (events, pending) = unbounded_channel();
        let (polls, polled) = unbounded_channel();
        let lambda = Arc::new(Lambda {
            events,
            pending: Mutex::new(pending),
            polls,
            polled: Mutex::new(polled),
            running: Mutex::default(),
            invocations: AtomicU64::new(0),
            deadline: std::sync::Mutex::default(),
        });
        tokio::spawn(accept(listener, lambda.clone()));
        Ok(Self { address, lambda })
    }

    /// Sets the deadline of every event from now on. By default, an event's deadline is the time at which it is handed
    /// out plus Lambda's timeout.
    pub fn set_deadline(&self, deadline: SystemTime) {
        *self.lambda.deadline.lock().unwrap() = Some(deadline);
    }

    /// Waits for the next request for an event, and returns its time.
    pub async fn next(&self) -> Option<Instant> {
        self.lambda.polled.lock().await.recv().await
    }

    /// Hands out an event, and waits for the response to it.
    pub async fn invoke(&self, event: impl Into<Bytes>) -> Option<Answer> {
        self.lambda.invoke(event.into()).await
    }
}

async fn accept(listener: TcpListener, lambda: Arc<Lambda>) {
    while let Ok((tcp, _)) = listener.accept().await {
        let lambda = lambda.clone();
        tokio::spawn(async move { lambda.serve(tcp).await });
    }
}

impl Lambda {
    async fn serve(&self, tcp: TcpStream) -> Result<()> {
        tcp.set_nodelay(true)?;
        http1::Builder::new()
            .serve_connection(TokioIo::new(tcp), service_fn(|request| self.handle(request)))
            .await
            .map_err(Error::other)
    }

    async fn invoke(&self, event: Bytes) -> Option<Answer> {
        let number = self.invocations.fetch_add(1, Ordering::Relaxed);
        let id = format!("00000000-0000-4000-8000-{number:012}");
        let (sender, receiver) = oneshot::channel();
        self.running.lock().await.insert(id.clone(), sender);
        self.events.send((id, event)).ok()?;
        receiver.await.ok()
    }

    async fn handle(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
        if request.method() == Method::GET {
            return self.hand_out().await;
        }
        let at = Instant::now();
        let path = request.uri().path().to_owned();
        let body = request.into_body().collect().await;
        let body = body.map_err(Error::other)?.to_bytes();
        if path.ends_with("/invocations") {
            let answer = self.invoke(body).await.ok_or_else(|| Error::other("no answer"))?;
            let is_too_large = answer.body.len() > MAX_RESPONSE;
            let mut response = Response::new(Full::from(answer.body));
            if is_too_large {
                *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
            }
            return Ok(response);
        }
        let id = path.rsplit('/').nth(1).unwrap_or_default();
        match self.running.lock().await.remove(id) {
            // The sender of the event may have given up.
            Some(waiting) => drop(waiting.send(Answer { path, body, at })),
            None => {
                let _ = writeln!(io::stderr(), "the function posted to {path}: {body:?}");
            }
        }
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::ACCEPTED;
        Ok(response)
    }

    async fn hand_out(&self) -> Result<Response<Full<Bytes>>> {
        self.polls.send(Instant::now()).map_err(Error::other)?;
        let next = self.pending.lock().await.recv().await;
        let (id, event) = next.ok_or_else(|| Error::other("no more events"))?;
        let deadline = *self.deadline.lock().unwrap();
        let deadline = deadline.unwrap_or_else(|| SystemTime::now() + TIMEOUT);
        let deadline = deadline.duration_since(UNIX_EPOCH).map_err(Error::other)?;
        Response::builder()
            .header("content-type", "application/json")
            .header("lambda-runtime-aws-request-id", id)
            .header("lambda-runtime-deadline-ms", deadline.as_millis().to_string())
            .header(
                "lambda-runtime-invoked-function-arn",
                "arn:aws:lambda:us-east-1:123456789012:function:heartbeat",
            )
            .header(
                "lambda-runtime-trace-id",
                "Root=1-696cb5d8-0123456789abcdef01234567;Parent=0123456789abcdef;Sampled=0",
            )
            .body(Full::from(event))
            .map_err(Error::other)
    }
}
