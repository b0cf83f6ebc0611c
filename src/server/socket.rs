//! The outgoing half of a socket: sending what it takes, and ending so that the last reply arrives.

use std::io;
use std::time::Duration;

use bytes::{Buf, BytesMut};

use crate::net::{self, TcpStream};
use crate::resp::{Protocol, Reply, encode};

use super::Shared;

/// How long a closed connection is read on, so that its last reply is not lost to a reset.
const LINGER: Duration = Duration::from_millis(500);

/// Says `error` and closes, in such a way that it arrives.
pub(super) async fn close_with(stream: &TcpStream, error: &str, shared: &Shared) {
    let mut output = BytesMut::new();
    let error = Reply::error(error.to_owned());
    encode(&error, Protocol::Resp2, &mut output);
    shared.counters.error_reply();
    let sent = tokio::time::timeout(LINGER, async {
        while !output.is_empty() {
            stream.writable().await?;
            write(stream, &mut output, shared)?;
        }
        io::Result::Ok(())
    });
    if matches!(sent.await, Ok(Ok(()))) {
        linger(stream).await;
    }
}

/// Turns away somebody of whom nothing was read yet. An old proxy ends itself when a connection is ended just after
/// it was accepted; a reset it takes for a server that is not there.
pub(super) fn turn_away(stream: TcpStream) {
    // Where that cannot be set the connection is gone already.
    let _ = net::reset(&stream);
    drop(stream);
}

/// Sends what the socket takes.
pub(super) fn write(stream: &TcpStream, output: &mut impl Buf, shared: &Shared) -> io::Result<()> {
    let count = net::send_ready(stream, output)?;
    shared.counters.output(count);
    Ok(())
}

/// Says that nothing more will come, and reads on for a moment: a socket that is closed with unread bytes is
/// reset, and a reset can overtake the last reply.
pub(super) async fn linger(stream: &TcpStream) {
    if net::finish(stream).is_err() {
        return;
    }
    let rest = async {
        let mut chunk = [0; 4096];
        while stream.readable().await.is_ok() {
            match stream.try_read(&mut chunk) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    };
    // Time is up: whoever still sends does not wait for an answer.
    let _ = tokio::time::timeout(LINGER, rest).await;
}
