//! The process of a function, started as Lambda starts it.

use crate::runtime_api::RuntimeApi;
use serde_json::Value;
use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;
use tokio::process::{Child, Command};

/// A command that runs a program. Its environment contains only these settings and what Lambda sets.
pub fn command<K, V>(
    program: &str,
    api: &RuntimeApi,
    settings: impl IntoIterator<Item = (K, V)>,
) -> Command
where
    K: AsRef<OsStr>,
    V: AsRef<OsStr>,
{
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("AWS_LAMBDA_RUNTIME_API", &api.address)
        .env("AWS_LAMBDA_FUNCTION_NAME", Path::new(program).file_name().unwrap())
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
        .envs(settings)
        .kill_on_drop(true);
    command
}

/// Starts a program whose log [`kill`] returns.
pub fn start<K, V>(
    program: &str,
    api: &RuntimeApi,
    settings: impl IntoIterator<Item = (K, V)>,
) -> Child
where
    K: AsRef<OsStr>,
    V: AsRef<OsStr>,
{
    let mut command = command(program, api, settings);
    command.stdout(Stdio::piped()).spawn().unwrap()
}

/// Kills a process, and returns the lines that it has logged.
pub async fn kill(mut process: Child) -> Vec<Value> {
    process.start_kill().unwrap();
    let output = process.wait_with_output().await.unwrap().stdout;
    let log = String::from_utf8(output).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.collect()
}
