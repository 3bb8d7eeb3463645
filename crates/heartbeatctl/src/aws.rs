//! AWS clients with the AWS CLI's credentials and region, and the names in the stack's outputs.

use crate::target::{Name, Source, Target};
use anyhow::{Context, anyhow};
use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use page::explain;
use tokio::sync::OnceCell;

/// Access to AWS for one command.
pub struct Aws<'a> {
    target: &'a Target,
    config: OnceCell<SdkConfig>,
    outputs: OnceCell<Vec<(String, String)>>,
}

impl<'a> Aws<'a> {
    /// Access that is set up when it is first needed.
    pub fn new(target: &'a Target) -> Self {
        Self {
            target,
            config: OnceCell::new(),
            outputs: OnceCell::new(),
        }
    }

    /// A client for DynamoDB.
    pub async fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::new(self.config().await)
    }

    /// A client for SNS.
    pub async fn sns(&self) -> aws_sdk_sns::Client {
        aws_sdk_sns::Client::new(self.config().await)
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
        let outputs = self
            .outputs
            .get_or_try_init(|| self.read_outputs(&stack))
            .await?;
        outputs
            .iter()
            .find(|(key, _)| key == name.output)
            .map(|(_, value)| value.clone())
            .ok_or_else(|| anyhow!("the stack {stack} has no output {}", name.output))
    }

    /// Loads region, credentials and endpoints as other AWS tools do.
    async fn config(&self) -> &SdkConfig {
        let load = || {
            let http = aws_smithy_http_client::Builder::new()
                .tls_provider(Provider::Rustls(CryptoMode::Ring))
                .build_https();
            aws_config::defaults(BehaviorVersion::v2026_01_12())
                .http_client(http)
                .load()
        };
        self.config.get_or_init(load).await
    }

    async fn read_outputs(&self, stack: &str) -> anyhow::Result<Vec<(String, String)>> {
        let client = aws_sdk_cloudformation::Client::new(self.config().await);
        let described = client
            .describe_stacks()
            .stack_name(stack)
            .send()
            .await
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
