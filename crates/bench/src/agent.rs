//! The agent beside a minimal one in Python: what each takes from the machine that it runs on.

use anyhow::{Context, Result};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::time::sleep;

/// The number of heartbeats that the CPU time is averaged over, after the first one.
const HEARTBEATS: usize = 20;

/// Prints a table: resident memory and CPU time per heartbeat, and the size of the binary.
pub async fn measure(root: &Path) -> Result<()> {
    let received = Arc::new(AtomicUsize::new(0));
    let url = serve(received.clone()).await?;
    let program = root.join("target/agent/heartbeat-agent");
    let mut agent = Command::new(&program);
    agent.args(["--interval", "1", "--url", &url]).env("HEARTBEAT_API_KEY", "key");
    let mut python = Command::new(root.join("target/bench-tools/bin/python"));
    python.arg(root.join("crates/bench/agent.py")).args([&url, "1"]);
    let (memory, cpu) = sample(agent, &received).await?;
    let (python_memory, python_cpu) = sample(python, &received).await?;
    let binary = fs::metadata(&program)?.len() as f64 / 1e6;
    println!("\n| agent | binary, MB | resident memory, MB | CPU per heartbeat, ms |");
    println!("| --- | ---: | ---: | ---: |");
    println!("| heartbeat-agent | {binary:.2} | {memory:.1} | {cpu:.2} |");
    println!("| Python | | {python_memory:.1} | {python_cpu:.2} |");
    println!("| ratio | | {:.2} | {:.2} |", memory / python_memory, cpu / python_cpu);
    Ok(())
}

/// Resident memory, MB, and CPU time per heartbeat, ms.
async fn sample(mut command: Command, received: &AtomicUsize) -> Result<(f64, f64)> {
    let mut child = command.kill_on_drop(true).spawn()?;
    let id = child.id().context("it has ended")?;
    let until = async |count: usize| {
        while received.load(Ordering::SeqCst) < count {
            sleep(Duration::from_millis(20)).await;
        }
        sleep(Duration::from_millis(300)).await;
    };
    received.store(0, Ordering::SeqCst);
    until(1).await;
    let before = cpu_ticks(id)?;
    until(1 + HEARTBEATS).await;
    let ticks = cpu_ticks(id)? - before;
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: f64 = line.context("no VmRSS")?.trim().trim_end_matches(" kB").parse()?;
    child.kill().await?;
    // A tick of the kernel's accounting is 10 ms.
    Ok((kib * 1024.0 / 1e6, ticks as f64 * 10.0 / HEARTBEATS as f64))
}

/// The CPU time that a process has used, in ticks.
fn cpu_ticks(id: u32) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("no fields")?;
    let fields: Vec<_> = fields.split_whitespace().collect();
    Ok(fields[11].parse::<u64>()? + fields[12].parse::<u64>()?)
}

/// An endpoint that counts what it accepts.
async fn serve(received: Arc<AtomicUsize>) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/api/v1/agents/heartbeat", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let received = received.clone();
            let service = service_fn(move |_: Request<Incoming>| {
                received.fetch_add(1, Ordering::SeqCst);
                async {
                    Ok::<_, hyper::Error>(Response::new(Full::new(Bytes::from(
                        r#"{"status":"ok"}"#,
                    ))))
                }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(tcp), service));
        }
    });
    Ok(url)
}
