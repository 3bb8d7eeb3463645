//! A stand-in for Lambda: several processes of a function, and a gateway in front of them.

use dev::process;
use dev::runtime_api::RuntimeApi;
use serde_json::Value;
use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Child;

/// The folder of the processes' logs, which are removed at the end.
const FOLDER: &str = env!("CARGO_TARGET_TMPDIR");

pub struct Lambda {
    api: RuntimeApi,
    processes: Vec<Child>,
    logs: Vec<String>,
}

impl Lambda {
    /// Starts several processes of a program. Their environment holds these settings and those that Lambda sets.
    pub async fn start(
        program: &str,
        processes: usize,
        settings: &HashMap<&'static str, String>,
    ) -> Self {
        let api = RuntimeApi::start().await.unwrap();
        let logs: Vec<_> = (0..processes)
            .map(|number| {
                let name = Path::new(program).file_name().unwrap_or_default().display();
                format!("{FOLDER}/soak-{}-{name}-{number}.log", std::process::id())
            })
            .collect();
        let process = |log: &String| {
            let log = File::create(log).unwrap();
            process::command(program, &api, settings)
                .env("AWS_LAMBDA_LOG_LEVEL", "DEBUG")
                .stderr(Stdio::from(log.try_clone().unwrap()))
                .stdout(log)
                .spawn()
                .unwrap()
        };
        let processes = logs.iter().map(process).collect();
        Self { api, processes, logs }
    }

    pub fn gateway(&self) -> Gateway {
        Gateway(self.api.clone())
    }

    /// Invokes the function; returns whether it succeeded.
    pub async fn invoke(&self, event: &'static str) -> bool {
        let answer = self.api.invoke(event).await.unwrap();
        answer.path.ends_with("/response")
    }

    /// The resident memory of each running process, KiB.
    pub fn memory(&self) -> Vec<u64> {
        let resident = |process: &Child| {
            let status = std::fs::read_to_string(format!("/proc/{}/status", process.id()?)).ok()?;
            let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
            line.split_whitespace().nth(1)?.parse().ok()
        };
        self.processes.iter().filter_map(resident).collect()
    }

    /// Stops the processes; returns what they logged.
    pub async fn stop(mut self) -> String {
        for process in &mut self.processes {
            process.kill().await.unwrap();
        }
        let read_and_remove = |path: &String| {
            let log = std::fs::read_to_string(path).unwrap();
            std::fs::remove_file(path).unwrap();
            log
        };
        self.logs.iter().map(read_and_remove).collect()
    }
}

/// The entry point for agents.
#[derive(Clone)]
pub struct Gateway(RuntimeApi);

impl Gateway {
    /// Invokes the function; returns the status and the body of its answer. One answer in a hundred is lost on its
    /// way, and none is waited for longer than 30 s.
    pub async fn send(&self, event: &str) -> Option<(u64, Value)> {
        let invocation = self.0.invoke(event.to_owned());
        let answer = tokio::time::timeout(Duration::from_secs(30), invocation).await;
        let answer = answer.ok()??;
        assert!(answer.path.ends_with("/response"), "the function failed: {}", answer.path);
        if fastrand::u8(..100) == 0 {
            return None;
        }
        let answer: Value = serde_json::from_slice(&answer.body).unwrap();
        let body = serde_json::from_str(answer["body"].as_str()?).ok()?;
        Some((answer["statusCode"].as_u64()?, body))
    }
}
