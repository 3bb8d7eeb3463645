//! A DynamoDB that takes every write, over TLS, and counts handshakes.

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
    _server: JoinSet<()>,
}

impl DynamoDb {
    /// Starts the stub.
    pub async fn start(identity: &Identity) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("https://localhost:{}", listener.local_addr()?.port());
        let handshakes = Arc::new(AtomicUsize::new(0));
        let mut server = JoinSet::new();
        server.spawn(accept(listener, identity.tls.clone(), handshakes.clone()));
        Ok(Self {
            url,
            handshakes,
            _server: server,
        })
    }

    /// TLS handshakes so far.
    pub fn handshakes(&self) -> usize {
        self.handshakes.load(Ordering::SeqCst)
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, handshakes: Arc<AtomicUsize>) {
    let mut connections = JoinSet::new();
    while let Ok((tcp, _)) = listener.accept().await {
        connections.spawn(serve(tcp, tls.clone(), handshakes.clone()));
    }
}

async fn serve(tcp: TcpStream, tls: TlsAcceptor, handshakes: Arc<AtomicUsize>) -> Result<()> {
    tcp.set_nodelay(true)?;
    // Counted as it begins: the client may be done with it before this end is.
    handshakes.fetch_add(1, Ordering::SeqCst);
    let stream = tls.accept(tcp).await?;
    http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service_fn(answer))
        .await?;
    Ok(())
}

/// What DynamoDB answers to a write that returns nothing, with its usual headers, and to a GET.
async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let is_get = request.method() == Method::GET;
    // A request that is not read to its end costs its connection.
    let _ = http_body_util::BodyExt::collect(request.into_body()).await;
    let response = if is_get {
        Response::builder().body(Full::from("healthy: dynamodb.us-east-1.amazonaws.com "))
    } else {
        Response::builder()
            .header("server", "Server")
            .header("content-type", "application/x-amz-json-1.0")
            .header(
                "x-amzn-requestid",
                "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789ABCDEF",
            )
            .header("x-amz-crc32", "2745614147")
            .body(Full::from("{}"))
    };
    Ok(response.expect("these headers are valid"))
}
