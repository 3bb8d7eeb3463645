//! A DynamoDB that takes every write and knows every key, over TLS, and counts handshakes and calls.

use anyhow::Result;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// Who the stub says it is.
pub struct Identity {
    /// The authority that vouches for it, as PEM.
    pub authority: String,
    tls: TlsAcceptor,
}

impl Identity {
    /// Makes an authority and a certificate for `localhost`.
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
        Ok(Self {
            authority: authority.pem(),
            tls: TlsAcceptor::from(Arc::new(config)),
        })
    }
}

/// The stub, up for as long as it is held.
pub struct DynamoDb {
    /// Where it listens.
    pub url: String,
    handshakes: Arc<AtomicUsize>,
    calls: Arc<AtomicUsize>,
    _server: JoinSet<()>,
}

impl DynamoDb {
    /// Starts the stub.
    pub async fn start(identity: &Identity) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("https://localhost:{}", listener.local_addr()?.port());
        let handshakes = Arc::new(AtomicUsize::new(0));
        let calls = Arc::new(AtomicUsize::new(0));
        let mut server = JoinSet::new();
        let counters = (handshakes.clone(), calls.clone());
        server.spawn(accept(listener, identity.tls.clone(), counters));
        Ok(Self {
            url,
            handshakes,
            calls,
            _server: server,
        })
    }

    /// TLS handshakes so far.
    pub fn handshakes(&self) -> usize {
        self.handshakes.load(Ordering::SeqCst)
    }

    /// Requests so far.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

/// Handshakes and requests.
type Counters = (Arc<AtomicUsize>, Arc<AtomicUsize>);

async fn accept(listener: TcpListener, tls: TlsAcceptor, counters: Counters) {
    let mut connections = JoinSet::new();
    while let Ok((tcp, _)) = listener.accept().await {
        connections.spawn(serve(tcp, tls.clone(), counters.clone()));
    }
}

async fn serve(tcp: TcpStream, tls: TlsAcceptor, (handshakes, calls): Counters) -> Result<()> {
    tcp.set_nodelay(true)?;
    // Counted as it begins: the client may be done with it before this end is.
    handshakes.fetch_add(1, Ordering::SeqCst);
    let stream = tls.accept(tcp).await?;
    let answer = service_fn(move |request| {
        calls.fetch_add(1, Ordering::SeqCst);
        answer(request)
    });
    http1::Builder::new()
        .serve_connection(TokioIo::new(stream), answer)
        .await?;
    Ok(())
}

/// An item of the keys table, for the server in the event.
const KEY: &str = r#"{"Item":{"key_sha256":{"S":"4c88089bdf15cb0dffde5c179461a2f99fa7cfb0bed250a8d87f8aa1d80eaa11"},"server_id":{"S":"omv-mediaserver"},"label":{"S":"omv-mediaserver"},"created_at":{"S":"2026-01-18T10:30:00.000000Z"},"expires_at":{"N":"32503680000"}}}"#;

/// What DynamoDB answers to a write that returns nothing, with its usual headers, to a lookup of a key, and to
/// a GET.
async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let is_get = request.method() == Method::GET;
    let target = request.headers().get("x-amz-target");
    let is_lookup = target.is_some_and(|target| target.as_bytes().ends_with(b".GetItem"));
    // A request that is not read to its end costs its connection.
    let _ = http_body_util::BodyExt::collect(request.into_body()).await;
    let response = if is_get {
        Response::builder().body(Full::from("healthy: dynamodb.us-east-1.amazonaws.com "))
    } else {
        let (body, checksum) = if is_lookup {
            (KEY, "1838381469")
        } else {
            ("{}", "2745614147")
        };
        Response::builder()
            .header("server", "Server")
            .header("content-type", "application/x-amz-json-1.0")
            .header(
                "x-amzn-requestid",
                "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789ABCDEF",
            )
            .header("x-amz-crc32", checksum)
            .body(Full::from(body))
    };
    Ok(response.expect("these headers are valid"))
}
