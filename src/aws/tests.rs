use super::*;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use chrono::NaiveDateTime;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// A connector that records each request and answers none.
#[derive(Debug, Clone, Default)]
struct Recorder(Arc<Mutex<Vec<HttpRequest>>>);

impl HttpConnector for Recorder {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        self.0.lock().expect("no panic").push(request);
        HttpConnectorFuture::ready(Err(ConnectorError::user("recorded".into())))
    }
}

/// The `Authorization` header that `aws-sigv4` computes for a request to this URL.
fn signature(url: &str, request: &HttpRequest) -> String {
    let date = request.headers().get("x-amz-date").expect("a date");
    let date = NaiveDateTime::parse_from_str(date, "%Y%m%dT%H%M%SZ").expect("in this format");
    let identity = Credentials::new("AKIDEXAMPLE", "secret", None, None, "test").into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name("dynamodb")
        .time(date.and_utc().into())
        .settings(SigningSettings::default())
        .build()
        .expect("nothing is missing")
        .into();
    let body = SignableBody::Bytes(request.body().bytes().expect("in memory"));
    let unsigned = ["authorization", "x-amz-date", "amz-sdk-invocation-id", "amz-sdk-request"];
    let headers = request.headers().iter();
    let headers = headers.filter(|(name, _)| !unsigned.contains(name));
    let request = SignableRequest::new("POST", url, headers, body).expect("signable");
    let (instructions, _) = sign(request, &params).expect("signed").into_parts();
    let (headers, _) = instructions.into_parts();
    let mut headers = headers.iter();
    let authorization = headers.find(|header| header.name() == "authorization");
    authorization.expect("a signature").value().to_owned()
}

/// HTTP clients leave the default port out of `Host`, so it must not be signed.
#[tokio::test]
async fn an_explicit_default_port_is_not_signed() {
    for (url, host) in [
        ("https://dynamodb.example.com", "https://dynamodb.example.com/"),
        ("https://dynamodb.example.com:443", "https://dynamodb.example.com/"),
        ("http://dynamodb.example.com:80", "http://dynamodb.example.com/"),
        ("https://dynamodb.example.com:8443", "https://dynamodb.example.com:8443/"),
    ] {
        let settings = HashMap::from([
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_ENDPOINT_URL_DYNAMODB", url),
        ]);
        let setting = |name: &str| settings.get(name).map(|value| (*value).to_owned());
        let config = AwsConfig::from_variables(setting).expect("a configuration");
        let recorder = Recorder::default();
        let client = dynamodb_over(&config, SharedHttpConnector::new(recorder.clone()));
        let sent = client.list_tables().send().await;
        assert!(sent.is_err(), "{url}: nothing was sent");
        let requests = recorder.0.lock().expect("no panic");
        let sent = requests[0].headers().get("authorization");
        assert_eq!(sent, Some(&*signature(host, &requests[0])), "{url}");
    }
}
