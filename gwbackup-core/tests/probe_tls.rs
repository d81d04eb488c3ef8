//! Calls to a data plane by TLS: server names, authorities, certificates of callers.

#![allow(clippy::unwrap_used, reason = "a failure here fails the test")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gwbackup_core::probe::{Caller as _, HttpCaller, HttpOptions, Request, Response, Scheme};
use gwbackup_core::{Context, ErrorKind, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

/// An authority; a certificate by it for `*.shop.example`, `localhost` and 127.0.0.1; and one for a
/// caller with its key. Made with openssl, good for a hundred years; they prove nothing elsewhere.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls").join(name)
}

/// A data plane that says for which server name and host it was called; its address.
async fn node(wants_certificate: bool) -> String {
    let certificate = CertificateDer::from_pem_file(fixture("node.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(fixture("node-key.pem")).unwrap();
    let config = ServerConfig::builder();
    let config = if wants_certificate {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(fixture("authority.pem")).unwrap()).unwrap();
        config
            .with_client_cert_verifier(WebPkiClientVerifier::builder(roots.into()).build().unwrap())
    } else {
        config.with_no_client_auth()
    };
    let config = config.with_single_cert(vec![certificate], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://127.0.0.1:{}", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // A caller who does not trust it, or is not trusted, gets no answer.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let Ok(byte) = stream.read_u8().await else { break };
                head.push(byte);
            }
            let head = String::from_utf8(head).unwrap().to_lowercase();
            let host = head.lines().find_map(|line| line.strip_prefix("host: "));
            let name = stream.get_ref().1.server_name().unwrap_or("none");
            let body = format!("{name} {}", host.unwrap_or_default());
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
            );
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    url
}

async fn call(options: HttpOptions, host: Option<&str>) -> Result<Response> {
    let mut request = Request::get("/");
    (request.scheme, request.host) = (Scheme::Https, host.map(str::to_owned));
    let cx = Context::new();
    HttpCaller::new(options)?.call(&cx, &request).await
}

fn options(url: &str, ca: Option<&str>, identity: Option<&str>) -> HttpOptions {
    let mut options = HttpOptions::default().at(url.parse().unwrap()).unwrap();
    (options.ca, options.identity) = (ca.map(fixture), identity.map(fixture));
    options
}

#[tokio::test]
async fn the_host_of_a_request_is_the_server_name_and_is_verified() {
    let url = node(false).await;
    let trusted = || options(&url, Some("authority.pem"), None);
    let port = url.rsplit(':').next().unwrap();
    let answer = call(trusted(), Some("pay.shop.example")).await.unwrap();
    let wanted = format!("pay.shop.example pay.shop.example:{port}");
    assert_eq!((answer.status, String::from_utf8(answer.body).unwrap()), (200, wanted));
    let answer = call(trusted(), None).await.unwrap();
    assert_eq!(String::from_utf8(answer.body).unwrap(), format!("none 127.0.0.1:{port}"));
    for (options, host) in
        [(options(&url, None, None), "pay.shop.example"), (trusted(), "pay.other.example")]
    {
        let error = call(options, Some(host)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    }
}

#[tokio::test]
async fn a_caller_shows_its_certificate_where_one_is_wanted() {
    let url = node(true).await;
    let call = |identity| call(options(&url, Some("authority.pem"), identity), None);
    assert_eq!(call(Some("identity.pem")).await.unwrap().status, 200);
    assert_eq!(call(None).await.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn files_that_hold_nothing_of_the_kind_are_named() {
    for (ca, identity, file) in [
        (Some("node-key.pem"), None, "node-key.pem"),
        (None, Some("authority.pem"), "authority.pem"),
        (None, Some("none.pem"), "none.pem"),
    ] {
        let error = HttpCaller::new(options("https://127.0.0.1:1", ca, identity)).unwrap_err();
        assert!(error.to_string().contains(file), "{error}");
    }
}
