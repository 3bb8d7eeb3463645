use crate::reading::{by_operators, healthy};
use crate::support::app::{SERVER, TestApp, event, minimal, posting_in_base64, size, text};
use futures_util::future::join_all;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};
use serde_json::{Value, json};
use std::cell::Cell;
use std::sync::LazyLock;
use tables::metric::{METRICS, Metric, Place, Rule};
use tokio::runtime::Runtime;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// Checks a property for this many values, which are the same in each run unless `SEED` names others.
#[allow(clippy::print_stdout)]
fn holds<S: Strategy>(
    cases: u32,
    values: &S,
    property: impl AsyncFn(S::Value) -> Result<(), TestCaseError>,
) {
    let seed = std::env::var("SEED").map_or(5, |seed| seed.parse().expect("a number"));
    println!("SEED={seed}");
    let config = Config {
        cases,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(seed),
        ..Config::default()
    };
    let result = TestRunner::new(config).run(values, |value| RUNTIME.block_on(property(value)));
    if let Err(reason) = result {
        panic!("{reason}");
    }
}

/// Bytes that resemble a heartbeat, and bytes that do not.
fn any_body() -> impl Strategy<Value = Vec<u8>> {
    let noise = prop::collection::vec(any::<u8>(), 0..300);
    let json_like = prop::collection::vec(select(b"{}[]\",:0e-+.\\untrl d".as_slice()), 0..300);
    let patch = prop::collection::vec(prop_oneof![b' '..=b'~', any::<u8>()], 0..4);
    let patched = (any::<Index>(), 0..4_usize, patch).prop_map(|(place, length, patch)| {
        let event = event("every-field");
        let mut body = event["body"].as_str().unwrap().as_bytes().to_vec();
        let start = place.index(body.len());
        let end = (start + length).min(body.len());
        body.splice(start..end, patch);
        body
    });
    prop_oneof![1 => noise, 1 => json_like, 3 => patched]
}

// C4.1 C6: any bytes get an answer of the contract, and nothing of a rejected body is written.
#[test]
fn any_body_gets_an_answer() {
    let app = &RUNTIME.block_on(TestApp::start());
    let accepted = Cell::new(0);
    holds(500, &any_body(), async |body| {
        let before = app.servers().await;
        let answer = app.send(&posting_in_base64(&body)).await;
        prop_assert!([200, 422].contains(&answer.status), "{}", answer.status);
        prop_assert_eq!(app.servers().await == before, answer.status == 422);
        accepted.set(accepted.get() + u32::from(answer.status == 200));
        Ok(())
    });
    assert!((50..450).contains(&accepted.get()), "{} of 500 bodies were accepted", accepted.get());
}

/// Any text of `min` to `max` characters, including control characters, emoji and combining marks.
fn any_text(min: usize, max: usize) -> impl Strategy<Value = String> {
    let awkward = "\0\n\u{7f}\"\\😀\u{301}\u{202e}\u{10ffff}".chars();
    let awkward = select(awkward.collect::<Vec<_>>());
    let letter = prop_oneof![any::<char>(), awkward];
    prop::collection::vec(letter, min..=max).prop_map(|text| text.into_iter().collect())
}

fn any_os_info() -> impl Strategy<Value = Value> {
    let member = |max| prop::option::of(any_text(0, max));
    (member(100), member(100), member(100), member(20)).prop_map(
        |(distribution, version, kernel, architecture)| {
            json!({ "distribution": distribution, "version": version, "kernel": kernel, "architecture": architecture })
        },
    )
}

/// Numbers that DynamoDB stores digit for digit: it keeps 38 digits, and a float has at most 17.
fn any_metrics() -> impl Strategy<Value = Value> {
    let number = |rule| match rule {
        Rule::Percent => (0.0..=100.0).prop_map(|value| json!(value)).boxed(),
        Rule::Amount => {
            let wide = (1.0..10.0, -129..125)
                .prop_map(|(digits, exponent): (f64, i32)| digits * 10_f64.powi(exponent));
            let amounts = prop_oneof![wide, 0.0..1e6];
            amounts.prop_map(|value| json!(value)).boxed()
        }
        Rule::Count => any::<u64>().prop_map(|value| json!(value)).boxed(),
        Rule::Flag => any::<bool>().prop_map(|value| json!(value)).boxed(),
        Rule::Temperature => (-100.0..=200.0).prop_map(|value| json!(value)).boxed(),
    };
    let any_metric =
        select(METRICS.iter().collect::<Vec<_>>()).prop_flat_map(move |metric: &'static Metric| {
            number(metric.rule).prop_map(move |value| (metric.name.to_owned(), value))
        });
    prop::collection::vec(any_metric, 0..12)
        .prop_map(|metrics| Value::Object(metrics.into_iter().collect()))
}

// C5: strings are stored byte for byte if they fit (C5.9), and numbers digit for digit.
#[test]
fn a_valid_heartbeat_is_stored_as_it_was_sent() {
    let heartbeat = (any_text(1, 255), any_os_info(), any_metrics());
    let app = &RUNTIME.block_on(TestApp::start());
    holds(150, &heartbeat, async |(hostname, os_info, metrics)| {
        app.tables.clear().await;
        let mut body = minimal();
        body["hostname"] = hostname.as_str().into();
        body["os_info"] = os_info.clone();
        body["metrics"] = json!({});
        for (name, value) in metrics.as_object().unwrap() {
            match Metric::find(name).unwrap().place {
                Place::Body => body[name] = value.clone(),
                Place::Seed | Place::Metrics => body["metrics"][name] = value.clone(),
            }
        }
        prop_assert_eq!(app.post(&body).await.status, 200);

        let server = app.server().await.unwrap();
        for (sent, name, bytes) in [
            (Some(hostname.as_str()), "hostname", 255),
            (os_info["distribution"].as_str(), "os_distribution", 100),
            (os_info["version"].as_str(), "os_version", 100),
            (os_info["kernel"].as_str(), "kernel_version", 100),
            (os_info["architecture"].as_str(), "architecture", 20),
        ] {
            let stored = server.get(name).map(text);
            if sent.is_none_or(|sent| sent.len() <= bytes) {
                prop_assert_eq!(stored.as_deref(), sent);
            } else {
                let stored = stored.unwrap();
                let (head, tail) = stored.split_once('…').unwrap();
                let sent = sent.unwrap();
                prop_assert!(sent.starts_with(head) && sent.ends_with(tail), "{}", stored);
                prop_assert!((bytes - 6..=bytes).contains(&stored.len()), "{}", stored.len());
            }
        }

        let row = app.rows().await.remove(0);
        let metrics = metrics.as_object().unwrap();
        prop_assert_eq!(row.len(), metrics.len() + 5);
        for (name, sent) in metrics {
            let stored = text(&row[name]);
            if let Some(flag) = sent.as_bool() {
                prop_assert_eq!(stored, u8::from(flag).to_string(), "{}", name);
            } else if sent.is_u64() {
                prop_assert_eq!(stored, sent.to_string(), "{}", name);
            } else {
                prop_assert_eq!(stored.parse::<f64>().ok(), sent.as_f64(), "{}", name);
            }
        }
        Ok(())
    });
}

// C5.9: a server with nothing wrong, with values as agents send them, has an item of at most 1,024 bytes.
#[test]
fn any_server_with_nothing_wrong_fits_into_one_unit() {
    let name = |length| prop::string::string_regex(&format!("[a-z0-9.-]{{1,{length}}}")).unwrap();
    let mount = prop::string::string_regex("/[a-z/-]{0,19}").unwrap();
    let numbers = prop::collection::vec(any::<u32>(), METRICS.len());
    let filesystems = prop::collection::vec((mount, any::<u32>(), 1..u32::MAX), 0..12);
    let services = prop::collection::vec(name(60), 0..30);
    let servers = (name(30), numbers, filesystems, services);
    let app = &RUNTIME.block_on(TestApp::start());
    holds(60, &servers, async |(hostname, numbers, filesystems, services)| {
        app.tables.clear().await;
        app.tables.put_server(SERVER, by_operators()).await;
        let mut body = healthy();
        body["hostname"] = hostname.into();
        for (metric, number) in METRICS.iter().zip(numbers) {
            let value = match metric.rule {
                Rule::Percent => json!(f64::from(number % 1_001) / 10.0),
                Rule::Amount => json!(f64::from(number % 10_000_000) / 100.0),
                Rule::Count if metric.is_counter => json!(u64::from(number) * 1_000),
                Rule::Count => json!(number % 10_000_000),
                Rule::Flag => json!(number % 2 == 1),
                Rule::Temperature => json!(f64::from(number % 3_000) / 10.0 - 100.0),
            };
            match metric.place {
                Place::Body => body[metric.name] = value,
                Place::Seed | Place::Metrics => body["metrics"][metric.name] = value,
            }
        }
        body["filesystems"] = filesystems
            .into_iter()
            .map(|(mount, used, available)| {
                json!({ "mount_point": mount, "used_bytes": used, "available_bytes": available })
            })
            .collect();
        body["services"] =
            services.into_iter().map(|name| json!({ "name": name, "status": "running" })).collect();
        prop_assert_eq!(app.post(&body).await.status, 200);
        let item = app.server().await.unwrap();
        prop_assert_eq!(item.get("duplicate_at"), None);
        let size = size(&item);
        prop_assert!(size <= 1_024, "{} bytes: {:?}", size, item);
        Ok(())
    });
}

/// One invalid field of a complete heartbeat: its path and its value. A required field that is null counts as missing.
fn any_invalid_field() -> impl Strategy<Value = (Vec<&'static str>, Value)> {
    let not_a_value = prop_oneof![Just(json!([])), Just(json!({}))];
    let not_text = prop_oneof![
        not_a_value.clone(),
        Just(json!(true)),
        any::<f64>().prop_map(|number| json!(number))
    ];
    let not_an_object = prop_oneof![Just(json!([])), Just(json!("text")), Just(json!(1))];
    let below = (-1e9..-1e-9).prop_map(|number: f64| json!(number));
    let above = (100.0..1e9).prop_map(|number: f64| json!(number + 0.5));
    let fraction = (0..1_000_000_u32).prop_map(|number| json!(f64::from(number) + 0.5));
    let letters = "[g-z]{1,10}".prop_map(Value::from);
    let at = |section: &'static str, names: &'static [&'static str]| {
        select(names).prop_map(move |name| vec![section, name])
    };
    let metric = |rule| {
        let strict = METRICS.iter().filter(|metric| metric.place == Place::Seed);
        let metrics = strict.filter(|metric| metric.rule == rule);
        let names: Vec<_> = metrics.map(|metric| metric.name).collect();
        select(names).prop_map(|name| vec!["metrics", name])
    };
    const REQUIRED: [&str; 3] = ["server_id", "hostname", "timestamp"];
    let number = prop_oneof![not_a_value.clone(), letters.clone(), below];
    prop_oneof![
        (
            select(&REQUIRED[..]).prop_map(|name| vec![name]),
            prop_oneof![not_a_value.clone(), Just(Value::Null)]
        ),
        (
            Just(vec!["server_id"]),
            prop_oneof![
                "[a-z]{0,9}[A-Z_. ]".prop_map(Value::from),
                Just(json!("")),
                not_text.clone()
            ]
        ),
        (
            Just(vec!["hostname"]),
            prop_oneof![
                any_text(256, 300).prop_map(Value::from),
                Just(json!("")),
                not_text.clone()
            ]
        ),
        (Just(vec!["timestamp"]), prop_oneof![letters.clone(), Just(json!(true))]),
        (select(vec!["os_info", "metrics"]).prop_map(|name| vec![name]), not_an_object),
        (
            at("os_info", &["distribution", "version", "kernel"]),
            prop_oneof![any_text(101, 150).prop_map(Value::from), not_text.clone()]
        ),
        (
            at("os_info", &["architecture"]),
            prop_oneof![any_text(21, 50).prop_map(Value::from), not_text]
        ),
        (metric(Rule::Percent), prop_oneof![number.clone(), above]),
        (metric(Rule::Amount), number.clone()),
        (metric(Rule::Count), prop_oneof![number, fraction]),
    ]
}

// C4.1 C4.2 C4.3
#[test]
fn only_the_invalid_field_is_reported() {
    let app = &RUNTIME.block_on(TestApp::start());
    holds(300, &any_invalid_field(), async |(path, value)| {
        let mut body: Value =
            serde_json::from_str(event("every-field")["body"].as_str().unwrap()).unwrap();
        let field = path.iter().fold(&mut body, |object, name| &mut object[name]);
        *field = value;
        let answer = app.post(&body).await;
        let errors = answer.body["detail"].as_array().unwrap();
        let loc: Vec<_> = ["body"].into_iter().chain(path).collect();
        prop_assert_eq!((answer.status, errors.len()), (422, 1), "{}", answer.body);
        prop_assert_eq!(&errors[0]["loc"], &json!(loc));
        Ok(())
    });
}

// C5.1: the order in which heartbeats arrive, and in which their writes land, does not matter.
#[test]
fn last_seen_is_the_latest_and_never_goes_back() {
    let bursts = prop::collection::vec(1..8_usize, 1..6);
    let app = &RUNTIME.block_on(TestApp::start());
    holds(40, &bursts, async |bursts| {
        app.tables.clear().await;
        let mut last_seen = String::new();
        let mut sent = 0;
        for burst in bursts {
            let bodies = (sent..sent + burst).map(|number| {
                let mut body = minimal();
                body["hostname"] = format!("host-{number}").into();
                body["metrics"] = json!({ "uptime_seconds": number });
                body
            });
            sent += burst;
            let bodies: Vec<_> = bodies.collect();
            let answers = join_all(bodies.iter().map(|body| app.post(body))).await;
            prop_assert!(answers.iter().all(|answer| answer.status == 200));

            let server = app.server().await.unwrap();
            let rows = app.rows().await;
            let latest = rows.iter().max_by_key(|row| text(&row["received_at"])).unwrap();
            prop_assert_eq!(rows.len(), sent);
            prop_assert_eq!(text(&server["last_seen"]), text(&latest["received_at"]));
            prop_assert!(text(&server["last_seen"]) > last_seen);
            last_seen = text(&server["last_seen"]);
        }
        prop_assert_eq!(text(&app.server().await.unwrap()["server_id"]), SERVER);
        Ok(())
    });
}
