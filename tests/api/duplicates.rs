use crate::support::app::{Item, SERVER, TestApp, minimal, posting, text, with_header};
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, TimeDelta, Utc};
use dev::dynamodb::URL;
use dev::proxy::{Call, Fault, Proxy};
use dev::tables::stored;
use serde_json::{Value, json};

/// Who sends: host name, `server_guid` and `boot_id`.
type Sender = (&'static str, Option<&'static str>, Option<&'static str>);

const ONE: Sender = ("pi", Some("machine-1"), Some("boot-1"));
const OTHER: Sender = ("pi", Some("machine-2"), Some("boot-2"));
const THIRD: Sender = ("pi", Some("machine-3"), Some("boot-3"));

fn heartbeat((hostname, server_guid, boot_id): Sender) -> Value {
    let mut body = minimal();
    body["hostname"] = hostname.into();
    for (name, value) in [("server_guid", server_guid), ("boot_id", boot_id)] {
        if let Some(value) = value {
            body[name] = value.into();
        }
    }
    body
}

/// Sends these heartbeats, one after the other. Returns after which of them a return was noted that was not noted before.
async fn noted(app: &TestApp, senders: &[Sender]) -> Vec<usize> {
    let mut noted = Vec::new();
    for (number, sender) in senders.iter().enumerate() {
        assert_eq!(app.post(&heartbeat(*sender)).await.status, 200);
        if take_note(app).await.is_some() {
            noted.push(number);
        }
    }
    noted
}

/// The note of the server, which is removed.
async fn take_note(app: &TestApp) -> Option<String> {
    let update = app.tables.client.update_item();
    let before = update
        .table_name(&app.tables.servers)
        .key("server_id", AttributeValue::S(SERVER.into()))
        .update_expression("REMOVE duplicate_at")
        .return_values(aws_sdk_dynamodb::types::ReturnValue::AllOld)
        .send()
        .await
        .unwrap();
    before.attributes?.get("duplicate_at").map(text)
}

async fn marks(app: &TestApp) -> [Option<String>; 3] {
    let server = app.server().await.unwrap();
    ["m1", "m2", "m3"].map(|name| server.get(name).map(text))
}

/// An app behind a proxy that is told to spoil calls.
async fn start_behind(proxy: &Proxy, settings: &[(&'static str, &str)]) -> TestApp {
    let url = ("AWS_ENDPOINT_URL_DYNAMODB", proxy.url.as_str());
    TestApp::start_with(&[&[url], settings].concat()).await
}

/// Spoils the second update, which is the note.
fn spoil_note(proxy: &Proxy, fault: Fault) {
    let mut updates = 0;
    proxy.rule(move |call| {
        updates += usize::from(call == Call::Server);
        (call == Call::Server && updates > 1).then_some(fault)
    });
}

fn updates(proxy: &Proxy) -> usize {
    let requests = proxy.take_requests();
    let updates = requests.iter().filter(|(name, _)| name == "UpdateItem");
    updates.count()
}

// C5.13: computed here as the clause says it.
#[tokio::test]
async fn a_fingerprint_is_a_hash_of_host_name_guid_and_boot() {
    let app = TestApp::start().await;
    let mut sent = Vec::new();
    for sender in [
        ONE,
        ("pi", Some("machine-1"), None),
        ("pi", None, Some("boot-1")),
        ("pé", None, None),
        ("pi", Some(""), Some("")),
    ] {
        let (hostname, guid, boot) = sender;
        let mut bytes = Vec::new();
        for part in [hostname, guid.unwrap_or(""), boot.unwrap_or("")] {
            bytes.extend(u32::try_from(part.len()).unwrap().to_be_bytes());
            bytes.extend(part.as_bytes());
        }
        let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
        sent.insert(0, hex::encode(digest)[..8].to_owned());
        assert_eq!(app.post(&heartbeat(sender)).await.status, 200);
        let first = || sent.last().unwrap();
        let expected = [0, 1, 2].map(|age| Some(sent.get(age).unwrap_or_else(first).clone()));
        assert_eq!(marks(&app).await, expected);
    }
    assert_eq!(app.server().await.unwrap().get("duplicate_at"), None);
}

// C5.13: what is too long or of another type counts as absent.
#[tokio::test]
async fn an_id_without_its_form_is_no_part_of_the_fingerprint() {
    let app = TestApp::start().await;
    app.post(&heartbeat(("pi", None, None))).await;
    let [plain, ..] = marks(&app).await;
    for wrong in [json!("x".repeat(65)), json!(7), json!(["a"]), Value::Null] {
        let mut body = heartbeat(("pi", None, None));
        body["server_guid"] = wrong.clone();
        body["boot_id"] = wrong.clone();
        assert_eq!(app.post(&body).await.status, 200);
        assert_eq!(marks(&app).await[0], plain, "{wrong}");
    }
    let mut body = heartbeat(("pi", None, None));
    body["server_guid"] = "é".repeat(64).into();
    app.post(&body).await;
    assert_ne!(marks(&app).await[0], plain);
}

// C5.13
#[tokio::test]
async fn two_and_three_senders_of_one_name_are_noted() {
    let app = TestApp::start().await;
    let alternating = [ONE, OTHER, ONE, OTHER, ONE];
    assert_eq!(noted(&app, &alternating).await, [2, 3, 4]);
    app.tables.clear().await;
    let three = [ONE, OTHER, THIRD, ONE, OTHER, THIRD];
    assert_eq!(noted(&app, &three).await, [3, 4, 5]);
    app.tables.clear().await;
    let hasty = [ONE, OTHER, ONE, ONE, OTHER];
    assert_eq!(noted(&app, &hasty).await, [2, 4]);
    app.tables.clear().await;
    // One sends every minute, the other every half hour: each of the latter's heartbeats makes the former return.
    let rare = [ONE, ONE, ONE, OTHER, ONE, ONE, ONE, ONE, OTHER, ONE];
    assert_eq!(noted(&app, &rare).await, [4, 9]);
    app.tables.clear().await;
    // Agents without ids are told apart by their host names.
    let [a, b] = [("pi-1", None, None), ("pi-2", None, None)];
    assert_eq!(noted(&app, &[a, b, a, b]).await, [2, 3]);
}

// C5.13
#[tokio::test]
async fn what_happens_to_one_machine_is_no_return() {
    const REBOOTED: Sender = ("pi", Some("machine-1"), Some("boot-2"));
    const REINSTALLED: Sender = ("pi", Some("machine-9"), Some("boot-9"));
    const RENAMED: Sender = ("raspberry", Some("machine-1"), Some("boot-1"));
    const OF_OLD: Sender = ("pi", None, None);
    const UPGRADED: Sender = ONE;
    let app = TestApp::start().await;
    for (what, senders) in [
        ("reboots", vec![ONE, REBOOTED, REBOOTED, OTHER, OTHER]),
        ("a reinstallation", vec![ONE, ONE, REINSTALLED, REINSTALLED]),
        ("a new host name", vec![ONE, ONE, RENAMED, RENAMED]),
        (
            "an agent that is rolled back after three heartbeats",
            vec![OF_OLD, OF_OLD, UPGRADED, UPGRADED, UPGRADED, OF_OLD, OF_OLD],
        ),
        (
            "a machine that boots another system and back",
            vec![ONE, ONE, ONE, OTHER, OTHER, OTHER, THIRD, THIRD, THIRD],
        ),
        (
            "systems without a boot id, back after three heartbeats",
            vec![OF_OLD, OF_OLD, RENAMED, RENAMED, RENAMED, OF_OLD, OF_OLD],
        ),
        ("agents without the ids", vec![OF_OLD; 5]),
    ] {
        app.tables.clear().await;
        assert_eq!(noted(&app, &senders).await, [0; 0], "{what}");
    }
}

// C5.13: the watchdog wants the note renewed, because of this one.
#[tokio::test]
async fn a_late_heartbeat_of_the_boot_before_is_a_return_once() {
    let app = TestApp::start().await;
    const REBOOTED: Sender = ("pi", Some("machine-1"), Some("boot-2"));
    let senders = [ONE, ONE, REBOOTED, ONE, REBOOTED, REBOOTED, REBOOTED];
    let mut notes = Vec::new();
    for sender in senders {
        app.post(&heartbeat(sender)).await;
        notes.push(app.server().await.unwrap().get("duplicate_at").map(text));
    }
    assert_eq!(notes[..3], [None, None, None]);
    assert!(notes[3].is_some());
    assert_eq!(notes[3..], vec![notes[3].clone(); 4], "not renewed");
}

// C5.13: what nobody can tell apart.
#[tokio::test]
async fn senders_that_look_the_same_are_not_noted() {
    let app = TestApp::start().await;
    // Two machines with the same host name, whose agents send no ids.
    let same = ("raspberrypi", None, None);
    assert_eq!(noted(&app, &[same, same, same, same]).await, [0; 0]);
    app.tables.clear().await;
    // Clones in containers of one host: they share its boot, and the machine id of their image.
    let clone = ("app", Some("image"), Some("boot-of-the-host"));
    assert_eq!(noted(&app, &[clone, clone, clone, clone]).await, [0; 0]);
}

// C5.13: a retry is a heartbeat of the last sender.
#[tokio::test]
async fn a_retry_and_a_lost_response_are_no_return() {
    let proxy = Proxy::start(&URL);
    let app = start_behind(&proxy, &[("ATTEMPT_TIMEOUT_MS", "2000")]).await;
    let retried = with_header(posting(heartbeat(ONE).to_string()), "idempotency-key", "one");
    for _ in 0..3 {
        assert_eq!(app.send(&retried).await.status, 200);
    }
    assert_eq!(noted(&app, &[OTHER, OTHER]).await, [0; 0]);
    // The write succeeds, and its response does not arrive: the SDK sends it again.
    let mut is_first = true;
    proxy.rule(move |call| {
        let is_lost = call == Call::Server && std::mem::take(&mut is_first);
        is_lost.then_some(Fault::LoseAnswer)
    });
    assert_eq!(noted(&app, &[OTHER, THIRD, THIRD]).await, [0; 0]);
}

// C5.13: a crash before the extra update, or a response of the first one that is lost, loses one note. The next return
// is noted.
#[tokio::test]
async fn a_lost_note_is_made_up_for_by_the_next_return() {
    let proxy = Proxy::start(&URL);
    let app = start_behind(&proxy, &[]).await;
    assert_eq!(noted(&app, &[ONE, OTHER]).await, [0; 0]);
    spoil_note(&proxy, Fault::Reject(400, "AccessDeniedException"));
    app.log.take();
    let answer = app.post(&heartbeat(ONE)).await;
    assert_eq!((answer.status, &answer.body["server_registered"]), (200, &json!(false)));
    let log = app.log.take();
    let warning = log.iter().find(|line| line["level"] == "WARN").unwrap();
    assert_eq!(warning["message"], "returned sender not noted");
    assert_eq!(warning["server_id"], SERVER);
    let reason = warning["reason"].as_str().unwrap();
    assert!(reason.contains("AccessDeniedException"), "{reason}");
    proxy.heal();
    assert_eq!(take_note(&app).await, None);
    assert_eq!(noted(&app, &[OTHER]).await, [0]);
}

// C5.13 C6.4: the extra update has what the operation timeout leaves.
#[tokio::test]
async fn a_note_that_is_not_taken_in_time_delays_nothing_for_long() {
    let proxy = Proxy::start(&URL);
    let settings = [("ATTEMPT_TIMEOUT_MS", "2000"), ("OPERATION_TIMEOUT_MS", "3000")];
    let app = start_behind(&proxy, &settings).await;
    assert_eq!(noted(&app, &[ONE, OTHER]).await, [0; 0]);
    spoil_note(&proxy, Fault::NoResponse);
    let started = std::time::Instant::now();
    assert_eq!(app.post(&heartbeat(ONE)).await.status, 200);
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
}

// C5.9 C5.13: two calls for a heartbeat, three if there is something to note, and not again for five minutes.
#[tokio::test]
async fn a_note_is_renewed_after_five_minutes() {
    let proxy = Proxy::start(&URL);
    let app = start_behind(&proxy, &[]).await;
    let calls = async |sender| {
        updates(&proxy);
        assert_eq!(app.post(&heartbeat(sender)).await.status, 200);
        updates(&proxy)
    };
    assert_eq!(calls(ONE).await, 1);
    assert_eq!(calls(OTHER).await, 1);
    assert_eq!(calls(ONE).await, 2);
    let note = text(&app.server().await.unwrap()["duplicate_at"]);
    let age = Utc::now() - note.parse::<DateTime<Utc>>().unwrap();
    assert!(age.abs() < TimeDelta::minutes(1), "{note}");
    assert_eq!(stored(note.parse().unwrap()), note);
    assert_eq!(calls(OTHER).await, 1, "it is noted");
    let mut senders = [ONE, OTHER].into_iter().cycle();
    for (noted_at, is_renewed) in [
        (AttributeValue::S(ago(290)), false),
        (AttributeValue::S(ago(-290)), false),
        (AttributeValue::S(ago(301)), true),
        (AttributeValue::S(ago(-360)), true),
        (AttributeValue::S("yesterday".into()), true),
        (AttributeValue::N("1".into()), true),
    ] {
        let mut server = app.server().await.unwrap();
        server.insert("duplicate_at".into(), noted_at.clone());
        app.tables.put(&app.tables.servers, server).await;
        assert_eq!(
            calls(senders.next().unwrap()).await,
            1 + usize::from(is_renewed),
            "{noted_at:?}"
        );
        let note = &app.server().await.unwrap()["duplicate_at"];
        assert_eq!(*note != noted_at, is_renewed, "{noted_at:?}");
    }
}

fn ago(seconds: i64) -> String {
    stored(Utc::now() - TimeDelta::seconds(seconds))
}

// C5.1 C5.11 C5.13
#[tokio::test]
async fn a_stale_heartbeat_and_a_backlog_note_nothing() {
    let app = TestApp::start().await;
    assert_eq!(noted(&app, &[ONE, OTHER]).await, [0; 0]);
    let mut backlog = heartbeat(ONE);
    backlog["backlog"] = true.into();
    backlog["metrics"] = json!({ "load_1m": 1 });
    let before = app.server().await;
    assert_eq!(app.post(&backlog).await.status, 200);
    assert_eq!(app.server().await, before);

    let mut newer: Item = before.unwrap();
    let later = AttributeValue::S("9000-01-01T00:00:00.000000Z".into());
    newer.insert("last_seen".into(), later);
    app.tables.put(&app.tables.servers, newer.clone()).await;
    assert_eq!(app.post(&heartbeat(ONE)).await.status, 200);
    assert_eq!(app.server().await, Some(newer));
}

// C5.13: whoever is forgotten before the note does not come back because of it.
#[tokio::test]
async fn a_forgotten_server_is_not_noted() {
    let proxy = Proxy::start(&URL);
    let app = start_behind(&proxy, &[]).await;
    assert_eq!(noted(&app, &[ONE, OTHER]).await, [0; 0]);
    spoil_note(&proxy, Fault::Reject(400, "ConditionalCheckFailedException"));
    app.log.take();
    assert_eq!(app.post(&heartbeat(ONE)).await.status, 200);
    assert!(app.log.take().iter().all(|line| line["level"] != "WARN"));
    assert_eq!(take_note(&app).await, None);
}

/// Which of many heartbeats a plain model of the clause says are returns.
fn returns(senders: &[Sender]) -> Vec<usize> {
    let is_return = |number: &usize| {
        let before = |ago: usize| number.checked_sub(ago).map(|index| senders[index]);
        let this = Some(senders[*number]);
        before(1).is_some() && before(1) != this && (before(2) == this || before(3) == this)
    };
    (0..senders.len()).filter(is_return).collect()
}

// C5.13: the expression of the update against the model, and its marks against the last three senders.
#[tokio::test]
async fn any_sequence_of_senders_is_noted_as_the_model_says() {
    let app = TestApp::start().await;
    let mut random = fastrand::Rng::with_seed(5);
    for _ in 0..8 {
        app.tables.clear().await;
        let senders: Vec<_> = (0..20).map(|_| [ONE, OTHER, THIRD][random.usize(..3)]).collect();
        assert_eq!(noted(&app, &senders).await, returns(&senders), "{senders:?}");
    }
}
