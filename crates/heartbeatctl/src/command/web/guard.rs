//! Who may see the page: checked before anything is read.

use anyhow::{Context, bail, ensure};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use subtle::ConstantTimeEq;

pub struct Guard {
    listen: IpAddr,
    hosts: Vec<String>,
    /// The SHA-256 digest of the password, so that lengths do not matter for the comparison.
    password: Option<[u8; 32]>,
}

impl Guard {
    /// # Errors
    /// If the password file cannot be used, or is missing for an address that others reach.
    pub fn new(
        listen: IpAddr,
        hosts: Vec<String>,
        password_file: Option<&Path>,
    ) -> anyhow::Result<Self> {
        if password_file.is_none() && !listen.is_loopback() {
            bail!("others can reach {listen}: pass --password-file, or listen on 127.0.0.1");
        }
        let password = password_file.map(read_password).transpose()?;
        Ok(Self {
            listen,
            hosts,
            password,
        })
    }

    /// Whether the `Host` header names us. Otherwise another site's name could be made to point here, and its scripts could
    /// read the page.
    fn is_ours(&self, host: &str) -> bool {
        let without_port = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let address = without_port.trim_start_matches('[').trim_end_matches(']');
        let is_address = address
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback() || address == self.listen);
        is_address
            || without_port.eq_ignore_ascii_case("localhost")
            || self
                .hosts
                .iter()
                .any(|name| name.eq_ignore_ascii_case(without_port))
    }

    /// The answer to a request that is rejected.
    fn rejection(&self, request: &Request) -> Option<Response> {
        let sent = |name| request.headers().get(name);
        let host = sent(header::HOST).and_then(|host| host.to_str().ok());
        if !host.is_some_and(|host| self.is_ours(host)) {
            let reason = "This page is not called by that name. Pass --host NAME to allow it.\n";
            return Some((StatusCode::MISDIRECTED_REQUEST, reason).into_response());
        }
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            let allowed = [(header::ALLOW, "GET, HEAD")];
            return Some((StatusCode::METHOD_NOT_ALLOWED, allowed).into_response());
        }
        if !self.accepts(sent(header::AUTHORIZATION)) {
            let basic = r#"Basic realm="heartbeat", charset="UTF-8""#;
            let challenge = [(header::WWW_AUTHENTICATE, basic)];
            return Some((StatusCode::UNAUTHORIZED, challenge).into_response());
        }
        None
    }

    fn accepts(&self, authorization: Option<&HeaderValue>) -> bool {
        let Some(expected) = self.password else {
            return true;
        };
        let given = authorization.and_then(|value| {
            let (scheme, encoded) = value.to_str().ok()?.split_once(' ')?;
            let credentials = STANDARD.decode(encoded.trim()).ok()?;
            let colon = credentials.iter().position(|byte| *byte == b':')?;
            scheme
                .eq_ignore_ascii_case("basic")
                .then(|| sha256(&credentials[colon + 1..]))
        });
        given.is_some_and(|given| given.ct_eq(&expected).into())
    }
}

/// The digest of the password in the first line of a file.
fn read_password(file: &Path) -> anyhow::Result<[u8; 32]> {
    let name = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("{name} cannot be read"))?;
    let password = text.lines().next().unwrap_or_default();
    ensure!(!password.is_empty(), "the first line of {name} is empty");
    Ok(sha256(password.as_bytes()))
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut array = [0; 32];
    array.copy_from_slice(digest(&SHA256, bytes).as_ref());
    array
}

/// Passes on what may be answered.
pub async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    match guard.rejection(&request) {
        Some(rejection) => rejection,
        None => next.run(request).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_are_accepted() {
        let guard = Guard {
            listen: "192.0.2.7".parse().expect("an address"),
            hosts: vec!["fleet.example.com".to_owned()],
            password: None,
        };
        for host in [
            "localhost",
            "LOCALHOST:8787",
            "127.0.0.1:8787",
            "127.0.0.1",
            "[::1]:8787",
            "192.0.2.7:8787",
            "fleet.example.com",
            "Fleet.Example.com:80",
        ] {
            assert!(guard.is_ours(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "192.0.2.8",
            "evil.example:8787",
            "fleet.example.com.evil.example",
            ":8787",
        ] {
            assert!(!guard.is_ours(host), "{host}");
        }
    }
}
