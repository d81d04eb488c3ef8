//! A port of the loopback that a double answers on.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use gwbackup_core::{Error, ErrorKind, Result};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What is answered; without an answer the connection is closed.
pub(super) type Answer = Option<Response<Full<Bytes>>>;
type Handler = dyn Fn(&Parts, &Bytes) -> Answer + Send + Sync;

/// Serves until it is dropped.
#[derive(Debug)]
pub(super) struct Server {
    address: SocketAddr,
    away: watch::Sender<bool>,
}

impl Server {
    /// Binds this port of the loopback, or one that is free for 0.
    pub(super) async fn start(
        port: u16,
        answer: impl Fn(&Parts, &Bytes) -> Answer + Send + Sync + 'static,
    ) -> Result<Self> {
        let failed = |error: std::io::Error| {
            Error::new(ErrorKind::Other, "the double cannot listen on this port").with_source(error)
        };
        let listener = TcpListener::bind(("127.0.0.1", port)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (away, seen) = watch::channel(false);
        let answer: Arc<Handler> = Arc::new(answer);
        let mut gone = seen.clone();
        tokio::spawn(async move {
            loop {
                let stream = tokio::select! {
                    _ = gone.wait_for(|away| *away) => break,
                    accepted = listener.accept() => match accepted {
                        Ok((stream, _)) => stream,
                        Err(_) => continue,
                    },
                };
                tokio::spawn(connection(Arc::clone(&answer), stream, seen.clone()));
            }
        });
        Ok(Self { address, away })
    }

    /// `http://127.0.0.1:PORT`.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.away.send_replace(true);
    }
}

async fn connection(answer: Arc<Handler>, stream: TcpStream, mut away: watch::Receiver<bool>) {
    // Small answers leave at once.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request: Request<Incoming>| async {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(|_| Lost)?.to_bytes();
        answer(&head, &body).ok_or(Lost)
    });
    let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        _ = serving => {}
        _ = away.wait_for(|away| *away) => {}
    }
}

/// An answer that was lost: hyper closes the connection on any error.
#[derive(Debug)]
struct Lost;

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the answer is lost")
    }
}

impl std::error::Error for Lost {}
