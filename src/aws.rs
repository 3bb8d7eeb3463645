//! AWS clients, built from the SDK's own parts, and their settings. This module configures trust, timeouts and retries, and opens
//! connections before the first heartbeat.

use crate::fault::SIGNATURE_CODES;
use crate::settings::{InvalidSetting, Settings};
use aws_runtime::retries::classifiers::AwsErrorCodeClassifier;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{
    BehaviorVersion, Credentials, Region, SharedCredentialsProvider, StalledStreamProtectionConfig,
};
use aws_sdk_dynamodb::operation::get_item::GetItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::scan::ScanError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::error::display::DisplayErrorContext;
use aws_types::SdkConfig;
use http_body_util::BodyExt;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::error::Error;
use std::time::Duration;

/// The roots that DynamoDB's certificates chain to: Amazon Root CA 1 to 4 and Starfield Services Root G2.
pub const AMAZON_ROOTS: &[u8] = include_bytes!("aws/amazon-roots.pem");

/// The first attempt and two retries.
const MAX_ATTEMPTS: u32 = 3;

/// The upper bound of the random pause before the first retry. It doubles for the second.
const INITIAL_BACKOFF: Duration = Duration::from_millis(50);

/// For patient calls: the attempts, the upper bound of the random pause between two, and the time limit of all together.
const PATIENT_ATTEMPTS: u32 = 12;
const PATIENT_BACKOFF: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(60);

/// How to reach AWS, and its timeouts.
#[derive(Debug)]
pub struct AwsConfig {
    /// `AWS_REGION`; Lambda sets it.
    pub region: String,
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`; Lambda sets them.
    pub credentials: Credentials,
    /// `AWS_ENDPOINT_URL_DYNAMODB`: a DynamoDB endpoint other than the region's.
    pub endpoint_url: Option<String>,
    /// `AWS_CA_BUNDLE`: a PEM file with the roots to trust instead of Amazon's.
    pub ca_bundle: Option<String>,
    /// `CONNECT_TIMEOUT_MS` (default 1000): the time limit for opening a connection: DNS, TCP and TLS,
    /// all addresses of the host together.
    pub connect_timeout: Duration,
    /// `ATTEMPT_TIMEOUT_MS` (default 1500): the time limit for one attempt of a call.
    pub attempt_timeout: Duration,
    /// `OPERATION_TIMEOUT_MS` (default 5000): the time limit for a call with all its attempts.
    pub operation_timeout: Duration,
    /// `IDLE_TIMEOUT_MS` (default 45000): how long an unused connection is kept. It is closed before the
    /// network drops it.
    pub idle_timeout: Duration,
}

impl AwsConfig {
    /// Reads only these settings.
    ///
    /// # Errors
    /// Returns the first setting that is missing or invalid.
    pub fn from_variables(
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, InvalidSetting> {
        let settings = Settings(variable);
        let aws = Self {
            region: settings.required("AWS_REGION")?,
            credentials: Credentials::new(
                settings.required("AWS_ACCESS_KEY_ID")?,
                settings.required("AWS_SECRET_ACCESS_KEY")?,
                settings.optional("AWS_SESSION_TOKEN"),
                None,
                "environment",
            ),
            endpoint_url: settings.url("AWS_ENDPOINT_URL_DYNAMODB")?,
            ca_bundle: settings.optional("AWS_CA_BUNDLE"),
            connect_timeout: settings.millis("CONNECT_TIMEOUT_MS", 1_000)?,
            attempt_timeout: settings.millis("ATTEMPT_TIMEOUT_MS", 1_500)?,
            operation_timeout: settings.millis("OPERATION_TIMEOUT_MS", 5_000)?,
            idle_timeout: settings.millis("IDLE_TIMEOUT_MS", 45_000)?,
        };
        if aws.connect_timeout > aws.attempt_timeout {
            return Err(InvalidSetting::new(
                "CONNECT_TIMEOUT_MS",
                "it is above ATTEMPT_TIMEOUT_MS",
            ));
        }
        if aws.attempt_timeout >= aws.operation_timeout {
            return Err(InvalidSetting::new(
                "ATTEMPT_TIMEOUT_MS",
                "it is not below OPERATION_TIMEOUT_MS",
            ));
        }
        Ok(aws)
    }
}

/// A client for each table that a heartbeat is written to. Each has its own connector and therefore its own
/// connection, so that the two writes never wait for each other's handshake.
pub struct Clients {
    /// For the servers table, and for lookups in the keys table.
    pub servers: Client,
    /// For the metrics table.
    pub metrics: Client,
}

/// Creates the endpoint's clients, and the warm-up that opens their connections.
///
/// # Errors
/// If `AWS_CA_BUNDLE` does not name a file that contains certificates.
pub fn clients(config: &AwsConfig) -> Result<(Clients, WarmUp), InvalidSetting> {
    let connectors = [connector(config)?, connector(config)?];
    let [servers, metrics] = connectors.clone().map(|connector| dynamodb_over(config, connector));
    let warm_up = WarmUp {
        connectors,
        endpoint: Params::builder()
            .region(config.region.clone())
            .set_endpoint(config.endpoint_url.clone()),
        timeout: config.attempt_timeout,
    };
    Ok((Clients { servers, metrics }, warm_up))
}

/// Creates a DynamoDB client with its own connection.
///
/// # Errors
/// If `AWS_CA_BUNDLE` does not name a file that contains certificates.
pub fn dynamodb(config: &AwsConfig) -> Result<Client, InvalidSetting> {
    Ok(dynamodb_over(config, connector(config)?))
}

fn dynamodb_over(config: &AwsConfig, connector: SharedHttpConnector) -> Client {
    let mut sdk = aws_sdk_dynamodb::config::Builder::from(&sdk_config(config, connector))
        .retry_classifier(rejected_signatures::<GetItemError>())
        .retry_classifier(rejected_signatures::<PutItemError>())
        .retry_classifier(rejected_signatures::<ScanError>())
        .retry_classifier(rejected_signatures::<UpdateItemError>());
    sdk.set_endpoint_url(config.endpoint_url.clone());
    Client::from_conf(sdk.build())
}

/// The same client for calls that may take longer, and that nobody else repeats: more attempts, and no limit on all of them
/// together but the caller's.
#[must_use]
pub fn patient(client: &Client) -> Client {
    let config = client.config();
    let retries = RetryConfig::standard()
        .with_max_attempts(PATIENT_ATTEMPTS)
        .with_initial_backoff(INITIAL_BACKOFF)
        .with_max_backoff(PATIENT_BACKOFF);
    let timeouts = config.timeout_config().cloned();
    let timeouts = timeouts
        .unwrap_or_else(TimeoutConfig::disabled)
        .to_builder()
        .operation_timeout(PATIENCE)
        .build();
    let patient = config.to_builder();
    Client::from_conf(patient.retry_config(retries).timeout_config(timeouts).build())
}

/// Creates an SNS client with its own connection, for the endpoint `url` or else that of the region.
///
/// # Errors
/// If `AWS_CA_BUNDLE` does not name a file that contains certificates.
pub fn sns(config: &AwsConfig, url: Option<&str>) -> Result<aws_sdk_sns::Client, InvalidSetting> {
    let sdk_config = sdk_config(config, connector(config)?);
    let mut sdk = aws_sdk_sns::config::Builder::from(&sdk_config);
    sdk.set_endpoint_url(url.map(str::to_owned));
    Ok(aws_sdk_sns::Client::from_conf(sdk.build()))
}

/// The configuration that all clients share.
fn sdk_config(config: &AwsConfig, connector: SharedHttpConnector) -> SdkConfig {
    let connector = SharedHttpConnector::new(NonEmpty(connector));
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(config.attempt_timeout)
        .operation_timeout(config.operation_timeout)
        .build();
    let retries = RetryConfig::standard()
        .with_max_attempts(MAX_ATTEMPTS)
        .with_initial_backoff(INITIAL_BACKOFF);
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(config.region.clone()))
        .credentials_provider(SharedCredentialsProvider::new(config.credentials.clone()))
        .http_client(http_client_fn(move |_, _| connector.clone()))
        .timeout_config(timeouts)
        .retry_config(retries)
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .build()
}

/// Retries rejected signatures. On its own, the SDK retries one only if the clock is wrong, and not if it still
/// corrects a clock that has been set right since.
fn rejected_signatures<E>() -> AwsErrorCodeClassifier<E> {
    AwsErrorCodeClassifier::builder().transient_errors(SIGNATURE_CODES).build()
}

/// Creates a connector: rustls on *ring*, which trusts Amazon's roots or those of `AWS_CA_BUNDLE`.
fn connector(config: &AwsConfig) -> Result<SharedHttpConnector, InvalidSetting> {
    let roots = match &config.ca_bundle {
        Some(path) => read_ca_bundle(path)?,
        None => AMAZON_ROOTS.to_owned(),
    };
    let tls = TlsContext::builder()
        .with_trust_store(TrustStore::empty().with_pem_certificate(roots))
        .build()
        .map_err(|error| InvalidSetting::new("AWS_CA_BUNDLE", error))?;
    let connector = Connector::builder()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(tls)
        .connector_settings(
            HttpConnectorSettings::builder().connect_timeout(config.connect_timeout).build(),
        )
        .pool_idle_timeout(config.idle_timeout)
        .build();
    Ok(SharedHttpConnector::new(connector))
}

/// Reads `AWS_CA_BUNDLE`, and rejects whatever the connector would panic on.
fn read_ca_bundle(path: &str) -> Result<Vec<u8>, InvalidSetting> {
    let invalid = |reason: &dyn std::fmt::Display| InvalidSetting::new("AWS_CA_BUNDLE", reason);
    let pem = std::fs::read(path).map_err(|error| invalid(&error))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| invalid(&error))?;
        roots.add(certificate).map_err(|error| invalid(&error))?;
    }
    if roots.is_empty() {
        return Err(invalid(&"it holds no certificate"));
    }
    Ok(pem)
}

/// Opens the connections that the first heartbeat will use.
pub struct WarmUp {
    connectors: [SharedHttpConnector; 2],
    endpoint: aws_sdk_dynamodb::config::endpoint::ParamsBuilder,
    timeout: Duration,
}

impl WarmUp {
    /// Sends one `GET` through each connector concurrently, and reads the response to the end. Any response leaves an
    /// open connection in the connector's pool.
    ///
    /// If DynamoDB does not respond within the attempt timeout, this logs a warning instead of failing the start: the
    /// connection is then opened when a write needs it.
    pub async fn run(self) {
        if let Err(reason) = self.open().await {
            let reason = DisplayErrorContext(reason.as_ref()).to_string();
            tracing::warn!(reason, "no connection to DynamoDB yet");
        }
    }

    async fn open(self) -> Result<(), Box<dyn Error + Send + Sync>> {
        let endpoint = DefaultResolver::new().resolve_endpoint(&self.endpoint.build()?).await?;
        let get = async |connector: &SharedHttpConnector| {
            let mut request = HttpRequest::empty();
            request.set_uri(endpoint.url())?;
            connector.call(request).await?.into_body().collect().await?;
            Ok::<_, Box<dyn Error + Send + Sync>>(())
        };
        let [servers, metrics] = &self.connectors;
        // Waits for both, so that the failure of one does not cancel the other.
        let both = async { tokio::join!(get(servers), get(metrics)) };
        let (servers, metrics) = tokio::time::timeout(self.timeout, both).await?;
        servers.and(metrics)
    }
}

/// A connector that treats a response without a body as a failed attempt. AWS always sends a body here, and the SDK
/// would read an empty one as a success. A 5xx is left to the SDK, which then closes the connection.
#[derive(Debug)]
struct NonEmpty(SharedHttpConnector);

impl HttpConnector for NonEmpty {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let response = self.0.call(request);
        HttpConnectorFuture::new(async move {
            let mut response = response.await?;
            let body = response.take_body().collect().await.map_err(ConnectorError::io)?.to_bytes();
            if body.is_empty() && !response.status().is_server_error() {
                return Err(ConnectorError::io("a response without a body".into()));
            }
            *response.body_mut() = SdkBody::from(body);
            Ok(response)
        })
    }
}

#[cfg(test)]
mod tests;
