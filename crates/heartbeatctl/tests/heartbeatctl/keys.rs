//! `heartbeatctl keys`

use crate::support::{Place, Run, closed_pipe, run, run_with_input, text};
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::Utc;
use dev::dynamodb;
use dev::proxy::{Call, Fault, Proxy};
use ring::digest::{SHA256, digest};
use serde_json::json;
use std::process::Stdio;

fn digest_of(key: &str) -> String {
    hex::encode(digest(&SHA256, key.as_bytes()))
}

/// Stores a key whose digest begins with `digest`.
async fn put(
    place: &Place,
    digest: &str,
    server: Option<&str>,
    label: Option<&str>,
    expires_at: Option<i64>,
) {
    let mut attributes = vec![("key_sha256", text(&format!("{digest:0<64}")))];
    attributes.extend(server.map(|server| ("server_id", text(server))));
    attributes.extend(label.map(|label| ("label", text(label))));
    attributes.extend(expires_at.map(|at| ("expires_at", AttributeValue::N(at.to_string()))));
    place.put(&place.keys, attributes).await;
}

async fn digests(place: &Place) -> Vec<String> {
    let items = place.items(&place.keys).await;
    let mut digests: Vec<_> = items
        .iter()
        .map(|item| item["key_sha256"].as_s().unwrap().trim_end_matches('0').to_owned())
        .collect();
    digests.sort_unstable();
    digests
}

#[tokio::test]
async fn a_new_key_is_printed_once_and_only_its_digest_is_stored() {
    let place = Place::new().await;
    let run = place.run(&["keys", "add", "web-1", "--label", "first"]);
    assert_eq!(run.code, 0, "{run:?}");
    let key = run.stdout.strip_suffix('\n').unwrap();
    let secret = key.strip_prefix("hb_").unwrap();
    assert_eq!(secret.len(), 43);
    assert!(secret.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
    let [item] = &place.items(&place.keys).await[..] else { panic!("one key") };
    assert_eq!(item["key_sha256"], text(&digest_of(key)));
    assert_eq!((&item["server_id"], &item["label"]), (&text("web-1"), &text("first")));
    let created = item["created_at"].as_s().unwrap();
    assert!(created.ends_with('Z') && created.len() == 27, "{created}");
    assert_eq!(item.len(), 4, "{item:?}");
    assert!(!format!("{item:?}").contains(secret));
}

#[tokio::test]
async fn a_shared_key_has_no_server_and_a_key_may_expire() {
    let place = Place::new().await;
    let made = place.run(&["keys", "add", "--shared", "--expires", "90d", "--json"]).json();
    let item = &place.items(&place.keys).await[0];
    assert!(!item.contains_key("server_id"));
    let expires_at: i64 = item["expires_at"].as_n().unwrap().parse().unwrap();
    let left = expires_at - Utc::now().timestamp();
    assert!((90 * 86_400 - 60..=90 * 86_400).contains(&left), "{left}");
    assert_eq!(made["expires_at"], expires_at);
    assert_eq!(made["server_id"], json!(null));
    assert_eq!(digest_of(made["key"].as_str().unwrap()), made["key_sha256"]);
    for wrong in [
        &["keys", "add"][..],
        &["keys", "add", "web-1", "--shared"],
        &["keys", "add", "Web 1"],
        &["keys", "add", "web-1", "--expires", "soon"],
    ] {
        assert_eq!(place.run(wrong).code, 2, "{wrong:?}");
    }
    assert_eq!(place.items(&place.keys).await.len(), 1);
}

// C2.7
#[tokio::test]
async fn a_key_for_a_prefix_has_a_group_and_takes_nobody_over() {
    let place = Place::new().await;
    let add = |arguments: &[&str]| place.run(&[&["keys", "add"], arguments].concat());
    let web = ["--group", "web", "--prefix", "web-"];
    place.put_server("web-1", [("group", text("web"))]).await;
    place.put_server("webcam", [("group", text("cams"))]).await;
    let made = add(&[&web[..], &["--json"]].concat()).json();
    assert_eq!((&made["server_id"], &made["group"]), (&json!("web-*"), &json!("web")));
    let [item] = &place.items(&place.keys).await[..] else { panic!("one key") };
    assert_eq!((&item["server_id"], &item["group"]), (&text("web-*"), &text("web")));

    put(&place, "a1", Some("db-1"), None, None).await;
    place.put_server("mq-1", [("group", text("other"))]).await;
    place.put_server("mx-1", [("group", text("other"))]).await;
    place.put_server("nas-1", [("group", text("none"))]).await;
    for (arguments, reason) in [
        (&web[..], "there is a key"),
        (&["--prefix", "db-"], "(db-1)"),
        (&["--prefix", "mq-"], "mq-1 is a known server"),
        (&["--group", "mx", "--prefix", "mx-"], "mx-1 is a known server outside of the group mx"),
        (&["--group", "nas", "--prefix", "nas-"], "nas-1 is a known server outside of"),
    ] {
        let run = add(arguments);
        assert_eq!(run.code, 1, "{arguments:?}: {run:?}");
        assert!(run.stderr.contains(reason), "{arguments:?}: {run:?}");
        assert_eq!(add(&[arguments, &["--force"]].concat()).code, 0, "{arguments:?}");
    }
    assert_eq!(add(&["--group", "other", "--prefix", "m-"]).code, 0, "nobody begins so");
    for wrong in ["web", "w", "-", "Web-", "web-*", &format!("{}-", "x".repeat(60))] {
        assert_eq!(add(&["--prefix", wrong]).code, 2, "{wrong}");
    }
    for wrong in ["none", "Web", "", &"x".repeat(17)] {
        assert_eq!(add(&["web-2", "--group", wrong]).code, 2, "{wrong}");
    }
    assert_eq!(add(&["web-2", "--prefix", "web-"]).code, 2);

    let listed = place.run(&["keys", "list"]).stdout;
    assert!(
        listed.lines().any(|line| line.starts_with("web-*  ") && line.ends_with("  web")),
        "{listed}"
    );
    let rotated = place.run(&["keys", "rotate", "web-*", "--json"]).json();
    assert_eq!((&rotated["server_id"], &rotated["group"]), (&json!("web-*"), &json!("web")));
    assert_eq!(place.run(&["keys", "revoke", "web-*", "--yes"]).code, 0);
    let left = place.run(&["keys", "list", "--json"]).json();
    let is_web = |key: &serde_json::Value| key["server_id"] == "web-*";
    assert!(!left.as_array().unwrap().iter().any(is_web), "{left}");
}

#[tokio::test]
async fn keys_are_listed_without_the_key() {
    let place = Place::new().await;
    let key = place.run(&["keys", "add", "web-1", "--label", "a\u{1b}\u{202e}b"]).stdout;
    put(&place, "abcdef0123456789", None, None, Some(Utc::now().timestamp() - 600)).await;
    let run = place.run(&["keys", "list"]);
    let lines: Vec<_> = run.stdout.lines().collect();
    assert!(lines[0].starts_with("SERVER"), "{run:?}");
    assert!(lines[1].starts_with("every server") && lines[1].contains("10 min ago"), "{run:?}");
    assert!(lines[1].contains("abcdef012345") && !lines[1].contains("abcdef0123456"), "{run:?}");
    assert!(
        lines[2].contains("web-1")
            && lines[2].contains("a\u{fffd}\u{fffd}b")
            && lines[2].contains("never"),
        "{run:?}"
    );
    let json = place.run(&["keys", "list", "--json"]).json();
    assert_eq!(json.as_array().unwrap().len(), 2);
    assert_eq!(json[0].get("malformed"), None);
    assert_eq!(json[1]["server_id"], "web-1");
    for output in [run.stdout, json.to_string()] {
        assert!(!output.contains(key.trim()), "{output}");
    }
}

#[tokio::test]
async fn keys_are_revoked_by_server_label_or_digest() {
    let place = Place::new().await;
    put(&place, "a1", Some("web-1"), Some("one"), None).await;
    put(&place, "a2", Some("web-1"), Some("two"), None).await;
    put(&place, "b1", Some("web-2"), Some("two"), None).await;
    put(&place, "c1", None, None, None).await;
    for (arguments, code, left) in [
        (&["--digest", "a", "--yes"][..], 1, &["a1", "a2", "b1", "c1"][..]),
        (&["--label", "two", "--yes"], 1, &["a1", "a2", "b1", "c1"]),
        (&["web-3", "--yes"], 1, &["a1", "a2", "b1", "c1"]),
        (&["web-1"], 1, &["a1", "a2", "b1", "c1"]),
        (&[], 2, &["a1", "a2", "b1", "c1"]),
        (&["web-2", "--label", "two", "--yes"], 0, &["a1", "a2", "c1"]),
        (&["--digest", "C1", "--yes"], 0, &["a1", "a2"]),
        (&["web-1", "--yes"], 0, &[]),
    ] {
        let run = place.run(&[&["keys", "revoke"], arguments].concat());
        assert_eq!(run.code, code, "{arguments:?}: {run:?}");
        assert_eq!(run.stdout, "", "{arguments:?}");
        assert_eq!(digests(&place).await, left, "{arguments:?}");
    }
    let ambiguous = Place::new().await;
    put(&ambiguous, "a1", Some("web-1"), None, None).await;
    put(&ambiguous, "a2", Some("web-2"), None, None).await;
    let run = ambiguous.run(&["keys", "revoke", "--digest", "a", "--yes"]);
    assert!(run.stderr.contains("several keys match") && run.stderr.contains("web-2"), "{run:?}");
    let run = ambiguous.run(&["keys", "revoke", "web-1"]);
    assert!(run.stderr.contains("pass --yes"), "{run:?}");
}

#[tokio::test]
async fn a_key_is_revoked_after_confirmation() {
    let place = Place::new().await;
    put(&place, "a1", Some("web-1"), None, None).await;
    for (answer, code, said, left) in [
        ("", 1, "no answer on standard input: pass --yes", 1),
        ("\n", 1, "nothing was changed", 1),
        ("no\n", 1, "nothing was changed", 1),
        ("Y\n", 0, "Revoked a10000000000 (web-1)", 0),
    ] {
        let mut tool = place.tool();
        let tool = tool.args(["keys", "revoke", "web-1"]);
        let run = run_with_input(tool, answer);
        assert_eq!((run.code, &*run.stdout), (code, ""), "{answer:?}: {run:?}");
        assert!(run.stderr.contains("Revoke a10000000000 (web-1)? [y/N]"), "{run:?}");
        assert!(run.stderr.contains(said), "{answer:?}: {run:?}");
        assert_eq!(digests(&place).await.len(), left, "{answer:?}");
    }
}

#[tokio::test]
async fn a_rotation_adds_a_key_and_lets_the_old_ones_expire() {
    let place = Place::new().await;
    let now = Utc::now().timestamp();
    put(&place, "a1", Some("web-1"), None, None).await;
    put(&place, "a2", Some("web-1"), None, Some(now + 60)).await;
    put(&place, "a3", Some("web-1"), None, Some(now + 1_000_000)).await;
    put(&place, "b1", Some("web-2"), None, None).await;
    let run = place.run(&["keys", "rotate", "web-1", "--grace", "2h"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(
        run.stderr.contains("have cached one accept it for up to KEY_CACHE_SECONDS longer"),
        "{run:?}"
    );
    let items = place.items(&place.keys).await;
    let expiry = |digest: &str| -> Option<i64> {
        let item = items.iter().find(|item| item["key_sha256"].as_s().unwrap().starts_with(digest));
        item.unwrap().get("expires_at").map(|at| at.as_n().unwrap().parse().unwrap())
    };
    let grace = now + 7200;
    for digest in ["a1", "a3"] {
        assert!((grace..grace + 60).contains(&expiry(digest).unwrap()), "{digest}");
    }
    assert_eq!(expiry("a2"), Some(now + 60), "never later than it would have");
    assert_eq!(expiry("b1"), None);
    assert_eq!(expiry(&digest_of(run.stdout.trim())), None);
    assert_eq!(items.len(), 5);

    let run = place.run(&["keys", "rotate", "web-3"]);
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("web-3 has no key"), "{run:?}");
    assert_eq!(place.items(&place.keys).await.len(), 5);
}

#[tokio::test]
async fn a_rotation_without_grace_says_when_the_old_keys_expire() {
    let place = Place::new().await;
    put(&place, "a1", Some("web-1"), None, None).await;
    let rotated = place.run(&["keys", "rotate", "web-1", "--grace", "0s", "--json"]);
    let expiry = rotated.json()["old_keys_expire_at"].as_i64().unwrap();
    let age = Utc::now().timestamp() - expiry;
    assert!((0..60).contains(&age), "{age}");
    let items = place.items(&place.keys).await;
    let expiries: Vec<_> = items.iter().filter_map(|item| item.get("expires_at")).collect();
    assert_eq!(expiries, [&AttributeValue::N(expiry.to_string())]);
    let added = place.run(&["keys", "add", "web-1", "--json"]).json();
    assert_eq!(added.get("old_keys_expire_at"), None);
}

#[tokio::test]
async fn a_rotation_says_which_old_keys_do_not_expire() {
    let place = Place::new().await;
    put(&place, "a1", Some("web-1"), None, None).await;
    let proxy = Proxy::start(&dynamodb::URL);
    let denied = Fault::Reject(400, "AccessDeniedException");
    proxy.rule(move |call| matches!(call, Call::Server).then_some(denied));
    let mut tool = place.tool();
    tool.env("AWS_ENDPOINT_URL_DYNAMODB", &proxy.url);
    let run = run(tool.args(["keys", "rotate", "web-1"]));
    assert_eq!(run.code, 1, "{run:?}");
    let digests = digests(&place).await;
    let new_digest = digest_of(run.stdout.trim());
    assert!(digests.contains(&new_digest.trim_end_matches('0').to_owned()), "{run:?}");
    for part in ["the new key is stored and valid", "a10000000000 (web-1): AccessDeniedException"] {
        assert!(run.stderr.contains(part), "{part}: {run:?}");
    }
    assert!(!run.stderr.contains("The old keys expire"), "{run:?}");
}

#[tokio::test]
async fn a_key_that_could_not_be_printed_is_named() {
    let place = Place::new().await;
    put(&place, "a1", Some("web-1"), None, None).await;
    for arguments in [
        &["keys", "add", "web-2"][..],
        &["keys", "add", "web-2", "--json"],
        &["keys", "rotate", "web-1"],
    ] {
        let before = digests(&place).await;
        let mut tool = place.tool();
        let tool = tool.args(arguments).stdout(closed_pipe());
        let child = tool.stderr(Stdio::piped()).spawn().unwrap();
        let run = Run::from(child.wait_with_output().unwrap());
        assert_eq!(run.code, 1, "{run:?}");
        let mut new = digests(&place).await;
        new.retain(|digest| !before.contains(digest));
        assert_eq!(new.len(), 1, "{new:?}");
        let prefix = &new[0][..12];
        for part in [
            format!("the key with the digest {prefix}… is stored, but it could not be printed"),
            format!("`keys revoke --digest {prefix}`"),
        ] {
            assert!(run.stderr.contains(&part), "{part}: {run:?}");
        }
    }
    let items = place.items(&place.keys).await;
    assert!(items.iter().all(|item| !item.contains_key("expires_at")));
}

// C2.12: the endpoint rejects such keys.
#[tokio::test]
async fn malformed_items_are_listed_as_malformed() {
    let place = Place::new().await;
    let number = |text: &str| AttributeValue::N(text.to_owned());
    for (digest, name, value) in [
        ("a1", "server_id", number("1")),
        ("a2", "server_id", text("Web 1")),
        ("a3", "server_id", text("")),
        ("b1", "expires_at", text("1800000000")),
        ("b2", "expires_at", number("1.5")),
        ("b3", "expires_at", number("9223372036854775807")),
    ] {
        let digest = text(&format!("{digest:0<64}"));
        let item = [("key_sha256", digest), (name, value)];
        place.put(&place.keys, item).await;
    }
    put(&place, "c1", None, None, None).await;
    let run = place.run(&["keys", "list"]);
    assert_eq!(run.stdout.lines().count(), 8, "{run:?}");
    for line in run.stdout.lines().skip(1) {
        let cells: Vec<_> = line.split("  ").filter(|cell| !cell.is_empty()).collect();
        let (server, expiry) = (cells[0].trim(), cells[3].trim());
        let expected = match cells[4].as_bytes()[0] {
            b'a' => ("malformed", "never"),
            b'b' => ("every server", "malformed"),
            _ => ("every server", "never"),
        };
        assert_eq!((server, expiry), expected, "{line}");
    }
    let listed = place.run(&["keys", "list", "--json"]).json();
    for key in listed.as_array().unwrap() {
        let is_malformed = !key["key_sha256"].as_str().unwrap().starts_with('c');
        let expected = is_malformed.then_some(json!(true));
        assert_eq!(key.get("malformed"), expected.as_ref(), "{key}");
    }
    let asked = place.run(&["keys", "revoke", "--digest", "a1"]);
    assert!(asked.stderr.starts_with("Revoke a10000000000 (malformed)?"), "{asked:?}");
}

// C2.8: the others are written, and no line is repeated: it may hold a key.
#[tokio::test]
async fn keys_are_imported_by_their_digests() {
    let place = Place::new().await;
    put(&place, "e", Some("web-5"), Some("mine"), None).await;
    let digest = |start: &str| format!("{start:0<64}");
    let key = format!("hlh_ag_0123abcd_{}", "4f".repeat(32));
    let lines = [
        digest("a"),
        format!("{},web-2", digest("b")),
        format!(" {} , web-3 , hlh_ag_0123, the \"nas\"\r", digest("C")),
        format!("{},,shared", digest("d")),
        format!("{},web-6,other", digest("e")),
        String::new(),
        key,
        format!("{}0,web-1", digest("f")),
        format!("{},Web 1", digest("f")),
        format!("{},web-2,again", digest("b")),
        digest("1"),
    ];
    let import = || {
        let mut tool = place.tool();
        tool.args(["--json", "keys", "import"]);
        let run = run_with_input(&mut tool, &lines.join("\n"));
        assert_eq!(run.code, 1, "{run:?}");
        let outcome: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
        (outcome, run.stderr)
    };
    let (outcome, stderr) = import();
    let expected = json!({ "added": 5, "known": 2, "left_out": [7, 8, 9] });
    assert_eq!(outcome, expected);
    assert_eq!(
        stderr,
        "line 7: the digest is not 64 hex digits\nline 8: the digest is not 64 hex digits\n\
         line 9: the server is not the id of one\nerror: 3 lines were left out\n"
    );
    let listed = place.run(&["keys", "list", "--json"]).json();
    let mut listed: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|key| json!([key["key_sha256"], key["server_id"], key["label"]]))
        .collect();
    listed.sort_by_key(ToString::to_string);
    assert_eq!(
        listed,
        [
            json!([digest("1"), null, null]),
            json!([digest("a"), null, null]),
            json!([digest("b"), "web-2", null]),
            json!([digest("c"), "web-3", "hlh_ag_0123, the \"nas\""]),
            json!([digest("d"), null, "shared"]),
            json!([digest("e"), "web-5", "mine"]),
        ]
    );
    assert_eq!(import().0["known"], 7, "importing again adds nothing");
}

#[tokio::test]
async fn an_import_without_a_bad_line_succeeds() {
    let place = Place::new().await;
    let mut tool = place.tool();
    tool.args(["keys", "import"]);
    let run = run_with_input(&mut tool, &format!("{:0<64},web-1\n", "a"));
    assert_eq!((run.code, run.stdout.as_str()), (0, ""), "{run:?}");
    assert_eq!(run.stderr, "Added 1; 0 were there already.\n");
    tool = place.tool();
    tool.args(["--keys-table", "none", "keys", "import"]);
    let run = run_with_input(&mut tool, &format!("{:0<64}\n", "b"));
    assert_eq!(run.code, 1);
    assert!(
        run.stderr.starts_with(
            "error: line 1, after 0 were added and 0 were there: there is no table none"
        ),
        "{run:?}"
    );
}
