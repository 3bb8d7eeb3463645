//! The connection to the endpoint: where the machine's own tools get through, it does.

use crate::print;
use anyhow::{Context, anyhow, ensure};
use chrono::Utc;
use rustls::CertificateError;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls_native_certs::load_certs_from_paths;
use std::cell::RefCell;
use std::env;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use syntax::url::{InvalidUrl, address, parse_private};
use ureq::http::Uri;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Proxy, ProxyProtocol};

/// The time limit of one attempt.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// # Errors
/// If it is not an `https` URL with a host, or an `http` URL of this machine: elsewhere, the key would travel in clear.
pub fn parse_url(text: &str) -> anyhow::Result<Uri> {
    parse_private(text).map_err(|error| match error {
        InvalidUrl::Insecure => anyhow!("{text:?}: {error}"),
        InvalidUrl::Form | InvalidUrl::Scheme => anyhow!("{text:?} is not an http or https URL"),
    })
}

/// An HTTP client that keeps its connection from one heartbeat to the next and never follows a redirect. It trusts what the
/// files of authorities hold now.
pub struct Connection {
    url: Uri,
    ca_file: Option<PathBuf>,
    interval: Duration,
    /// Where authorities may change: files and folders.
    stores: Vec<PathBuf>,
    client: RefCell<(Agent, Vec<Stamp>)>,
}

/// What tells a file from what it is later: its number and the time of its last change.
type Stamp = Option<(u64, i64, i64)>;

impl Connection {
    /// # Errors
    /// If a proxy or a certificate cannot be used.
    pub fn new(url: Uri, ca_file: Option<PathBuf>, interval: Duration) -> anyhow::Result<Self> {
        let (file, folders) = system_store();
        let stores: Vec<_> = ca_file.clone().into_iter().chain(file).chain(folders).collect();
        let client = (connect(&url, ca_file.as_deref(), interval)?, stamps(&stores));
        Ok(Self { url, ca_file, interval, stores, client: RefCell::new(client) })
    }

    /// The client, made anew if a file has changed. Files that cannot be used change nothing, until they change again.
    pub fn http(&self) -> Agent {
        let stamps = stamps(&self.stores);
        let mut client = self.client.borrow_mut();
        if stamps != client.1 {
            client.1 = stamps;
            match connect(&self.url, self.ca_file.as_deref(), self.interval) {
                Ok(new) => client.0 = new,
                Err(reason) => {
                    print::message(format_args!("the same authorities are trusted: {reason:#}"));
                }
            }
        }
        client.0.clone()
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Stamp> {
    let stamp = |file: &PathBuf| {
        let file = file.metadata().ok()?;
        Some((file.ino(), file.ctime(), file.ctime_nsec()))
    };
    files.iter().map(stamp).collect()
}

fn connect(url: &Uri, ca_file: Option<&Path>, interval: Duration) -> anyhow::Result<Agent> {
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

/// The proxy for a URL, from the environment, in capitals or not: none for `http`, which is for this machine only. ureq alone
/// would use any variable for any URL.
fn proxy(url: &Uri) -> anyhow::Result<Option<Proxy>> {
    const NAME: &str = "HTTPS_PROXY";
    let in_either_case =
        |name: &str| variable(name).or_else(|| variable(&name.to_ascii_lowercase()));
    let Some(text) = in_either_case(NAME).filter(|_| url.scheme_str() == Some("https")) else {
        return Ok(None);
    };
    if in_either_case("NO_PROXY").is_some_and(|hosts| is_exempt(url, &hosts)) {
        return Ok(None);
    }
    let proxy = Proxy::new(&text);
    let proxy = proxy.with_context(|| format!("{NAME} is not the URL of a proxy"))?;
    ensure!(
        matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https),
        "{NAME}: a proxy of the kind {} cannot be used, only http and https",
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

/// The system's store, or what `SSL_CERT_FILE` and `SSL_CERT_DIR` name instead: a file and folders.
fn system_store() -> (Option<PathBuf>, Vec<PathBuf>) {
    let file = variable("SSL_CERT_FILE").map(PathBuf::from);
    let folders = variable("SSL_CERT_DIR");
    if file.is_some() || folders.is_some() {
        let folders = folders.iter().flat_map(env::split_paths).collect();
        return (file, folders);
    }
    let found = openssl_probe::probe();
    (found.cert_file, found.cert_dir)
}

fn system_authorities() -> Vec<CertificateDer<'static>> {
    let (file, folders) = system_store();
    let mut roots = load_certs_from_paths(file.as_deref(), None).certs;
    roots.extend(folders.iter().flat_map(|folder| load_certs_from_paths(None, Some(folder)).certs));
    // A folder usually holds what the file holds.
    roots.sort_unstable_by(|one, other| one.as_ref().cmp(other.as_ref()));
    roots.dedup();
    roots
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_ipv6_is_exempt_in_each_of_its_forms() {
        let url = "https://[::1]:9/x".parse().expect("a URL");
        for (hosts, expected) in [
            ("::1", true),
            ("[::1]", true),
            ("example.com, 0:0:0:0:0:0:0:1", true),
            ("*", true),
            ("::2", false),
        ] {
            assert_eq!(is_exempt(&url, hosts), expected, "{hosts}");
        }
    }
}
