//! AWS, with the credentials and the region that the AWS CLI would use, and the names of what is there.

use crate::Place;
use anyhow::{Context, anyhow, bail};
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use std::error::Error;
use tokio::sync::OnceCell;

/// What a command needs of AWS.
pub struct Aws<'a> {
    config: SdkConfig,
    place: &'a Place,
    outputs: OnceCell<Vec<(String, String)>>,
}

/// Something that has a name.
pub struct Name {
    what: &'static str,
    flag: &'static str,
    variable: &'static str,
    output: &'static str,
}

/// The table of servers.
pub const SERVERS: Name = Name {
    what: "the table of servers",
    flag: "--servers-table",
    variable: "SERVERS_TABLE",
    output: "ServersTableName",
};

/// The table of metrics.
pub const METRICS: Name = Name {
    what: "the table of metrics",
    flag: "--metrics-table",
    variable: "METRICS_TABLE",
    output: "MetricsTableName",
};

/// The table of keys.
pub const KEYS: Name = Name {
    what: "the table of keys",
    flag: "--keys-table",
    variable: "KEYS_TABLE",
    output: "KeysTableName",
};

/// The endpoint.
pub const URL: Name = Name {
    what: "the endpoint",
    flag: "--url",
    variable: "HEARTBEAT_URL",
    output: "HeartbeatUrl",
};

impl<'a> Aws<'a> {
    /// Finds region, credentials and endpoints where every AWS tool finds them.
    pub async fn new(place: &'a Place) -> Self {
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build_https();
        let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(http)
            .load()
            .await;
        Self {
            config,
            place,
            outputs: OnceCell::new(),
        }
    }

    /// A client for DynamoDB.
    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::new(&self.config)
    }

    /// The table of servers.
    pub async fn servers_table(&self) -> anyhow::Result<String> {
        self.name(&SERVERS, &self.place.servers_table).await
    }

    /// The table of metrics.
    pub async fn metrics_table(&self) -> anyhow::Result<String> {
        self.name(&METRICS, &self.place.metrics_table).await
    }

    /// The table of keys.
    pub async fn keys_table(&self) -> anyhow::Result<String> {
        self.name(&KEYS, &self.place.keys_table).await
    }

    /// The endpoint.
    pub async fn url(&self) -> anyhow::Result<String> {
        self.name(&URL, &self.place.url).await
    }

    /// A name from its flag or variable, or else from the stack's outputs.
    async fn name(&self, name: &Name, given: &Option<String>) -> anyhow::Result<String> {
        if let Some(given) = given {
            return Ok(given.clone());
        }
        let Some(stack) = &self.place.stack else {
            let Name {
                what,
                flag,
                variable,
                ..
            } = name;
            bail!("{what} is not named: pass {flag} or --stack, or set {variable}");
        };
        let outputs = self
            .outputs
            .get_or_try_init(|| self.read_outputs(stack))
            .await?;
        let output = outputs.iter().find(|(key, _)| key == name.output);
        output
            .map(|(_, value)| value.clone())
            .ok_or_else(|| anyhow!("the stack {stack} has no output {}", name.output))
    }

    async fn read_outputs(&self, stack: &str) -> anyhow::Result<Vec<(String, String)>> {
        let client = aws_sdk_cloudformation::Client::new(&self.config);
        let described = client.describe_stacks().stack_name(stack).send().await;
        let described = described
            .map_err(explain)
            .with_context(|| format!("the stack {stack} cannot be read"))?;
        let outputs = described.stacks().iter().flat_map(|stack| stack.outputs());
        let pairs = outputs.filter_map(|output| {
            Some((
                output.output_key()?.to_owned(),
                output.output_value()?.to_owned(),
            ))
        });
        Ok(pairs.collect())
    }
}

/// Says in a line what went wrong, and what to do about it where that is known.
pub fn explain<E, R>(error: SdkError<E, R>) -> anyhow::Error
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    let chain = DisplayErrorContext(&error).to_string();
    if let Some(service) = error.as_service_error() {
        let code = service.code().unwrap_or("an unknown error");
        return match (code, service.message()) {
            ("ResourceNotFoundException", _) => anyhow!("there is no such table in this region"),
            (code, Some(message)) => anyhow!("{code}: {message}"),
            (code, None) => anyhow!("{code}"),
        };
    }
    let hint = if chain.contains("redential") {
        "no AWS credentials: sign in as for the AWS CLI (AWS_PROFILE, `aws sso login`, …)"
    } else if chain.contains("region") {
        "no AWS region: set AWS_REGION, or one in the profile"
    } else {
        "AWS cannot be reached"
    };
    anyhow!("{hint}: {chain}")
}
