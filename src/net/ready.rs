//! Reading and writing what a socket is ready for, without a buffer of one's own for input: thousands of connections are
//! idle most of the time.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;

use bytes::{Buf, BytesMut};

use super::{TcpStream, poll_readable, read_arrived};

/// What one read takes at most.
const ARRIVED_BYTES_MAX: usize = 16 << 10;

thread_local! {
    static CHUNK: RefCell<Box<[u8; ARRIVED_BYTES_MAX]>> = RefCell::new(Box::new([0; ARRIVED_BYTES_MAX]));
}

/// Resolves when there is something to read, an end or an error included. One task waits for that at a time.
pub async fn readable(stream: &TcpStream) -> io::Result<()> {
    poll_fn(|context| poll_readable(stream, context)).await
}

/// Puts what has arrived behind `input`, and says how many bytes that is: `None` when nothing has, 0 when the other
/// side has said all that it will say.
pub fn take_arrived(stream: &TcpStream, input: &mut BytesMut) -> io::Result<Option<usize>> {
    CHUNK.with_borrow_mut(|chunk| match read_arrived(stream, chunk.as_mut_slice()) {
        Ok(count) => {
            input.extend_from_slice(&chunk[..count]);
            Ok(Some(count))
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(None),
        Err(error) => Err(error),
    })
}

/// Sends what the socket takes, and says how many bytes that is.
pub fn send_ready(stream: &TcpStream, output: &mut impl Buf) -> io::Result<usize> {
    let before = output.remaining();
    while output.has_remaining() {
        match stream.try_write(output.chunk()) {
            Ok(count) => output.advance(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(before - output.remaining())
}
