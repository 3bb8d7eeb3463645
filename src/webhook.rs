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
use std::cmp::Reverse;
use std::error::Error;
use std::fmt;
use std::iter;
use std::sync::Arc;
use std::time::Duration;
use syntax::url::{InvalidUrl, parse_private};

/// The time limit for opening a TCP connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How many characters of an address are something that only its owner can know.
const SECRET: usize = 8;

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

    /// The text with an ellipsis for whatever it repeats of the address, of 8 characters or more: a segment of the path, a value of
    /// the query, the user, the host.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        let authority = self.url.authority().map_or("", |authority| authority.as_str());
        let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
        let query = self.url.query().unwrap_or_default().split('&');
        let values = query.map(|pair| pair.split_once('=').map_or(pair, |(_, value)| value));
        let header = self.authorization.as_ref().and_then(|header| header.to_str().ok());
        let header = header.and_then(|header| header.strip_prefix("Basic "));
        let parts = self.url.path().split('/').chain(values).chain([user]);
        let parts = parts.chain(self.url.host()).chain(header);
        // A name and a password, or the number of a bot and its secret.
        let parts = parts.flat_map(|part| iter::once(part).chain(part.split(':')));
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let forms = |part: &str| [part.to_owned(), decoded(part), decoded(&part.replace('+', " "))];
        let mut secrets: Vec<_> = parts.flat_map(forms).collect();
        secrets.retain(|secret| secret.chars().count() >= SECRET);
        // One may begin with another.
        secrets.sort_by_key(|secret| Reverse(secret.len()));
        secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "…"))
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
