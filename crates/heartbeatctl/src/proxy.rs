//! The proxies that the environment names, as for the AWS CLI: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, in upper
//! or lower case.

use anyhow::ensure;
use aws_sdk_dynamodb::config::RuntimeComponents;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use std::env;
use syntax::url::parse_private;

/// What the SDK's connector can speak to a proxy.
const SCHEMES: [&str; 2] = ["http", "https"];

/// The proxies for requests to AWS.
///
/// # Errors
/// If one has a scheme that the connector cannot serve. The error never contains the URL, which may hold a password.
pub fn from_environment() -> anyhow::Result<ProxyConfig> {
    let variable = |name: &str| env::var(name).ok();
    for names in [
        ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"],
        ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"],
    ] {
        check(&names, variable)?;
    }
    Ok(ProxyConfig::from_env())
}

/// Reaches `http` on this machine directly, since a proxy would read what is sent, and everything else through the proxies.
#[derive(Debug)]
pub struct Routed<T> {
    pub direct: T,
    pub proxied: T,
}

impl HttpClient for Routed<SharedHttpClient> {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Routed {
            direct: self.direct.http_connector(settings, components),
            proxied: self.proxied.http_connector(settings, components),
        })
    }
}

impl HttpConnector for Routed<SharedHttpConnector> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let url = request.uri();
        // Without TLS, only this machine is private.
        if url.starts_with("http:") && parse_private(url).is_ok() {
            self.direct.call(request)
        } else {
            self.proxied.call(request)
        }
    }
}

/// Checks the first of these variables that has a value.
fn check(names: &[&str], variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<()> {
    let values = names
        .iter()
        .filter_map(|name| Some((name, variable(name).filter(|value| !value.is_empty())?)));
    let Some((name, url)) = values.into_iter().next() else {
        return Ok(());
    };
    // Without a scheme, it is http.
    let scheme = url.split_once("://").map_or("http", |(scheme, _)| scheme);
    ensure!(
        SCHEMES.iter().any(|known| known.eq_ignore_ascii_case(scheme)),
        "{name}: a proxy with the scheme {scheme} cannot be used, only {}",
        SCHEMES.join(" and ")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheme_that_cannot_be_served_is_named_without_the_url() {
        let names = ["HTTPS_PROXY", "ALL_PROXY"];
        let checked = |https: &str, all: &str| {
            check(&names, |name| {
                let value = if name == "HTTPS_PROXY" { https } else { all };
                Some(value.to_owned())
            })
        };
        for (https, all) in [
            ("", ""),
            ("http://proxy:3128", ""),
            ("HTTPS://me:secret@proxy", ""),
            ("proxy:3128", "socks5://proxy"),
            ("", "http://proxy"),
        ] {
            assert!(checked(https, all).is_ok(), "{https} {all}");
        }
        for (https, all, expected) in [
            ("socks5://me:secret@proxy", "", "HTTPS_PROXY: a proxy with the scheme socks5 "),
            ("", "socks5h://me:secret@proxy", "ALL_PROXY: a proxy with the scheme socks5h "),
        ] {
            let error = checked(https, all).expect_err("an error").to_string();
            assert!(error.starts_with(expected) && !error.contains("secret"), "{error}");
        }
    }
}
