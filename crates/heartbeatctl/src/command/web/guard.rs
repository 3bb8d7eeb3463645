//! By which names the page is called, and that it is only read: checked before anything is.

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use syntax::url::is_loopback;

pub struct Guard {
    /// Other names than those of this machine.
    pub hosts: Vec<String>,
}

impl Guard {
    /// Whether the `Host` header names us. Otherwise another site's name could be made to point here, and its scripts could
    /// read the page.
    fn is_ours(&self, host: &str) -> bool {
        let without_port = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        is_loopback(without_port)
            || self.hosts.iter().any(|name| name.eq_ignore_ascii_case(without_port))
    }

    /// The answer to a request that is rejected.
    fn rejection(&self, request: &Request) -> Option<Response> {
        let host = request.headers().get(header::HOST);
        let host = host.and_then(|host| host.to_str().ok());
        if !host.is_some_and(|host| self.is_ours(host)) {
            let reason = "This page is not called by that name. Pass --host NAME to allow it.\n";
            return Some((StatusCode::MISDIRECTED_REQUEST, reason).into_response());
        }
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            let allowed = [(header::ALLOW, "GET, HEAD")];
            return Some((StatusCode::METHOD_NOT_ALLOWED, allowed).into_response());
        }
        None
    }
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

    // C13.6
    #[test]
    fn only_our_own_names_are_accepted() {
        let guard = Guard { hosts: vec!["fleet.example.com".to_owned()] };
        for host in [
            "localhost",
            "LOCALHOST:8787",
            "127.0.0.1:8787",
            "127.0.0.1",
            "[::1]:8787",
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
