//! The connection to the endpoint: where the machine's own tools get through, it does.

use anyhow::{Context, bail, ensure};
use chrono::Utc;
use rustls::CertificateError;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls_native_certs::load_certs_from_paths;
use std::env;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use ureq::http::Uri;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Proxy, ProxyProtocol};

/// The time limit of one attempt.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// # Errors
/// If it is not an `https` URL with a host, or an `http` URL of this machine: elsewhere, the key would travel in clear.
pub fn parse_url(text: &str) -> anyhow::Result<Uri> {
    let url: Option<Uri> = text.parse().ok();
    let parts = url.as_ref().and_then(|url| url.scheme_str().zip(url.host()));
    match parts {
        Some(("https", host)) if !host.is_empty() => {}
        Some(("http", host)) if is_loopback(host) => {}
        Some(("http", host)) if !host.is_empty() => {
            bail!("{text:?}: http is for this machine only: it must be https")
        }
        _ => bail!("{text:?} is not an http or https URL"),
    }
    url.context("no URL")
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || address(host).is_some_and(|address| address.is_loopback())
}

/// The address that a host is, in brackets or not.
fn address(host: &str) -> Option<IpAddr> {
    let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    inside.unwrap_or(host).parse().ok()
}

/// An HTTP client that keeps its connection from one heartbeat to the next and never follows a redirect.
///
/// # Errors
/// If a proxy or a certificate cannot be used.
pub fn connect(url: &Uri, ca_file: Option<&Path>, interval: Duration) -> anyhow::Result<Agent> {
    let is_secure = url.scheme_str() == Some("https");
    let proxy = proxy(url)?;
    let has_secure_proxy =
        proxy.as_ref().is_some_and(|proxy| proxy.protocol() == ProxyProtocol::Https);
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_idle_age(interval + TIMEOUT)
        .proxy(proxy);
    if is_secure || has_secure_proxy {
        let provider = rustls::crypto::ring::default_provider();
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(provider))
            .root_certs(RootCerts::new_with_certs(&authorities(ca_file)?));
        config = config.tls_config(tls.build());
    }
    Ok(config.build().new_agent())
}

/// A variable of the environment. An empty one is an absent one.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// The proxy for a URL, from the environment, in capitals or not. ureq alone would use either for both schemes.
fn proxy(url: &Uri) -> anyhow::Result<Option<Proxy>> {
    let in_either_case =
        |name: &str| variable(name).or_else(|| variable(&name.to_ascii_lowercase()));
    let name = match url.scheme_str() {
        Some("https") => "HTTPS_PROXY",
        _ => "HTTP_PROXY",
    };
    let Some(text) = in_either_case(name) else {
        return Ok(None);
    };
    if in_either_case("NO_PROXY").is_some_and(|hosts| is_exempt(url, &hosts)) {
        return Ok(None);
    }
    let proxy = Proxy::new(&text);
    let proxy = proxy.with_context(|| format!("{name} is not the URL of a proxy"))?;
    ensure!(
        matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https),
        "{name}: a proxy of the kind {} cannot be used, only http and https",
        proxy.protocol()
    );
    Ok(Some(proxy))
}

/// Whether `NO_PROXY` names the host of a URL. ureq compares as curl does, except for addresses of IPv6.
fn is_exempt(url: &Uri, hosts: &str) -> bool {
    let hosts = hosts.split(',').map(str::trim).filter(|host| !host.is_empty());
    let own_address = url.host().and_then(address);
    if own_address.is_some() && hosts.clone().any(|host| address(host) == own_address) {
        return true;
    }
    let proxy = hosts.fold(Proxy::builder(ProxyProtocol::Http), |proxy, host| proxy.no_proxy(host));
    proxy.build().is_ok_and(|proxy| proxy.is_no_proxy(url))
}

/// The authorities of the system's store, and those of a file.
fn authorities(ca_file: Option<&Path>) -> anyhow::Result<Vec<Certificate<'static>>> {
    let mut roots = system_authorities();
    if let Some(file) = ca_file {
        let name = file.display();
        let own: Result<Vec<_>, _> =
            CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
        let own = own.with_context(|| format!("{name} cannot be read"))?;
        ensure!(!own.is_empty(), "{name} holds no certificate");
        roots.extend(own);
    }
    ensure!(
        !roots.is_empty(),
        "this machine trusts no authority: install ca-certificates, or pass --ca-file"
    );
    let roots = roots.iter().map(|root| Certificate::from_der(root).to_owned());
    Ok(roots.collect())
}

/// The system's store, or what `SSL_CERT_FILE` and `SSL_CERT_DIR` name instead.
fn system_authorities() -> Vec<CertificateDer<'static>> {
    let names = ["SSL_CERT_FILE", "SSL_CERT_DIR"];
    let is_empty = |name: &str| env::var_os(name).is_some_and(|value| value.is_empty());
    if !names.into_iter().any(is_empty) {
        return rustls_native_certs::load_native_certs().certs;
    }
    let [file, folder] = names.map(|name| variable(name).map(PathBuf::from));
    if file.is_some() || folder.is_some() {
        return load_certs_from_paths(file.as_deref(), folder.as_deref()).certs;
    }
    let found = openssl_probe::probe();
    load_certs_from_paths(found.cert_file.as_deref(), None).certs
}

/// Whether it is certain that nothing was sent: without an address, without a connection, or without a tunnel.
pub fn was_not_sent(error: &ureq::Error) -> bool {
    use std::io::ErrorKind;
    match error {
        ureq::Error::HostNotFound
        | ureq::Error::ConnectProxyFailed(_)
        | ureq::Error::Timeout(ureq::Timeout::Resolve | ureq::Timeout::Connect) => true,
        ureq::Error::Io(error) => {
            matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NetworkUnreachable)
        }
        _ => false,
    }
}

/// Why the endpoint's certificate is not accepted, if that is why a request failed. A retry does not help.
pub fn untrusted(error: &ureq::Error) -> Option<String> {
    let error = match error {
        ureq::Error::Rustls(error) => error,
        ureq::Error::Io(error) => error.get_ref()?.downcast_ref()?,
        _ => return None,
    };
    match error {
        rustls::Error::InvalidCertificate(reason) => Some(explain(reason)),
        _ => None,
    }
}

fn explain(reason: &CertificateError) -> String {
    let clock = || {
        let now = Utc::now().format("%Y-%m-%d %H:%M UTC");
        format!("this machine's clock says {now}: if that is wrong, set it")
    };
    match reason {
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("the endpoint's certificate is not valid yet; {}", clock())
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("the endpoint's certificate has expired; {}", clock())
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "the endpoint's certificate comes from an authority that this machine does not \
             trust: install the authority's certificate, or pass it with --ca-file"
                .to_owned()
        }
        reason => format!("the endpoint's certificate is not accepted: {reason}"),
    }
}
