//! Who may see the page: whoever knows the password, or has a cookie that it gave. Checked before anything is read, and in
//! constant time. Only a form of this site's pages signs in or out, or changes something; for that, it takes the cookie, and the
//! token that the page got for it.
//!
//! A browser asks for a password by itself only if it gets `WWW-Authenticate`, which API Gateway is reported to rename (untried
//! on AWS). So a form asks, and Basic authentication is accepted unasked.

use super::config::{May, PasswordDigest};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use lambda_http::RequestExt;
use lambda_http::request::RequestContext;
use page::{Session, is_of_this_site};
use ring::digest::{SHA256, digest};
use ring::hmac;
use std::sync::Arc;
use subtle::ConstantTimeEq;
use tables::ServerId;

/// How long a session lasts.
pub const LIFETIME: TimeDelta = TimeDelta::days(30);

/// A browser takes a cookie of this name only over TLS, for this host alone and for all its paths.
const COOKIE: &str = "__Host-heartbeat";

/// The most bytes of a form: a password that is longer is wrong.
const MAX_FORM: usize = 4_096;

/// What tells the right password and valid sessions.
struct Access {
    password: PasswordDigest,
    may: May,
    key: hmac::Key,
    /// The policy of the form, which allows its own style.
    policy: HeaderValue,
}

/// The same router for those who have signed in. Others get a form.
pub fn guarded(router: Router, password: PasswordDigest, may: May) -> Router {
    router.layer(from_fn_with_state(Arc::new(Access::new(password, may)), pass))
}

async fn pass(State(access): State<Arc<Access>>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let now = Utc::now();
    let has_password = access.has_password(&request);
    let session = access.session(request.headers(), now);
    let has_session = session.is_some();
    if let Some(session) = session {
        request.extensions_mut().insert(session);
    }
    let is_change = access.may == May::Silence && path.ends_with("/silence");
    match *request.method() {
        Method::GET | Method::HEAD if has_password || has_session => next.run(request).await,
        Method::GET | Method::HEAD => access.ask(&path, StatusCode::OK),
        Method::POST if path == "/login" || path == "/logout" || is_change => {
            if !is_of_this_site(request.headers()) {
                let reason = "Only a form of this site's own pages may ask for this.\n";
                return (StatusCode::FORBIDDEN, reason).into_response();
            }
            match path.as_str() {
                "/login" => access.sign_in(request, now).await,
                "/logout" => sign_out(),
                _ if has_session => next.run(request).await,
                _ => access.ask(&path, StatusCode::UNAUTHORIZED),
            }
        }
        _ => (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")]).into_response(),
    }
}

/// A line for each sign-in, at any level of the log: from where, and whether the password was right; never what was typed.
fn note(request: &Request, is_right: bool) {
    let source_ip = match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => context.http.source_ip.as_deref(),
        _ => None,
    };
    let request_id = request.lambda_context_ref().map(|context| context.request_id.as_str());
    if is_right {
        tracing::info!(request_id, source_ip, "sign-in with the right password");
    } else {
        tracing::warn!(request_id, source_ip, "sign-in with a wrong password");
    }
}

fn sign_out() -> Response {
    let headers = [(header::SET_COOKIE, cookie("", 0)), (header::LOCATION, "./".to_owned())];
    (StatusCode::SEE_OTHER, headers).into_response()
}

fn cookie(session: &str, seconds: i64) -> String {
    format!("{COOKIE}={session}; Path=/; Max-Age={seconds}; HttpOnly; Secure; SameSite=Lax")
}

impl Access {
    fn new(password: PasswordDigest, may: May) -> Self {
        let style = STANDARD.encode(digest(&SHA256, page::STYLE.as_bytes()));
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{style}'; img-src data:; form-action 'self'; base-uri 'none'; \
             frame-ancestors 'none'"
        );
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &password.0),
            password,
            may,
            policy: HeaderValue::try_from(policy)
                .unwrap_or(HeaderValue::from_static("default-src 'none'")),
        }
    }

    /// Whether Basic authentication has the right password. A wrong one is noted.
    fn has_password(&self, request: &Request) -> bool {
        let Some(credentials) = request.headers().get(header::AUTHORIZATION).and_then(basic) else {
            return false;
        };
        let is_right = password_of(credentials).is_some_and(|given| self.is_password(&given));
        if !is_right {
            note(request, false);
        }
        is_right
    }

    /// Compares digests, so that the length of a password does not matter.
    fn is_password(&self, given: &[u8]) -> bool {
        digest(&SHA256, given).as_ref().ct_eq(&self.password.0).into()
    }

    /// The session whose cookie was sent.
    fn session(&self, headers: &HeaderMap, now: DateTime<Utc>) -> Option<Session> {
        let cookies = headers.get_all(header::COOKIE).into_iter();
        let session = cookies
            .filter_map(|cookies| cookies.to_str().ok())
            .flat_map(|cookies| cookies.split(';'))
            .filter_map(|cookie| cookie.trim().strip_prefix(COOKIE)?.strip_prefix('='))
            .find(|session| self.is_session(session, now))?;
        let token = hmac::sign(&self.key, format!("token {session}").as_bytes());
        Some(Session { token: hex::encode(token) })
    }

    /// A session is `<expiry>.<HMAC>`: when it ends, in epoch seconds, and that this access gave it.
    fn is_session(&self, session: &str, now: DateTime<Utc>) -> bool {
        let Some((expiry, signature)) = session.split_once('.') else {
            return false;
        };
        let Ok(signature) = hex::decode(signature) else {
            return false;
        };
        // Compares in constant time.
        hmac::verify(&self.key, signed(expiry).as_bytes(), &signature).is_ok()
            && expiry.parse().is_ok_and(|expiry: i64| now.timestamp() < expiry)
    }

    fn new_session(&self, now: DateTime<Utc>) -> String {
        let expiry = (now + LIFETIME).timestamp().to_string();
        let signature = hmac::sign(&self.key, signed(&expiry).as_bytes());
        format!("{expiry}.{}", hex::encode(signature))
    }

    /// Opens a session for the right password, and leads back to what was asked for.
    async fn sign_in(&self, request: Request, now: DateTime<Utc>) -> Response {
        let (head, body) = request.into_parts();
        let form = to_bytes(body, MAX_FORM).await.unwrap_or_default();
        let value = |name: &str| {
            let mut fields = form_urlencoded::parse(&form);
            fields.find(|(field, _)| field == name)
        };
        let password = value("password").map(|(_, value)| value.into_owned());
        let server = value("server").and_then(|(_, value)| value.parse::<ServerId>().ok());
        // What is copied from a terminal may have spaces around it.
        let is_right =
            password.is_some_and(|password| self.is_password(password.trim().as_bytes()));
        note(&Request::from_parts(head, Body::empty()), is_right);
        if !is_right {
            let server = server.as_ref().map(ServerId::as_str);
            let form = page::sign_in("/login", server, true);
            return (StatusCode::UNAUTHORIZED, self.policy(), form).into_response();
        }
        let cookie = cookie(&self.new_session(now), LIFETIME.num_seconds());
        // Relative, because a proxy may put a path before it.
        let location =
            server.map_or_else(|| "./".to_owned(), |server| format!("servers/{}", server.as_str()));
        let headers = [(header::SET_COOKIE, cookie), (header::LOCATION, location)];
        (StatusCode::SEE_OTHER, headers).into_response()
    }

    /// The form for people; programs, and the script of a page whose session has ended, are told what to do.
    fn ask(&self, path: &str, status: StatusCode) -> Response {
        const SENTENCE: &str = "Sign in first, or send the password with Basic authentication.";
        let is_for_script =
            path.starts_with("/fleet") || path.ends_with(".css") || path.ends_with(".js");
        if path.starts_with("/api/") {
            let body = serde_json::json!({ "error": SENTENCE }).to_string();
            let kind = [(header::CONTENT_TYPE, "application/json")];
            return (StatusCode::UNAUTHORIZED, kind, body).into_response();
        }
        if path == "/metrics" || is_for_script {
            return (StatusCode::UNAUTHORIZED, SENTENCE).into_response();
        }
        let server = path.strip_prefix("/servers/").map(|path| path.trim_end_matches("/silence"));
        let server = server.and_then(|id| id.parse::<ServerId>().ok());
        let form = page::sign_in(path, server.as_ref().map(ServerId::as_str), false);
        (status, self.policy(), form).into_response()
    }

    fn policy(&self) -> [(header::HeaderName, HeaderValue); 1] {
        [(header::CONTENT_SECURITY_POLICY, self.policy.clone())]
    }
}

/// What a session's signature covers.
fn signed(expiry: &str) -> String {
    format!("session {expiry}")
}

/// The credentials of Basic authentication.
fn basic(authorization: &HeaderValue) -> Option<&str> {
    let (scheme, credentials) = authorization.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("basic").then_some(credentials)
}

/// The password in them, with any user name.
fn password_of(credentials: &str) -> Option<Vec<u8>> {
    let credentials = STANDARD.decode(credentials.trim()).ok()?;
    let colon = credentials.iter().position(|byte| *byte == b':')?;
    Some(credentials[colon + 1..].to_vec())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn access(password: &str) -> Access {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, password.as_bytes()).as_ref());
        Access::new(PasswordDigest(bytes), May::Look)
    }

    // C13.4
    #[test]
    fn a_session_lasts_30_days_and_ends_with_the_password() {
        let now = DateTime::from_timestamp(1_768_732_200, 0).unwrap();
        let session = access("right").new_session(now);
        let day = TimeDelta::days(1);
        for (password, time, is_valid) in [
            ("right", now, true),
            ("right", now + day * 29, true),
            ("right", now + day * 30, false),
            ("another", now, false),
        ] {
            assert_eq!(access(password).is_session(&session, time), is_valid, "{password} {time}");
        }
    }

    // C13.4
    #[test]
    fn nothing_but_an_own_session_is_one() {
        let now = DateTime::from_timestamp(1_768_732_200, 0).unwrap();
        let access = access("right");
        let session = access.new_session(now);
        let (expiry, signature) = session.split_once('.').unwrap();
        let later = expiry.parse::<i64>().unwrap() + 1;
        for forged in [
            String::new(),
            ".".to_owned(),
            expiry.to_owned(),
            format!("{expiry}."),
            format!("{later}.{signature}"),
            format!("{expiry}.{}", &signature[2..]),
            format!("{expiry}.{}", "0".repeat(64)),
            format!(" {session}"),
        ] {
            assert!(!access.is_session(&forged, now), "{forged}");
        }
        let headers = |cookie: &str| {
            HeaderMap::from_iter([(header::COOKIE, HeaderValue::try_from(cookie).unwrap())])
        };
        for (cookie, is_open) in [
            (format!("{COOKIE}={session}"), true),
            (format!("a=b; {COOKIE}=old; {COOKIE}={session}"), true),
            (format!("{COOKIE}2={session}"), false),
            (format!("a={session}"), false),
        ] {
            assert_eq!(access.session(&headers(&cookie), now).is_some(), is_open, "{cookie}");
        }
    }

    // C13.4
    #[test]
    fn basic_authentication_takes_any_user_name() {
        let request = |value: &str| {
            let request = Request::builder().header(header::AUTHORIZATION, value);
            request.body(Body::empty()).unwrap()
        };
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        for (value, is_open) in [
            (basic("anyone:right"), true),
            (basic(":right").replace("Basic", "basic"), true),
            (basic("anyone:wrong"), false),
            (basic("anyone:"), false),
            (basic("right"), false),
            (basic("anyone:right").replace("Basic", "Bearer"), false),
            ("Basic !".to_owned(), false),
            ("right".to_owned(), false),
        ] {
            assert_eq!(access("right").has_password(&request(&value)), is_open, "{value}");
        }
    }
}
