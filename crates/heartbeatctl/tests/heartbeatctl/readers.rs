//! One table, one verdict: the digest, the page, the terminal, the JSON and the metrics say the same (C8.12, C10.1).

use crate::support::{Place, text};
use aws_sdk_dynamodb::types::AttributeValue;
use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use chrono::{TimeDelta, Utc};
use dev::tables::Item;
use heartbeat::aws;
use heartbeat::watchdog::{Config, Watchdog};
use page::{Options, Tables};
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const CASES: usize = 100;

/// What is said of a fleet: the sentence, and each server's id and standing.
#[derive(Debug, PartialEq)]
struct Said {
    sentence: String,
    standings: Vec<(String, String)>,
}

/// A time so many seconds ago.
fn ago(seconds: i64) -> AttributeValue {
    text(&dev::tables::stored(Utc::now() - TimeDelta::seconds(seconds)))
}

fn number(value: &str) -> AttributeValue {
    AttributeValue::N(value.to_owned())
}

fn map(members: impl IntoIterator<Item = (&'static str, AttributeValue)>) -> AttributeValue {
    AttributeValue::M(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// The tables of a case. No age is near a threshold, or half of one, so that the time between two readers changes nothing.
struct Generator(fastrand::Rng);

impl Generator {
    fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.0.usize(..choices.len())].clone()
    }

    /// One of these, in one of so many cases.
    fn rarely(&mut self, cases: u32, choices: &[&'static str]) -> Option<&'static str> {
        (self.0.u32(..cases) == 0).then(|| self.pick(choices))
    }

    fn server(&mut self) -> Item {
        let seen = self.pick(&[5, 5, 5, 5, 120, 400, 3_000, 90_000]);
        let mut attributes = vec![("last_seen", ago(seen))];
        let status = self.pick(&["online", "online", "online", "online", "offline", ""]);
        attributes.extend((!status.is_empty()).then(|| ("status", text(status))));
        if status == "offline" || self.0.u32(..6) == 0 {
            let since = ago(seen + 7_000);
            let announced = self.pick(&[Some(text("pending")), Some(since.clone()), None]);
            attributes.extend(announced.map(|announced| ("announced", announced)));
            attributes.push(("offline_since", since));
            let returned = self.pick(&[None, Some(seen + 60), Some(seen + 900)]);
            attributes.extend(returned.map(|at| ("returned_at", ago(at))));
        }
        if self.0.u32(..8) == 0 {
            attributes.push(("silenced_until", ago(self.pick(&[9_000, -9_000]))));
        }
        let threshold = self.rarely(4, &["0", "900", "200000"]);
        attributes.extend(threshold.map(|seconds| ("offline_after", number(seconds))));
        let malformed = self.rarely(12, &["soon"]);
        attributes.extend(malformed.map(|limits| ("limits", text(limits))));
        if self.0.u32(..8) > 0 {
            let received = ago(seen + self.pick(&[0, 0, 0, 300, 900]));
            let disk = self.pick(&["50", "50", "50", "89.96", "95"]);
            let mut reading = vec![("received_at", received), ("disk_percent", number(disk))];
            let service = self.rarely(4, &["failed", "unknown", "stopped"]);
            let services = service.map(|status| map([("cron", text(status))]));
            reading.extend(services.map(|services| ("services", services)));
            attributes.push(("reading", map(reading)));
        }
        if self.0.u32(..4) == 0 {
            let mut entry = vec![("since", ago(seen + 4_000)), ("limit", number("90"))];
            let stage = self.pick(&["pending", "rising", ""]);
            entry.extend((!stage.is_empty()).then(|| (stage, AttributeValue::Bool(true))));
            attributes.push(("problems", map([("disk_percent", map(entry))])));
        }
        if self.0.u32(..3) == 0 {
            let at = Utc::now().timestamp() - self.pick(&[60, 400, 3_000, 9_000]);
            let said_at = vec![number(&at.to_string()); 3];
            let malformed = self.rarely(4, &["soon"]).map(text);
            attributes.push(("said_at", malformed.unwrap_or(AttributeValue::L(said_at))));
        }
        let duplicate = self.0.u32(..10) == 0;
        attributes.extend(duplicate.then(|| ("duplicate_at", ago(seen + 60))));
        attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// The item of a watchdog, and the limits that it applies.
    fn watchdog(&mut self) -> (Option<Item>, &'static str) {
        // A reader counts a gap from 180 s without a sweep, and a sweep from 90 s.
        let swept = self.pick(&[10, 10, 10, 60, 400, 90_000, -9_000]);
        let mut attributes = vec![("swept_at", ago(swept))];
        let mut limits = "disk_percent=90";
        if self.0.u32(..6) > 0 {
            limits = self.pick(&[limits, "disk_percent=90/1h"]);
            attributes.extend([("offline_after", number("180")), ("limits", text(limits))]);
        }
        if self.0.u32(..4) == 0 {
            attributes.push(("mass_silence_at", ago(swept + 60)));
        }
        if self.0.u32(..4) == 0 {
            attributes.extend([("gap_since", ago(1_000)), ("gap_until", ago(100))]);
        }
        let own = attributes.into_iter().map(|(name, value)| (name.to_owned(), value));
        if self.0.u32(..8) > 0 { (Some(own.collect()), limits) } else { (None, "disk_percent=90") }
    }

    /// The item of `notify`.
    fn webhooks(&mut self) -> Item {
        let mut attributes = vec![("format_1", text("slack")), ("format_2", text("ntfy"))];
        if self.0.u32(..4) == 0 {
            let reason = self.pick(&["429, daily quota reached", "no answer"]);
            attributes.extend([("failed_2", ago(90_000)), ("reason_2", text(reason))]);
        }
        attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// The body of a response of the page.
async fn get(address: SocketAddr, path: &str) -> String {
    let mut peer = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    peer.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    peer.read_to_string(&mut response).await.unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{path}: {response}");
    body.to_owned()
}

/// What is between the first `start` and the next `end`.
fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(start).unwrap_or_else(|| panic!("no {start}: {text}"));
    rest.split_once(end).unwrap_or_else(|| panic!("no {end}: {text}")).0
}

/// What every reader says, after they have been compared.
async fn said_by_all(place: &Place, context: &str) -> Said {
    let tables = Tables::new(&place.client, place.servers.clone(), place.metrics.clone());
    // As it is deployed: servers are judged while they are read.
    let options =
        Options { refresh: Duration::from_secs(10), max_body: Some(6_000_000), silence: None };
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let served =
        tokio::spawn(async move { axum::serve(listener, page::router(tables, options)).await });

    let terminal = place.run(&["fleet"]).stdout;
    let mut lines = terminal.lines();
    let sentence = lines.next().unwrap().to_owned();
    let rows = lines.skip(2).take_while(|line| !line.is_empty());
    let standings = rows.map(|row| {
        let mut words = row.split_whitespace().map(str::to_owned);
        (words.next().unwrap(), words.next().unwrap())
    });
    let said = Said { sentence, standings: standings.collect() };

    let page = get(address, "/").await;
    assert_eq!(between(&page, "<title>", " – heartbeat</title>"), said.sentence, "{context}");
    assert_eq!(between(&page, "<h1><span role=\"status\">", "</span>"), said.sentence, "{context}");
    let rows = page.split("<tr").filter(|row| row.contains("rowheader"));
    let shown = rows.map(|row| {
        let standing = between(row, "class=\"status ", "\"");
        (between(row, "href=\"servers/", "\"").to_owned(), standing.to_owned())
    });
    assert_eq!(shown.collect::<Vec<_>>(), said.standings, "{context}");

    let servers: Vec<Value> = serde_json::from_str(&get(address, "/api/servers").await).unwrap();
    let field = |server: &Value, name: &str| server[name].as_str().unwrap().to_owned();
    let listed =
        servers.iter().map(|server| (field(server, "server_id"), field(server, "standing")));
    assert_eq!(listed.collect::<Vec<_>>(), said.standings, "{context}");

    let metrics = get(address, "/metrics").await;
    let samples = metrics.lines().filter(|line| line.starts_with("heartbeat_server_standing{"));
    let measured = samples.map(|sample| {
        assert!(sample.ends_with("} 1.0") || sample.ends_with("} 1"), "{sample}");
        let label = |name: &str| between(sample, &format!("{name}=\""), "\"").to_owned();
        (label("server_id"), label("standing"))
    });
    assert_eq!(measured.collect::<Vec<_>>(), said.standings, "{context}");
    // A value that is not the present is in no metric.
    for server in &servers {
        let is_fresh = server["reading"]["is_fresh"] == true;
        let sample = format!("heartbeat_disk_usage_ratio{{server_id={}}}", server["server_id"]);
        assert_eq!(metrics.contains(&sample), is_fresh, "{context}: {server}");
    }
    served.abort();
    said
}

/// The sentence of the digest that a sweep with these limits sends now.
async fn digest(place: &Place, limits: &str) -> String {
    let published = Arc::<Mutex<Vec<String>>>::default();
    let publish = async |State(published): State<Arc<Mutex<Vec<String>>>>, body: String| {
        published.lock().unwrap().push(body);
        "<PublishResponse><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>"
            .into_response()
    };
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let sns = format!("http://{}", listener.local_addr().unwrap());
    let topic = Router::new().fallback(publish).with_state(published.clone());
    let served = tokio::spawn(async { axum::serve(listener, topic).await });

    let now = Utc::now();
    let digest_at = format!("{}/always", (now - TimeDelta::hours(1)).format("%H:%M"));
    let own = [
        ("ALERT_TOPIC_ARN", "arn:aws:sns:us-east-1:123456789012:alerts"),
        ("AWS_ENDPOINT_URL_SNS", &sns),
        ("DIGEST_AT", &digest_at),
        ("LIMITS", limits),
    ];
    let settings = place.settings().into_iter().filter(|(name, _)| *name != "METRICS_TABLE");
    let own = own.map(|(name, value)| (name, value.to_owned()));
    let settings: HashMap<_, _> = settings.chain(own).collect();
    let config = Config::from_variables(|name| settings.get(name).cloned()).unwrap();
    let client = aws::dynamodb(&config.aws).unwrap();
    let sns = aws::sns(&config.aws, config.sns_endpoint_url.as_deref()).unwrap();
    // What it has set for long, not just now.
    let known = client.update_item().table_name(&config.servers_table);
    let known = known
        .key("server_id", text("#watchdog"))
        .update_expression("SET digest_times = :times REMOVE digest_at")
        .expression_attribute_values(":times", text(&digest_at));
    known.send().await.unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(100);
    let watchdog = Watchdog::new(config, client, sns).unwrap();
    watchdog.sweep(now, deadline, "request-1").await.unwrap();
    served.abort();

    let published = published.lock().unwrap().clone();
    let messages = published.iter().map(|body| {
        let mut parameters = form_urlencoded::parse(body.as_bytes());
        let (_, message) = parameters.find(|(name, _)| name == "Message").unwrap();
        let message: Value = serde_json::from_str(&message).unwrap();
        serde_json::from_str::<Value>(message["default"].as_str().unwrap()).unwrap()
    });
    let digest = messages.into_iter().find(|message| message["digest"] == true).unwrap();
    digest["fleet"]["summary"].as_str().unwrap().to_owned()
}

// C8.12 C10.1 C13.7
#[tokio::test]
async fn a_hundred_tables_are_the_same_to_every_reader() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| fastrand::u64(..));
    eprintln!("SEED={seed}");
    let mut generator = Generator(fastrand::Rng::with_seed(seed));
    let place = Place::new().await;
    let mut seen = BTreeSet::new();
    for case in 0..CASES {
        let context = format!("SEED={seed}, case {case}");
        place.clear().await;
        for number in 0..generator.0.u32(..9) {
            let server = generator.server();
            place.put_server(&format!("web-{}", number * 3), server).await;
        }
        let (own, limits) = generator.watchdog();
        if let Some(own) = own {
            place.put_server("#watchdog", own).await;
        }
        let webhooks = generator.webhooks();
        let is_heard = !webhooks.contains_key("failed_2");
        place.put_server("#notify", webhooks).await;
        let said = said_by_all(&place, &context).await;
        // Its sweep is just made, so nothing else makes the digest doubtful.
        let servers = said.standings.len();
        let unheard = said.sentence.find("Nothing has reached ntfy since ");
        assert_eq!(unheard.is_none(), is_heard, "{context}: {said:?}");
        let expected = match said.sentence.rsplit(". ").next().unwrap() {
            _ if !is_heard => said.sentence[unheard.unwrap()..].to_owned(),
            "1 of 1 are well" => "The only server is well".to_owned(),
            undoubted if undoubted == format!("{servers} of {servers} are well") => {
                format!("All {servers} servers are well")
            }
            undoubted => undoubted.to_owned(),
        };
        assert_eq!(digest(&place, limits).await, expected, "{context}: {said:?}");
        let swept = said_by_all(&place, &context).await;
        let doubts = swept.sentence.matches(". ").count();
        assert_eq!(doubts, usize::from(!is_heard), "{context}: no other doubt is left: {swept:?}");
        seen.extend(said.standings.into_iter().map(|(_, standing)| standing));
    }
    assert_eq!(seen.len(), 7, "every standing has been seen: {seen:?}");
}
