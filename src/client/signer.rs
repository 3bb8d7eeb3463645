//! Signature Version 4, cut to what DynamoDB is sent: a POST with its body in memory and no query.
//!
//! The signatures are those of `aws-sigv4`. They cost a quarter: the key is derived once a day instead of
//! for every request, and *ring*, which TLS brings along, hashes faster than portable code.

use aws_sdk_dynamodb::config::Credentials;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::auth::{
    AuthScheme, AuthSchemeEndpointConfig, AuthSchemeId, Sign,
};
use aws_smithy_runtime_api::client::identity::{Identity, SharedIdentityResolver};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::{GetIdentityResolver, RuntimeComponents};
use aws_smithy_types::config_bag::ConfigBag;
use chrono::{DateTime, Utc};
use ring::{digest, hmac};
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// Signs with the environment's credentials, which stay what they are for as long as the process lives.
pub struct Signer {
    credentials: Credentials,
    region: String,
    key: Mutex<Option<Key>>,
}

/// What a day's signatures are made with.
#[derive(Clone)]
struct Key {
    date: String,
    key: hmac::Key,
}

impl Signer {
    /// A signer for one region.
    pub const fn new(credentials: Credentials, region: String) -> Self {
        Self {
            credentials,
            region,
            key: Mutex::new(None),
        }
    }

    /// Adds the time, the session token and the signature to a request.
    fn sign(&self, request: &mut HttpRequest, now: DateTime<Utc>) -> Result<(), BoxError> {
        let time = now.format("%Y%m%dT%H%M%SZ").to_string();
        request
            .headers_mut()
            .try_insert("x-amz-date", time.clone())?;
        if let Some(token) = self.credentials.session_token() {
            let headers = request.headers_mut();
            headers.try_insert("x-amz-security-token", token.to_owned())?;
        }
        let (names, canonical) = canonical(request)?;
        let Key { date, key } = self.key(&time[..8]);
        let scope = format!("{date}/{}/dynamodb/aws4_request", self.region);
        let digest = hex::encode(digest::digest(&digest::SHA256, canonical.as_bytes()));
        let signature = hex::encode(hmac::sign(
            &key,
            format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{digest}").as_bytes(),
        ));
        let key_id = self.credentials.access_key_id();
        request.headers_mut().try_insert(
            "authorization",
            format!(
                "AWS4-HMAC-SHA256 Credential={key_id}/{scope}, SignedHeaders={names}, \
                 Signature={signature}"
            ),
        )?;
        Ok(())
    }

    fn key(&self, date: &str) -> Key {
        let mut key = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = key.as_ref().filter(|key| key.date == date) {
            return key.clone();
        }
        let secret = format!("AWS4{}", self.credentials.secret_access_key());
        let derived = [date, &self.region, "dynamodb", "aws4_request"]
            .iter()
            .fold(
                hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()),
                |key, part| {
                    hmac::Key::new(
                        hmac::HMAC_SHA256,
                        hmac::sign(&key, part.as_bytes()).as_ref(),
                    )
                },
            );
        key.insert(Key {
            date: date.to_owned(),
            key: derived,
        })
        .clone()
    }
}

/// The names of the signed headers, and the request in the form in which it is signed.
fn canonical(request: &HttpRequest) -> Result<(String, String), BoxError> {
    let (host, path) = request
        .uri()
        .split_once("://")
        .map(|(_, rest)| rest.split_once('/').unwrap_or((rest, "")))
        .ok_or("the URI is not absolute")?;
    let body = request.body().bytes().ok_or("the body is not in memory")?;
    let mut headers: Vec<_> = request
        .headers()
        .iter()
        .filter(|(name, _)| *name == "content-type" || name.starts_with("x-amz-"))
        .chain([("host", host)])
        .collect();
    headers.sort_unstable();

    let mut names = String::new();
    let mut canonical = format!("{}\n/{path}\n\n", request.method());
    for (name, value) in headers {
        if !names.is_empty() {
            names.push(';');
        }
        names.push_str(name);
        canonical.extend([name, ":", value.trim(), "\n"]);
    }
    let digest = hex::encode(digest::digest(&digest::SHA256, body));
    canonical.extend(["\n", &names, "\n", &digest]);
    Ok((names, canonical))
}

/// In place of the SDK's own SigV4 scheme.
impl AuthScheme for Signer {
    fn scheme_id(&self) -> AuthSchemeId {
        AuthSchemeId::new("sigv4")
    }

    fn identity_resolver(
        &self,
        resolvers: &dyn GetIdentityResolver,
    ) -> Option<SharedIdentityResolver> {
        resolvers.identity_resolver(self.scheme_id())
    }

    fn signer(&self) -> &dyn Sign {
        self
    }
}

impl Sign for Signer {
    fn sign_http_request(
        &self,
        request: &mut HttpRequest,
        _: &Identity,
        _: AuthSchemeEndpointConfig<'_>,
        components: &RuntimeComponents,
        _: &ConfigBag,
    ) -> Result<(), BoxError> {
        let now = components.time_source().unwrap_or_default().now();
        self.sign(request, now.into())
    }
}

/// Nothing that is secret.
impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{HttpRequest, Signer};
    use aws_credential_types::Credentials;
    use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
    use aws_sigv4::sign::v4::SigningParams;
    use aws_smithy_types::body::SdkBody;
    use std::time::{Duration, SystemTime};

    const URL: &str = "https://dynamodb.us-east-1.amazonaws.com/";

    fn request() -> HttpRequest {
        let mut request = HttpRequest::new(SdkBody::from(r#"{"TableName":"servers"}"#));
        request.set_method("POST").expect("a method");
        request.set_uri(URL).expect("a URI");
        let headers = request.headers_mut();
        headers.insert("x-amz-target", "DynamoDB_20120810.PutItem");
        headers.insert("content-type", "application/x-amz-json-1.0");
        request
    }

    /// What `aws-sigv4` says of the same request.
    fn reference(credentials: &Credentials, now: SystemTime) -> String {
        let identity = credentials.clone().into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region("us-east-1")
            .name("dynamodb")
            .time(now)
            .settings(SigningSettings::default())
            .build()
            .expect("nothing is missing")
            .into();
        let request = request();
        let body = SignableBody::Bytes(request.body().bytes().expect("in memory"));
        let request = SignableRequest::new("POST", URL, request.headers().iter(), body);
        let (instructions, _) = sign(request.expect("signable"), &params)
            .expect("signed")
            .into_parts();
        let (headers, _) = instructions.into_parts();
        let mut headers = headers
            .iter()
            .filter(|header| header.name() == "authorization");
        headers.next().expect("a signature").value().to_owned()
    }

    /// With and without a session token, twice on one day and once on the next.
    #[test]
    fn signatures_are_those_of_aws_sigv4() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_768_732_200);
        let hour = Duration::from_secs(60 * 60);
        for token in [None, Some("token".to_owned())] {
            let credentials = Credentials::new("AKIDEXAMPLE", "secret", token, None, "test");
            let signer = Signer::new(credentials.clone(), "us-east-1".into());
            for now in [now, now + hour, now + 24 * hour] {
                let mut request = request();
                signer.sign(&mut request, now.into()).expect("signed");
                let signature = request.headers().get("authorization");
                assert_eq!(signature, Some(&*reference(&credentials, now)));
            }
        }
    }
}
