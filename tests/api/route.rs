use crate::support::app::{TestApp, event};
use serde_json::json;

// C1.1 C1.2
#[tokio::test]
async fn any_other_path_is_not_found() {
    let app = TestApp::start().await;
    for path in [
        "/",
        "",
        "/api/v1/agents",
        "/api/v1/agents/heartbeat/",
        "/api/v1/agents/heartbeats",
        "/API/v1/agents/heartbeat",
    ] {
        let mut event = event("heartbeat");
        event["rawPath"] = path.into();
        event["routeKey"] = "$default".into();
        let answer = app.send(&event).await;
        assert_eq!((answer.status, answer.body), (404, json!({ "detail": "Not Found" })), "{path}");
    }
    assert_eq!(app.servers().await, []);
}

// C1.2
#[tokio::test]
async fn any_other_method_is_not_allowed() {
    let app = TestApp::start().await;
    for method in ["GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"] {
        let mut event = event("heartbeat");
        event["requestContext"]["http"]["method"] = method.into();
        let answer = app.send(&event).await;
        assert_eq!(
            (answer.status, answer.body),
            (405, json!({ "detail": "Method Not Allowed" })),
            "{method}"
        );
        assert_eq!(answer.headers["allow"], "POST");
    }
    assert_eq!(app.servers().await, []);
}

// C1.1: for payload 1.0, too.
#[tokio::test]
async fn the_stage_is_removed_from_the_path_of_payload_1_0() {
    let app = TestApp::start().await;
    for (path, status) in
        [("/prod/api/v1/agents/heartbeat", 200), ("/test/api/v1/agents/heartbeat", 404)]
    {
        let mut event = event("payload-1.0");
        event["requestContext"]["stage"] = "prod".into();
        event["path"] = path.into();
        event["requestContext"]["path"] = path.into();
        assert_eq!(app.send(&event).await.status, status, "{path}");
    }
}

// C1.1: HTTP APIs name the stage in the path, REST APIs do not.
#[tokio::test]
async fn the_stage_is_removed_from_the_path() {
    let app = TestApp::start().await;
    for (path, status) in [
        ("/prod/api/v1/agents/heartbeat", 200),
        ("/api/v1/agents/heartbeat", 200),
        ("/prod/api/v1/agents/heartbeat/", 404),
        ("/prod", 404),
        ("/test/api/v1/agents/heartbeat", 404),
        ("/prod/prod/api/v1/agents/heartbeat", 404),
    ] {
        let mut event = event("heartbeat");
        event["requestContext"]["stage"] = "prod".into();
        event["rawPath"] = path.into();
        event["routeKey"] = "$default".into();
        assert_eq!(app.send(&event).await.status, status, "{path}");
    }
}

// C1.1: an API mapping of a custom domain adds a prefix to the path. The route tells that it is ours.
#[tokio::test]
async fn the_route_decides_if_it_is_ours_and_else_the_path() {
    let app = TestApp::start().await;
    for (path, route, status) in [
        ("/monitor/api/v1/agents/heartbeat", "POST /api/v1/agents/heartbeat", 200),
        ("/monitor/api/v1/agents/heartbeat", "ANY /{proxy+}", 404),
        ("/monitor/api/v1/agents/heartbeat", "$default", 404),
        ("/monitor/api/v1/agents/heartbeat", "GET /api/v1/agents/heartbeat", 404),
        ("/api/v1/agents/heartbeat", "ANY /{proxy+}", 200),
        ("/api/v1/agents/heartbeat", "$default", 200),
    ] {
        let mut event = event("heartbeat");
        event["rawPath"] = path.into();
        event["routeKey"] = route.into();
        assert_eq!(app.send(&event).await.status, status, "{path} {route}");
    }
}

// C1.1: a caller without a key learns that the path does not exist, and nothing else.
#[tokio::test]
async fn the_path_is_checked_before_the_key() {
    let app = TestApp::start().await;
    let mut event = event("missing-key");
    event["rawPath"] = "/".into();
    event["routeKey"] = "$default".into();
    assert_eq!(app.send(&event).await.status, 404);
}
