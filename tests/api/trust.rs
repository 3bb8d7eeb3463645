use crate::support::app::{TestApp, event};
use dev::dynamodb::URL;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// A certificate authority.
fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Starts a TLS proxy for the database, with a certificate for `host` that `authority` has signed. Returns its port.
async fn start_tls(host: &str, authority: &CertifiedIssuer<'_, KeyPair>) -> u16 {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([host.to_owned()]).unwrap();
    let certificate = certificate.signed_by(&key, authority).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::from(key))
        .unwrap();
    let tls = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (peer, _) = listener.accept().await.unwrap();
            let tls = tls.clone();
            tokio::spawn(async move {
                let mut peer = tls.accept(peer).await?;
                let database = URL.strip_prefix("http://").unwrap();
                let mut database = TcpStream::connect(database).await?;
                copy_bidirectional(&mut peer, &mut database).await
            });
        }
    });
    port
}

/// Writes a PEM file; returns its path.
fn write(name: &str, pem: &str) -> String {
    let path = format!("{}/{name}.pem", env!("CARGO_TARGET_TMPDIR"));
    std::fs::write(&path, pem).unwrap();
    path
}

// C6.2: heartbeats are sent only to a peer whose certificate is for the endpoint's host and by a trusted authority.
#[tokio::test]
async fn heartbeats_are_sent_only_to_a_trusted_peer() {
    let [own, other] = [authority(), authority()];
    let [own_bundle, other_bundle] =
        [("own", &own), ("other", &other)].map(|(name, authority)| write(name, &authority.pem()));
    for (host, bundle, status) in [
        ("localhost", own_bundle.as_str(), 200),
        ("localhost", &other_bundle, 503),
        ("elsewhere.example", &own_bundle, 503),
        // Without a bundle, Amazon's roots are trusted.
        ("localhost", "", 503),
    ] {
        let url = format!("https://localhost:{}", start_tls(host, &own).await);
        let settings = [("AWS_ENDPOINT_URL_DYNAMODB", &*url), ("AWS_CA_BUNDLE", bundle)];
        let app = TestApp::start_with(&settings).await;
        let answer = app.send(&event("heartbeat")).await;
        assert_eq!(answer.status, status, "{host}, {bundle:?}: {:?}", app.log.take());
        assert_eq!(app.servers().await.len(), usize::from(status == 200), "{host}, {bundle:?}");
    }
}

// C6.4: a peer that accepts connections and never answers the handshake.
#[tokio::test]
async fn a_handshake_ends_at_the_connect_timeout() {
    let silent = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("https://{}", silent.local_addr().unwrap());
    let settings = [("AWS_ENDPOINT_URL_DYNAMODB", &*url), ("CONNECT_TIMEOUT_MS", "200")];
    let app = TestApp::start_with(&settings).await;
    let started = Instant::now();
    assert_eq!(app.send(&event("heartbeat")).await.status, 503);
    assert!(started.elapsed() < Duration::from_secs(15), "the connect timeout was not applied");
}
