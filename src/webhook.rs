//! Requests to addresses that are secrets, because whoever knows one can use it: their parser, whose errors never contain
//! them, and the client that sends them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use lambda_http::http::header::{AUTHORIZATION, USER_AGENT};
use lambda_http::http::request::Builder;
use lambda_http::http::{HeaderValue, Method, Request, Uri};
use percent_encoding::percent_decode_str;
use rustls::{ClientConfig, RootCertStore};
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use syntax::url::{InvalidUrl, parse_private};

/// The time limit for opening a TCP connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A client of web servers.
pub type HttpClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// An address: an `https` URL, or an `http` URL of this machine.
#[derive(Clone)]
pub struct Address {
    pub url: Uri,
    /// The `Authorization` header, if the URL has a user name.
    pub authorization: Option<HeaderValue>,
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl Address {
    /// Reads a URL. Its user name becomes HTTP Basic authentication.
    ///
    /// # Errors
    /// If it is not a URL, or one without TLS.
    pub fn parse(url: &str) -> Result<Self, InvalidUrl> {
        let url = parse_private(url)?;
        let user = url.authority().and_then(|authority| authority.as_str().rsplit_once('@'));
        Ok(Self { authorization: user.map(|(user, _)| basic(user)).transpose()?, url })
    }

    /// Starts a request to it.
    pub fn request(&self, method: Method) -> Builder {
        let request =
            Request::builder().method(method).uri(self.url.clone()).header(USER_AGENT, "heartbeat");
        match &self.authorization {
            Some(authorization) => request.header(AUTHORIZATION, authorization),
            None => request,
        }
    }
}

fn basic(user: &str) -> Result<HeaderValue, InvalidUrl> {
    let decoded: Vec<u8> = percent_decode_str(user).collect();
    let header = format!("Basic {}", STANDARD.encode(decoded));
    HeaderValue::try_from(header).map_err(|_| InvalidUrl::Form)
}

/// A client that trusts the authorities that Mozilla trusts.
///
/// # Errors
/// If TLS cannot be set up.
pub fn client() -> Result<HttpClient, rustls::Error> {
    let roots: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp);
    Ok(Client::builder(TokioExecutor::new()).build(connector))
}

/// Why a request failed, in words that name no host.
#[must_use]
pub fn explain(error: &(dyn Error + 'static)) -> &'static str {
    let mut source = Some(error);
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return match error {
                rustls::Error::InvalidCertificate(_) => "its certificate is not trusted",
                _ => "TLS failed",
            };
        }
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            if let Some(inner) = error.get_ref() {
                source = Some(inner);
                continue;
            }
            return match error.kind() {
                std::io::ErrorKind::ConnectionRefused => "the connection is refused",
                std::io::ErrorKind::ConnectionReset => "the connection is reset",
                std::io::ErrorKind::TimedOut => "no connection",
                _ => "the connection failed",
            };
        }
        source = error.source();
    }
    "the connection failed"
}
