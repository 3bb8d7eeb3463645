//! The connection to the endpoint: where the machine's own tools get through, it does.

use anyhow::{Context, anyhow, ensure};
use chrono::Utc;
use rustls::CertificateError;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::env;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use ureq::http::Uri;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Proxy};

/// The time limit of one attempt.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// # Errors
/// If it is not an `http` or `https` URL with a host.
pub fn parse_url(text: &str) -> anyhow::Result<Uri> {
    let url = text.parse().ok().filter(|url: &Uri| {
        let has_host = url.host().is_some_and(|host| !host.is_empty());
        has_host && matches!(url.scheme_str(), Some("http" | "https"))
    });
    url.ok_or_else(|| anyhow!("{text:?} is not an http or https URL"))
}

/// An HTTP client that keeps its connection from one heartbeat to the next and never follows a redirect.
///
/// # Errors
/// If a proxy or a certificate cannot be used.
pub fn connect(url: &Uri, ca_file: Option<&Path>, interval: Duration) -> anyhow::Result<Agent> {
    let is_secure = url.scheme_str() == Some("https");
    // ureq alone would use either proxy for both.
    let proxy = proxy(if is_secure {
        "HTTPS_PROXY"
    } else {
        "HTTP_PROXY"
    })?;
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_idle_age(interval + TIMEOUT)
        .proxy(proxy);
    if is_secure {
        let provider = rustls::crypto::ring::default_provider();
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(provider))
            .root_certs(RootCerts::new_with_certs(&authorities(ca_file)?));
        config = config.tls_config(tls.build());
    }
    Ok(config.build().new_agent())
}

/// The proxy that a variable names, in capitals or not, except for the hosts of `NO_PROXY`.
fn proxy(name: &str) -> anyhow::Result<Option<Proxy>> {
    let variable = |name: &str| {
        let value = env::var(name).or_else(|_| env::var(name.to_ascii_lowercase()));
        value.ok().filter(|value| !value.is_empty())
    };
    let Some(url) = variable(name) else {
        return Ok(None);
    };
    let invalid = || format!("{name} is not the URL of a proxy");
    let proxy = Proxy::new(&url).with_context(invalid)?;
    let mut builder = Proxy::builder(proxy.protocol())
        .host(proxy.host())
        .port(proxy.port());
    if let Some(user) = proxy.username() {
        builder = builder.username(user);
    }
    if let Some(password) = proxy.password() {
        builder = builder.password(password);
    }
    for host in variable("NO_PROXY")
        .iter()
        .flat_map(|hosts| hosts.split(','))
    {
        builder = builder.no_proxy(host.trim());
    }
    builder.build().with_context(invalid).map(Some)
}

/// The authorities of the system's store, and those of a file.
fn authorities(ca_file: Option<&Path>) -> anyhow::Result<Vec<Certificate<'static>>> {
    let mut roots = rustls_native_certs::load_native_certs().certs;
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
    let roots = roots
        .iter()
        .map(|root| Certificate::from_der(root).to_owned());
    Ok(roots.collect())
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
