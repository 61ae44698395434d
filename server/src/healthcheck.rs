//! `meshwire-server healthcheck`: asks the server on this computer whether it is there, for containers that hold
//! neither a shell nor curl.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::users::reachable;

/// How long the whole question may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// More than the head of the answer to `GET /health` has.
const MOST: usize = 16 * 1024;

/// Asks the server that listens on this address.
///
/// # Errors
/// When the port is not known, when nobody answers in time, or when the answer is not 200.
pub fn run(bind: SocketAddr) -> Result<()> {
    ensure!(
        bind.port() != 0,
        "MESHWIRE_BIND: with a free port ({bind}) nobody knows where the server is"
    );
    let address = reachable(bind);
    let line = status_line(address)
        .with_context(|| format!("the server at http://{address} does not answer"))?;
    let mut words = line.split(' ');
    match (words.next(), words.next()) {
        (Some("HTTP/1.1"), Some("200")) => Ok(()),
        _ => bail!("http://{address}/health answers {line:?}"),
    }
}

/// The first line of the answer to `GET /health`.
fn status_line(address: SocketAddr) -> io::Result<String> {
    let deadline = Instant::now() + PATIENCE;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // Formatted first: `write!` to a socket sends each piece by itself.
    let request = format!("GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    while !answer.contains(&b'\n') && answer.len() < MOST {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        let mut part = [0; 1024];
        match stream.read(&mut part)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => answer.extend_from_slice(&part[..read]),
        }
    }
    let line = answer.split(|&byte| byte == b'\n').next().unwrap_or_default();
    Ok(String::from_utf8_lossy(line).trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};
    use std::thread;

    use super::*;

    /// What the check says of a server that answers each connection with these bytes and closes it.
    fn check(answer: &'static [u8]) -> Result<(), String> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let serving = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            // The whole request is read: a socket closed over unread bytes resets what it has just answered.
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut part = [0; 1024];
                let read = stream.read(&mut part).expect("a request");
                assert_ne!(
                    read,
                    0,
                    "{:?} is not a whole request",
                    String::from_utf8_lossy(&request)
                );
                request.extend_from_slice(&part[..read]);
            }
            assert!(request.starts_with(b"GET /health HTTP/1.1\r\n"));
            stream.write_all(answer).expect("written");
        });
        let checked = run(address).map_err(|error| format!("{error:#}"));
        serving.join().expect("served");
        checked
    }

    #[test]
    fn only_200_is_well() {
        assert_eq!(check(b"HTTP/1.1 200 OK\r\n\r\n"), Ok(()));
        let error = check(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").expect_err("unwell");
        assert!(error.contains("503 Service Unavailable"), "{error}");
        for other in [&b"HTTP/1.1 2000\r\n"[..], b"SSH-2.0\r\n", b"HTTP/1.1 200", b""] {
            check(other).expect_err("unwell");
        }
    }

    #[test]
    fn nobody_there_is_unwell() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        let error = format!("{:#}", run(address).expect_err("nobody"));
        assert!(error.contains("does not answer"), "{error}");
        let error = format!("{:#}", run(([127, 0, 0, 1], 0).into()).expect_err("which port?"));
        assert!(error.contains("MESHWIRE_BIND"), "{error}");
    }

    #[test]
    fn a_silent_server_is_unwell_in_time() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let started = Instant::now();
        run(listener.local_addr().expect("an address")).expect_err("silent");
        assert!(started.elapsed() < 10 * PATIENCE, "{:?}", started.elapsed());
    }
}
