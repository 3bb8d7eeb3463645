//! The tables and the topic that a command works on, and how they are named.

use anyhow::bail;
use clap::Args;
use std::env;

/// Which tables, and how to print.
#[derive(Args)]
pub struct Target {
    /// The CloudFormation stack whose outputs name the tables, unless they are given [env:
    /// HEARTBEAT_STACK].
    #[arg(long, global = true)]
    stack: Option<String>,
    #[arg(long = SERVERS.flag, help = SERVERS.help(), global = true)]
    servers_table: Option<String>,
    #[arg(long = METRICS.flag, help = METRICS.help(), global = true)]
    metrics_table: Option<String>,
    #[arg(long = KEYS.flag, help = KEYS.help(), global = true)]
    keys_table: Option<String>,
    #[arg(long = TOPIC.flag, help = TOPIC.help(), global = true, value_name = "ARN")]
    topic: Option<String>,
    /// Print JSON.
    #[arg(long, global = true)]
    pub json: bool,
}

/// The name of a table or a topic, and the ways in which it can be given.
pub struct Name {
    what: &'static str,
    flag: &'static str,
    variable: &'static str,
    /// The output of the stack.
    pub output: &'static str,
    given: fn(&Target) -> &Option<String>,
}

/// The servers table.
pub const SERVERS: Name = Name {
    what: "name of the servers table",
    flag: "servers-table",
    variable: "SERVERS_TABLE",
    output: "ServersTableName",
    given: |target| &target.servers_table,
};

/// The metrics table.
pub const METRICS: Name = Name {
    what: "name of the metrics table",
    flag: "metrics-table",
    variable: "METRICS_TABLE",
    output: "MetricsTableName",
    given: |target| &target.metrics_table,
};

/// The keys table.
pub const KEYS: Name = Name {
    what: "name of the keys table",
    flag: "keys-table",
    variable: "KEYS_TABLE",
    output: "KeysTableName",
    given: |target| &target.keys_table,
};

/// The URL of the endpoint.
pub const URL: Name = Name {
    what: "URL of the endpoint",
    flag: "url",
    variable: "HEARTBEAT_URL",
    output: "HeartbeatUrl",
    // A flag of the only command that needs it.
    given: |_| &None,
};

/// The topic for alarms and announcements.
pub const TOPIC: Name = Name {
    what: "ARN of the alert topic",
    flag: "topic",
    variable: "ALERT_TOPIC_ARN",
    output: "AlertTopicArn",
    given: |target| &target.topic,
};

/// Where a name is found.
pub enum Source {
    /// It was given.
    Given(String),
    /// It is an output of this stack.
    Stack(String),
}

impl Name {
    fn help(&self) -> String {
        format!("The {} [env: {}]", self.what, self.variable)
    }
}

impl Target {
    /// Decides where a name comes from. What is on the command line precedes the environment, and the name
    /// itself precedes the stack.
    ///
    /// # Errors
    /// If neither the name nor a stack is given.
    pub fn source(&self, name: &Name) -> anyhow::Result<Source> {
        let variable = |name| env::var(name).ok().filter(|value| !value.is_empty());
        let given = (name.given)(self).clone().map(Source::Given);
        let source = given
            .or_else(|| self.stack.clone().map(Source::Stack))
            .or_else(|| variable(name.variable).map(Source::Given))
            .or_else(|| variable("HEARTBEAT_STACK").map(Source::Stack));
        let Some(source) = source else {
            let Name { what, flag, variable, .. } = name;
            bail!("the {what} is missing: pass --{flag} or --stack, or set {variable}");
        };
        Ok(source)
    }
}
