//! The watchdog beside the fleet. It has no topic, so it logs what it would announce.

use crate::agent::{self, Habit};
use crate::lambda::Lambda;
use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::Value;
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// After this time with heartbeats, a return has lasted.
pub const BACK_AFTER: Duration = Duration::from_secs(1);

pub async fn start(mut settings: HashMap<&'static str, String>) -> Lambda {
    settings.insert("OFFLINE_AFTER_SECONDS", "15".to_owned());
    settings.insert("BACK_AFTER_SECONDS", BACK_AFTER.as_secs().to_string());
    Lambda::start(env!("CARGO_BIN_EXE_watchdog"), 1, &settings).await
}

/// Sweeps every two seconds. A sweep may fail, because the watchdog meets the same faults as the function.
pub async fn sweep_until(watchdog: &Lambda, end: Instant) {
    while Instant::now() < end {
        watchdog.invoke("{}").await;
        sleep(Duration::from_secs(2)).await;
    }
}

/// Compares the announcements with what the agents did and with what the table holds, and prints the result. Returns
/// whether none is missing and the last one about each server is true.
pub fn report(log: &str, agents: usize, servers: &[HashMap<String, AttributeValue>]) -> bool {
    let mut announced: HashMap<String, Vec<&str>> = HashMap::new();
    let mut messages = 0;
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let Some(announcement) = line["announcement"].as_str() else {
            continue;
        };
        messages += 1;
        let announcement: Value = serde_json::from_str(announcement).unwrap();
        for list in ["back", "offline"] {
            for server in announcement[list].as_array().unwrap() {
                let server = server["server_id"].as_str().unwrap().to_owned();
                announced.entry(server).or_default().push(list);
            }
        }
    }
    let announced_about = |server: &str| announced.get(server).map_or(&[][..], Vec::as_slice);
    let is_offline =
        |server: &HashMap<String, AttributeValue>| server["status"].as_s().unwrap() == "offline";
    let untrue = servers
        .iter()
        .filter(|server| {
            let last = announced_about(server["server_id"].as_s().unwrap()).last();
            is_offline(server) != (last == Some(&"offline"))
        })
        .count();
    let missed = (0..agents)
        .filter(|number| match Habit::of(*number) {
            Habit::Steady => false,
            Habit::Returns => {
                !announced_about(&agent::name(*number)).ends_with(&["offline", "back"])
            }
            Habit::Leaves => !announced_about(&agent::name(*number)).ends_with(&["offline"]),
        })
        .count();
    println!(
        "{messages} announcements about {} servers, {missed} missed, {untrue} untrue; {} servers offline",
        announced.len(),
        servers.iter().filter(|server| is_offline(server)).count(),
    );
    (missed, untrue) == (0, 0)
}
