use crate::support::app::{TestApp, event};

// C1.3: every payload in `events/` gets the status that is listed here.
#[tokio::test]
async fn every_event_gets_its_answer() {
    let expected = [
        ("api-mapping", 200),
        ("backlog", 200),
        ("bad-fields", 422),
        ("base64-body", 200),
        ("byte-order-mark", 200),
        ("every-field", 200),
        ("gzip", 415),
        ("heartbeat", 200),
        ("homelabcmd", 200),
        ("malformed-json", 422),
        ("missing-key", 401),
        ("no-metrics", 200),
        ("no-os-info", 200),
        ("partial-metrics", 200),
        ("payload-1.0", 200),
        ("utf-16", 200),
        ("wrong-key", 401),
        ("wrong-method", 405),
        ("wrong-path", 404),
    ];
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/events")).unwrap();
    let mut files: Vec<_> =
        folder.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    files.sort_unstable();
    assert_eq!(files, expected.map(|(name, _)| format!("{name}.json")));
    let app = TestApp::start().await;
    for (name, status) in expected {
        app.tables.clear().await;
        assert_eq!(app.send(&event(name)).await.status, status, "{name}");
        let written = (app.servers().await.len(), app.rows().await.len());
        let rows = usize::from(status == 200 && name != "no-metrics");
        let servers = usize::from(status == 200 && name != "backlog");
        assert_eq!(written, (servers, rows), "{name}");
    }
}
