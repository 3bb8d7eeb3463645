//! AWS clients with the AWS CLI's credentials, region and proxies, and the names in the stack's outputs.

use crate::proxy::{self, Routed};
use crate::target::{Name, Source, Target};
use anyhow::{Context, anyhow};
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_dynamodb::config::RuntimeComponents;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder, Connector};
use page::{Clock, explain};
use std::time::Duration;
use tokio::sync::OnceCell;

/// How long AWS may take for the first byte of a response. A connection that a laptop's sleep has broken never has one.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// How long one attempt of a call may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(8);

/// How long a call may take with all its attempts.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(18);

/// Access to AWS for one command.
pub struct Aws<'a> {
    target: &'a Target,
    config: OnceCell<SdkConfig>,
    dynamodb: OnceCell<(aws_sdk_dynamodb::Client, Clock)>,
    outputs: OnceCell<Vec<(String, String)>>,
}

impl<'a> Aws<'a> {
    /// Access that is set up when it is first needed.
    pub fn new(target: &'a Target) -> Self {
        Self {
            target,
            config: OnceCell::new(),
            dynamodb: OnceCell::new(),
            outputs: OnceCell::new(),
        }
    }

    /// A client for DynamoDB, and the clock that its responses set: whatever is written to a table or compared with a time
    /// in one is by that clock.
    ///
    /// # Errors
    /// If the environment names a proxy that cannot be used.
    pub async fn dynamodb(&self) -> anyhow::Result<(aws_sdk_dynamodb::Client, Clock)> {
        let create = async || Ok(Clock::of(&aws_sdk_dynamodb::Client::new(self.config().await?)));
        self.dynamodb.get_or_try_init(create).await.cloned()
    }

    /// A client for SNS.
    ///
    /// # Errors
    /// If the environment names a proxy that cannot be used.
    pub async fn sns(&self) -> anyhow::Result<aws_sdk_sns::Client> {
        Ok(aws_sdk_sns::Client::new(self.config().await?))
    }

    /// A name as it was given, or from the stack's outputs.
    ///
    /// # Errors
    /// If it is missing, or the stack cannot be read.
    pub async fn name(&self, name: &Name) -> anyhow::Result<String> {
        let stack = match self.target.source(name)? {
            Source::Given(given) => return Ok(given),
            Source::Stack(stack) => stack,
        };
        let outputs = self.outputs.get_or_try_init(|| self.read_outputs(&stack)).await?;
        outputs
            .iter()
            .find(|(key, _)| key == name.output)
            .map(|(_, value)| value.clone())
            .ok_or_else(|| anyhow!("the stack {stack} has no output {}", name.output))
    }

    /// Loads region, credentials, endpoints and proxies as other AWS tools do.
    async fn config(&self) -> anyhow::Result<&SdkConfig> {
        let load = || async {
            let through = |proxies: ProxyConfig| {
                Builder::new().build_with_connector_fn(move |settings, components| {
                    let mut connector = Connector::builder();
                    connector
                        .set_connector_settings(settings.cloned())
                        .set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
                    connector
                        .proxy_config(proxies.clone())
                        .tls_provider(Provider::Rustls(CryptoMode::Ring))
                        .build()
                })
            };
            let http = Routed {
                direct: through(ProxyConfig::disabled()),
                proxied: through(proxy::from_environment()?),
            };
            let timeouts = TimeoutConfig::builder()
                .read_timeout(READ_TIMEOUT)
                .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                .operation_timeout(OPERATION_TIMEOUT)
                .build();
            let loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
                .http_client(http)
                .timeout_config(timeouts);
            Ok(loader.load().await)
        };
        self.config.get_or_try_init(load).await
    }

    async fn read_outputs(&self, stack: &str) -> anyhow::Result<Vec<(String, String)>> {
        let described = aws_sdk_cloudformation::Client::new(self.config().await?)
            .describe_stacks()
            .stack_name(stack)
            .send()
            .await
            .map_err(explain)
            .with_context(|| format!("the stack {stack} cannot be read"))?;
        let outputs = described.stacks().iter().flat_map(|stack| stack.outputs());
        let pairs = outputs.filter_map(|output| {
            Some((output.output_key()?.to_owned(), output.output_value()?.to_owned()))
        });
        Ok(pairs.collect())
    }
}
