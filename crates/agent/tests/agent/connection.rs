//! TLS with a company's own authority, proxies, and a wrong clock.

use crate::support::{Endpoint, Received, agent, serve, status};
use dev::command::{has, run, stop, wait_until};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// An endpoint behind TLS, with a certificate of its own authority.
pub struct SecureEndpoint {
    pub url: String,
    /// A PEM file with the authority's certificate.
    pub authority: String,
    pub received: Arc<Mutex<Vec<Received>>>,
    /// While this is set, every connection is closed before the handshake.
    pub is_down: Arc<AtomicBool>,
    /// Connections so far.
    connections: Arc<Mutex<usize>>,
}

impl SecureEndpoint {
    pub fn start(name: &str) -> Self {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let authority = CertifiedIssuer::self_signed(authority, key).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut certificate = CertificateParams::new(["localhost".to_owned()]).unwrap();
        certificate.not_before = rcgen::date_time_ymd(2020, 1, 1);
        let certificate = certificate.signed_by(&key, &authority).unwrap();
        let file = format!("{}/{name}.pem", env!("CARGO_TARGET_TMPDIR"));
        fs::write(&file, authority.pem()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::from(key))
            .unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let endpoint = Self {
            url: format!("https://localhost:{port}/api/v1/agents/heartbeat"),
            authority: file,
            received: Arc::default(),
            is_down: Arc::default(),
            connections: Arc::default(),
        };
        let is_down = endpoint.is_down.clone();
        let (config, received) = (Arc::new(config), endpoint.received.clone());
        let connections = endpoint.connections.clone();
        thread::spawn(move || {
            for peer in listener.incoming() {
                *connections.lock().unwrap() += 1;
                if is_down.load(Ordering::SeqCst) {
                    continue;
                }
                let (config, received) = (config.clone(), received.clone());
                thread::spawn(move || {
                    let tls = ServerConnection::new(config).unwrap();
                    serve(StreamOwned::new(tls, peer.unwrap()), &received, &|_, _| status(200));
                });
            }
        });
        endpoint
    }

    fn agent(&self) -> Command {
        let mut command = agent();
        command
            .args(["--once", "--interval", "10", "--url", &self.url])
            .env("HEARTBEAT_API_KEY", "key-1")
            // A store of its own, in which no authority is that of the endpoint.
            .env("SSL_CERT_FILE", other_authority());
        command
    }
}

/// The store of a machine that trusts another authority.
fn other_authority() -> String {
    let file = format!("{}/other-{:?}.pem", env!("CARGO_TARGET_TMPDIR"), thread::current().id());
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, "another authority");
    let key = KeyPair::generate().unwrap();
    fs::write(&file, params.self_signed(&key).unwrap().pem()).unwrap();
    file
}

#[test]
fn an_authority_of_the_systems_store_or_of_a_file_is_trusted() {
    let endpoint = SecureEndpoint::start("trusted");
    let by_store = run(endpoint.agent().env("SSL_CERT_FILE", &endpoint.authority));
    assert_eq!(by_store.code, 0, "{by_store:?}");
    let by_file = run(endpoint.agent().args(["--ca-file", &endpoint.authority]));
    assert_eq!(by_file.code, 0, "{by_file:?}");
    assert_eq!(endpoint.received.lock().unwrap().len(), 2);
}

#[test]
fn an_untrusted_certificate_is_said_at_once_and_not_retried() {
    let endpoint = SecureEndpoint::start("untrusted");
    let run = run(&mut endpoint.agent());
    assert_eq!(run.code, 1);
    let reason =
        "an authority that this machine does not trust: install the authority's certificate";
    assert!(run.stderr.contains(reason), "{run:?}");
    assert_eq!(*endpoint.connections.lock().unwrap(), 1);
    assert_eq!(endpoint.received.lock().unwrap().len(), 0);
}

#[test]
fn a_ca_file_that_cannot_be_used_is_said_at_once() {
    let endpoint = SecureEndpoint::start("unusable");
    for (content, reason) in [(None, "cannot be read"), (Some("nothing"), "holds no certificate")] {
        let file = format!("{}/unusable-{}.pem", env!("CARGO_TARGET_TMPDIR"), content.is_some());
        if let Some(content) = content {
            fs::write(&file, content).unwrap();
        }
        let run = run(endpoint.agent().args(["--ca-file", &file]));
        assert_eq!(run.code, 1);
        assert!(run.stderr.contains(&file) && run.stderr.contains(reason), "{run:?}");
    }
}

#[test]
fn a_clock_of_1970_is_named_as_the_cause() {
    if !has("faketime") {
        return;
    }
    let endpoint = SecureEndpoint::start("clock");
    let run = run(Command::new("faketime")
        .arg("1970-01-02 00:00:00")
        .arg(env!("CARGO_BIN_EXE_heartbeat-agent"))
        .args(["--once", "--interval", "10", "--url", &endpoint.url])
        .args(["--ca-file", &endpoint.authority])
        .env("HEARTBEAT_API_KEY", "key-1"));
    assert_eq!(run.code, 1);
    let reason = "is not valid yet; this machine's clock says 1970-01-0";
    assert!(run.stderr.contains(reason), "{run:?}");
}

#[test]
fn an_authority_that_is_renewed_is_trusted_without_a_restart() {
    let endpoint = SecureEndpoint::start("renewed");
    let file = format!("{}/renewed-by-file.pem", env!("CARGO_TARGET_TMPDIR"));
    // Renewed is the file of the system's store, or the operator's own.
    for variable in [true, false] {
        let before = endpoint.received.lock().unwrap().len();
        fs::copy(other_authority(), &file).unwrap();
        let mut agent = agent();
        agent.args(["--interval", "1", "--url", &endpoint.url]).env("HEARTBEAT_API_KEY", "key-1");
        if variable {
            agent.env("SSL_CERT_FILE", &file);
        } else {
            agent.args(["--ca-file", &file]).env("SSL_CERT_FILE", other_authority());
        }
        let mut child = agent.stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        said.read_line(&mut line).unwrap();
        assert!(line.contains("an authority that this machine does not trust"), "{line}");
        fs::write(&file, "half of a").unwrap();
        fs::copy(&endpoint.authority, &file).unwrap();
        wait_until("heartbeats", || endpoint.received.lock().unwrap().len() >= before + 2);
        stop(child);
    }
}

/// A proxy that passes on what it gets; returns its URL and the requests for a tunnel or a resource that it got.
fn proxy() -> (String, Arc<Mutex<Vec<String>>>) {
    proxy_that_rejects(Arc::default())
}

/// A proxy that rejects what it gets while this is set.
pub fn proxy_that_rejects(rejects: Arc<AtomicBool>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let shared = asked.clone();
    thread::spawn(move || {
        for peer in listener.incoming() {
            let (mut peer, shared) = (peer.unwrap(), shared.clone());
            if rejects.load(Ordering::SeqCst) {
                let _ = peer.write_all(b"HTTP/1.1 503 S\r\ncontent-length: 0\r\n\r\n");
                let _ = std::io::copy(&mut peer, &mut std::io::sink());
                continue;
            }
            thread::spawn(move || tunnel(peer, &shared));
        }
    });
    (url, asked)
}

fn tunnel(mut peer: TcpStream, asked: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(peer.try_clone().unwrap());
    let mut request = String::new();
    reader.read_line(&mut request).unwrap();
    asked.lock().unwrap().push(request.trim().to_owned());
    let target = request.split(' ').nth(1).unwrap();
    let target = target.strip_prefix("http://").unwrap_or(target);
    let target = target.split('/').next().unwrap();
    let mut upstream = TcpStream::connect(target).unwrap();
    if request.starts_with("CONNECT ") {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if line.trim().is_empty() {
                break;
            }
        }
        peer.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
    } else {
        upstream.write_all(request.as_bytes()).unwrap();
    }
    let mut down = upstream.try_clone().unwrap();
    let mut peer_down = peer.try_clone().unwrap();
    thread::spawn(move || {
        let _ = std::io::copy(&mut down, &mut peer_down);
    });
    let _ = std::io::copy(&mut reader, &mut upstream);
}

// C13.12
#[test]
fn https_has_its_own_proxy_and_http_on_this_machine_none() {
    let plain = Endpoint::start(vec![]);
    let secure = SecureEndpoint::start("proxied");
    let no_proxy = ("NO_PROXY", "localhost,127.0.0.1");
    for (is_secure, variable, extra, is_used) in [
        (true, "HTTPS_PROXY", None, true),
        (true, "https_proxy", None, true),
        (true, "HTTP_PROXY", None, false),
        (true, "HTTPS_PROXY", Some(no_proxy), false),
        (false, "HTTP_PROXY", None, false),
        (false, "http_proxy", None, false),
        (false, "HTTPS_PROXY", None, false),
        (false, "ALL_PROXY", None, false),
    ] {
        let (url, asked) = proxy();
        let mut agent = if is_secure { secure.agent() } else { plain.agent() };
        if is_secure {
            agent.args(["--ca-file", &secure.authority]);
        } else {
            agent.arg("--once");
        }
        agent.env(variable, &url).envs(extra);
        let run = run(&mut agent);
        let case = (is_secure, variable, extra);
        assert_eq!(run.code, 0, "{case:?}: {run:?}");
        assert_eq!(!asked.lock().unwrap().is_empty(), is_used, "{case:?}");
    }
}

#[test]
fn a_proxy_that_cannot_be_used_stops_the_start_and_is_named() {
    let endpoint = SecureEndpoint::start("unusable-proxy");
    let kind = |kind| {
        format!("HTTPS_PROXY: a proxy of the kind {kind} cannot be used, only http and https")
    };
    let invalid = || "HTTPS_PROXY is not the URL of a proxy".to_owned();
    for (proxy, reason) in [
        ("http://", invalid()),
        ("ftp://127.0.0.1:9", invalid()),
        ("socks5://127.0.0.1:9", kind("SOCKS5")),
        ("socks4://127.0.0.1:9", kind("SOCKS4")),
        ("socks5h://user:secret@127.0.0.1:9", kind("SOCKS5h")),
    ] {
        let rejected = run(endpoint.agent().env("HTTPS_PROXY", proxy));
        assert_eq!(rejected.code, 1, "{rejected:?}");
        let told = format!("error: {reason}");
        let is_told = rejected.stderr.starts_with(&told) && !rejected.stderr.contains("secret");
        assert!(is_told, "{rejected:?}");
        let mut exempt = endpoint.agent();
        exempt.args(["--ca-file", &endpoint.authority]).env("HTTPS_PROXY", proxy);
        let run = run(exempt.env("no_proxy", "example.com, localhost, 127.0.0.1"));
        assert_eq!(run.code, 0, "{run:?}");
    }
}

#[test]
fn an_empty_name_of_a_store_is_an_absent_one() {
    let endpoint = SecureEndpoint::start("empty-store");
    let run = run(endpoint.agent().env("SSL_CERT_FILE", ""));
    // This machine's own authorities are there, and none of them is that of the endpoint.
    assert!(
        run.stderr.contains("comes from an authority that this machine does not trust"),
        "{run:?}"
    );
}

// A rejection is said once, with what to change, and not every minute.
#[test]
fn a_rejection_says_what_to_change_once() {
    let mut script = vec![status(401); 3];
    script.extend([status(403), status(401), status(200), status(401)]);
    let endpoint = Endpoint::start(script);
    let child = endpoint
        .agent()
        .args(["--interval", "1"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    dev::command::wait_until("heartbeats", || endpoint.received().len() >= 8);
    let run = stop(child);
    let said: Vec<_> = run.stderr.lines().map(|line| &line[..23]).collect();
    let expected =
        ["heartbeat not sent: 401", "heartbeat not sent: 403", "heartbeat not sent: 401"];
    assert_eq!(said, expected, "{run:?}");
    assert!(
        run.stderr.contains("the key is unknown, expired or revoked: give this server a new one")
    );
}
