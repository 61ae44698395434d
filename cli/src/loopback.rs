//! The listener to which the browser brings the code at the end of a sign-in (RFC 8252 section 7.3).
//!
//! Any page in the user's browser can send requests here while it is open, so it answers one path, one
//! method and one host, and only a request that knows the state ends it.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::failure::{Failure, Outcome};

mod request;

use request::{Reply, Verdict};

/// A sign-in that nobody finished by then is over.
const LIFE: Duration = Duration::from_mins(5);
/// A connection that says nothing is closed.
const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// A browser needs two or three; who needs more is trying states.
const MAX_REQUESTS: usize = 32;
/// Largest request line and header.
const MAX_HEAD: usize = 8 * 1024;

/// The secrets of one sign-in.
pub(crate) struct Secrets {
    /// Proves that the answer belongs to this question.
    pub(crate) state: String,
    /// Proves that who asks for the token is who asked for the code (RFC 7636).
    pub(crate) verifier: String,
}

impl Secrets {
    /// New ones of 256 bits each.
    pub(crate) fn new() -> Self {
        Self { state: secret(), verifier: secret() }
    }

    /// The S256 challenge of the verifier.
    pub(crate) fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.verifier.as_bytes()))
    }
}

fn secret() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// An open listener.
pub(crate) struct Loopback {
    listener: TcpListener,
    port: u16,
}

impl Loopback {
    /// Opens it on a free port of this computer, reachable from this computer only.
    pub(crate) async fn open() -> Outcome<Self> {
        let failed = |error| Failure::failed(format!("cannot listen for the browser: {error}"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        Ok(Self { listener, port })
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Waits for the code.
    pub(crate) async fn code(self, state: &str) -> Outcome<String> {
        timeout(LIFE, self.serve(state)).await.unwrap_or_else(|_| {
            Err(Failure::refused("nobody finished the sign-in in the browser within 5 minutes")
                .hint("run `meshwire login` again"))
        })
    }

    async fn serve(self, state: &str) -> Outcome<String> {
        let state: Arc<str> = state.into();
        let (send, mut verdicts) = mpsc::channel(1);
        let mut open = JoinSet::new();
        let mut accepted = 0;
        loop {
            tokio::select! {
                Some(verdict) = verdicts.recv() => return verdict,
                connection = self.listener.accept(), if accepted < MAX_REQUESTS => {
                    // A browser opens connections that it may never use, so none waits for another.
                    let Ok((stream, _)) = connection else { continue };
                    accepted += 1;
                    let (state, send, port) = (Arc::clone(&state), send.clone(), self.port);
                    open.spawn(async move {
                        if let Some(verdict) = answer(stream, port, &state).await {
                            let _ = send.send(verdict).await;
                        }
                    });
                }
                Some(_) = open.join_next() => {
                    if accepted == MAX_REQUESTS && open.is_empty() {
                        // The last of them may have brought it.
                        return verdicts.try_recv().unwrap_or_else(|_| {
                            Err(Failure::refused("too many requests came instead of the sign-in")
                                .hint("run `meshwire login` again"))
                        });
                    }
                }
            }
        }
    }
}

/// Answers one connection; the verdict, if it was the one that we wait for.
async fn answer(mut stream: TcpStream, port: u16, state: &str) -> Option<Outcome<String>> {
    let (reply, verdict) = match timeout(READ_TIMEOUT, read_head(&mut stream)).await {
        Ok(Ok(Some(head))) => request::judge(&head, port, state),
        Ok(Ok(None)) => (Reply::TOO_LARGE, Verdict::None),
        Ok(Err(_)) => return None,
        Err(_) => (Reply::TOO_SLOW, Verdict::None),
    };
    // The sign-in counts even when the browser does not wait for the page.
    let _ = timeout(READ_TIMEOUT, async {
        stream.write_all(reply.to_http().as_bytes()).await?;
        stream.shutdown().await?;
        // Closing with unread data would reset the connection, and the page with it.
        let mut rest = [0; 1024];
        let mut left = MAX_HEAD;
        while left > 0 {
            match stream.read(&mut rest).await? {
                0 => break,
                read => left = left.saturating_sub(read),
            }
        }
        std::io::Result::Ok(())
    })
    .await;
    match verdict {
        Verdict::None => None,
        Verdict::Code(code) => Some(Ok(code)),
        Verdict::Denied(why) => {
            Some(Err(Failure::refused(format!("the sign-in was refused: {why}"))
                .hint("run `meshwire login` again")))
        }
    }
}

/// Reads up to the empty line; `None` when it is too far away.
async fn read_head(stream: &mut TcpStream) -> std::io::Result<Option<String>> {
    let mut head = Vec::new();
    let mut chunk = [0; 2048];
    loop {
        let read = stream.read(&mut chunk).await?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        head.extend_from_slice(&chunk[..read]);
        if let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") {
            if end > MAX_HEAD {
                return Ok(None);
            }
            head.truncate(end);
            return Ok(Some(String::from_utf8_lossy(&head).into_owned()));
        }
        if head.len() > MAX_HEAD {
            return Ok(None);
        }
    }
}

#[cfg(test)]
mod tests;
