//! The process of a function, started as Lambda starts it.

use crate::runtime_api::RuntimeApi;
use serde_json::Value;
use std::path::Path;
use std::process::Stdio;
use tokio::process::{Child, Command};

/// Starts a program. Its environment contains only these settings and what Lambda sets.
pub fn start<'a, K, V>(
    program: &str,
    api: &RuntimeApi,
    settings: impl IntoIterator<Item = &'a (K, V)>,
) -> Child
where
    K: AsRef<str> + 'a,
    V: AsRef<str> + 'a,
{
    let settings = settings.into_iter();
    Command::new(program)
        .env_clear()
        .env("AWS_LAMBDA_RUNTIME_API", &api.address)
        .env(
            "AWS_LAMBDA_FUNCTION_NAME",
            Path::new(program).file_name().unwrap(),
        )
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
        .envs(settings.map(|(name, value)| (name.as_ref(), value.as_ref())))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Kills a process, and returns the lines that it has logged.
pub async fn kill(mut process: Child) -> Vec<Value> {
    process.start_kill().unwrap();
    let output = process.wait_with_output().await.unwrap().stdout;
    let log = String::from_utf8(output).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.collect()
}
