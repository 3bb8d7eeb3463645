//! The DynamoDB client: TLS, trust, timeouts, and connections that are open before the first heartbeat.

mod signer;

use self::signer::Signer;
use crate::config::{ClientConfig, ConfigError};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::endpoint::{
    DefaultResolver, Endpoint, EndpointFuture, Params, ResolveEndpoint,
};
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{
    BehaviorVersion, Region, SharedCredentialsProvider, StalledStreamProtectionConfig,
};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use http_body_util::BodyExt;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector as TcpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use lambda_http::http::Uri;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig as TlsConfig, RootCertStore};
use std::error::Error;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::Barrier;
use tower_service::Service;

/// The roots that DynamoDB's certificates lead to: Amazon Root CA 1 to 4 and Starfield Services Root G2.
pub const AMAZON_ROOTS: &[u8] = include_bytes!("client/amazon-roots.pem");

/// The first try and two more.
const MAX_ATTEMPTS: u32 = 3;

/// Ceiling of the random pause before the second try; it doubles for the third.
const INITIAL_BACKOFF: Duration = Duration::from_millis(50);

/// Makes the client.
///
/// # Errors
/// `AWS_CA_BUNDLE` names no file with a certificate in it.
pub fn connect(config: &ClientConfig) -> Result<(Client, WarmUp), ConfigError> {
    let gate = Arc::new(Gate::new());
    let connector = Connector::new(config, gate.clone())?;
    let endpoint = OneEndpoint::default();
    let mut sdk = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(config.region.clone()))
        .credentials_provider(SharedCredentialsProvider::new(config.credentials.clone()))
        .endpoint_resolver(endpoint.clone())
        .push_auth_scheme(Signer::new(
            config.credentials.clone(),
            config.region.clone(),
        ))
        .http_client(http_client_fn({
            let connector = SharedHttpConnector::new(connector.clone());
            move |_, _| connector.clone()
        }))
        .timeout_config(
            TimeoutConfig::builder()
                .operation_attempt_timeout(config.attempt_timeout)
                .operation_timeout(config.operation_timeout)
                .build(),
        )
        .retry_config(
            RetryConfig::standard()
                .with_max_attempts(MAX_ATTEMPTS)
                .with_initial_backoff(INITIAL_BACKOFF),
        )
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    sdk.set_endpoint_url(config.endpoint_url.clone());
    let warm_up = WarmUp {
        connector,
        gate,
        endpoint,
        region: config.region.clone(),
        endpoint_url: config.endpoint_url.clone(),
        patience: config.attempt_timeout,
    };
    Ok((Client::from_conf(sdk.build()), warm_up))
}

/// Opens the connections that the first heartbeat will use.
pub struct WarmUp {
    connector: Connector,
    gate: Arc<Gate>,
    endpoint: OneEndpoint,
    region: String,
    endpoint_url: Option<String>,
    patience: Duration,
}

impl WarmUp {
    /// Opens two connections, one for each write, in the pool that the client takes them from.
    ///
    /// # Errors
    /// DynamoDB did not answer in the time that one try of a write is given. Nothing is lost: a
    /// connection is opened when a write needs it.
    pub async fn run(self) -> Result<(), Box<dyn Error + Send + Sync>> {
        let params = Params::builder()
            .region(self.region)
            .set_endpoint(self.endpoint_url)
            .build()?;
        let endpoint = self.endpoint.resolve_endpoint(&params).await?;
        let get = async || {
            let mut request = HttpRequest::empty();
            request.set_uri(endpoint.url())?;
            // Whatever the answer is: read to its end, it leaves an open connection.
            self.connector
                .send(request)
                .await?
                .into_body()
                .collect()
                .await?;
            Ok::<_, Box<dyn Error + Send + Sync>>(())
        };
        self.gate.close();
        let both = async { tokio::join!(get(), get()) };
        let opened = tokio::time::timeout(self.patience, both).await;
        self.gate.open();
        let (one, two) = opened?;
        one.and(two)
    }
}

/// Where the connections of the warm-up wait for each other. The first to be open could otherwise serve
/// both requests, and the second would still be on its way when the first heartbeat wants it.
struct Gate {
    is_closed: AtomicBool,
    pair: Barrier,
}

impl Gate {
    fn new() -> Self {
        Self {
            is_closed: AtomicBool::new(false),
            pair: Barrier::new(2),
        }
    }

    fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
    }

    fn open(&self) {
        self.is_closed.store(false, Ordering::Relaxed);
    }

    async fn pass(&self) {
        if self.is_closed.load(Ordering::Relaxed) {
            self.pair.wait().await;
        }
    }
}

/// The SDK's endpoint, resolved once, by the warm-up: what it depends on does not change from one write to
/// the next.
#[derive(Debug, Clone, Default)]
struct OneEndpoint(Arc<OnceLock<Endpoint>>);

impl ResolveEndpoint for OneEndpoint {
    fn resolve_endpoint<'a>(&'a self, params: &'a Params) -> EndpointFuture<'a> {
        if let Some(endpoint) = self.0.get() {
            return EndpointFuture::ready(Ok(endpoint.clone()));
        }
        EndpointFuture::new(async {
            let endpoint = DefaultResolver::new().resolve_endpoint(params).await?;
            Ok(self.0.get_or_init(|| endpoint).clone())
        })
    }
}

/// HTTP/1.1 over a pool of connections, as the SDK wants to call it.
#[derive(Debug, Clone)]
struct Connector(HttpClient<Opener, SdkBody>);

impl Connector {
    fn new(config: &ClientConfig, gate: Arc<Gate>) -> Result<Self, ConfigError> {
        let mut tcp = TcpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(config.connect_timeout));
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls(config.ca_bundle.as_deref())?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = HttpClient::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(config.idle_timeout)
            .build(Opener { https, gate });
        Ok(Self(client))
    }

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let request = request
            .try_into_http1x()
            .map_err(|error| ConnectorError::user(error.into()))?;
        let response = self.0.request(request).await;
        let response = response.map_err(|error| ConnectorError::io(error.into()))?;
        HttpResponse::try_from(response.map(SdkBody::from_body_1_x))
            .map_err(|error| ConnectorError::other(error.into(), None))
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let connector = self.clone();
        HttpConnectorFuture::new(async move {
            let response = connector.send(request).await?;
            // DynamoDB always answers with one, and the SDK would take an empty one for a success.
            if response.body().content_length() == Some(0) {
                return Err(ConnectorError::io("an answer without a body".into()));
            }
            Ok(response)
        })
    }
}

/// Opens connections, which then pass the gate.
#[derive(Clone)]
struct Opener {
    https: HttpsConnector<TcpConnector>,
    gate: Arc<Gate>,
}

impl Service<Uri> for Opener {
    type Response = <HttpsConnector<TcpConnector> as Service<Uri>>::Response;
    type Error = <HttpsConnector<TcpConnector> as Service<Uri>>::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.https.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connection = self.https.call(uri);
        let gate = self.gate.clone();
        Box::pin(async move {
            let connection = connection.await?;
            gate.pass().await;
            Ok(connection)
        })
    }
}

fn tls(ca_bundle: Option<&str>) -> Result<TlsConfig, ConfigError> {
    let unusable = |reason: &dyn std::fmt::Display| ConfigError::new("AWS_CA_BUNDLE", reason);
    let mut roots = RootCertStore::empty();
    let pem = match ca_bundle {
        Some(path) => &std::fs::read(path).map_err(|error| unusable(&error))?,
        None => AMAZON_ROOTS,
    };
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let (trusted, _) =
        roots.add_parsable_certificates(certificates.map_err(|error| unusable(&error))?);
    if trusted == 0 {
        return Err(unusable(&"it holds no certificate"));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = TlsConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::{AMAZON_ROOTS, CertificateDer, PemObject};
    use std::time::{Duration, SystemTime, UNIX_EPOCH};
    use x509_parser::parse_x509_certificate;

    /// Long enough to replace a root and to deploy the function everywhere.
    const NOTICE: Duration = Duration::from_secs(180 * 24 * 60 * 60);

    /// Each root by its common name, and when it expires.
    fn roots() -> Vec<(String, SystemTime)> {
        let root = |pem: Result<CertificateDer<'_>, _>| {
            let der = pem.expect("PEM");
            let (_, root) = parse_x509_certificate(&der).expect("a certificate");
            let name = root.subject().iter_common_name().next().expect("a name");
            let expiry = root.validity().not_after.timestamp();
            let expiry = Duration::from_secs(expiry.try_into().expect("after 1970"));
            (name.as_str().expect("text").to_owned(), UNIX_EPOCH + expiry)
        };
        CertificateDer::pem_slice_iter(AMAZON_ROOTS)
            .map(root)
            .collect()
    }

    /// <https://www.amazontrust.com/repository/> lists these five.
    #[test]
    fn all_of_amazons_roots_are_trusted() {
        let names: Vec<_> = roots().into_iter().map(|(name, _)| name).collect();
        assert_eq!(
            names,
            [
                "Amazon Root CA 1",
                "Amazon Root CA 2",
                "Amazon Root CA 3",
                "Amazon Root CA 4",
                "Starfield Services Root Certificate Authority - G2",
            ]
        );
    }

    /// Fails 180 days before the first of them expires.
    #[test]
    fn no_root_expires_soon() {
        for (name, expiry) in roots() {
            assert!(
                SystemTime::now() + NOTICE < expiry,
                "{name} has to be replaced"
            );
        }
    }
}
