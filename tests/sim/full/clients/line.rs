//! A RESP connection to a node or an instance.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use cfgserver::net::{TcpStream, connect};
use cfgserver::resp::{AnswerDecoder, AnswerLimits, Reply, encode_request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// How long a connection may take.
const CONNECT_LIMIT: Duration = Duration::from_millis(1_000);

pub(super) struct Line {
    stream: TcpStream,
    input: BytesMut,
    decoder: AnswerDecoder,
}

impl Line {
    pub(super) async fn connect(to: SocketAddr) -> io::Result<Self> {
        Ok(Self {
            stream: connect(&to.to_string(), CONNECT_LIMIT).await?,
            input: BytesMut::new(),
            decoder: AnswerDecoder::new(AnswerLimits::INSTANCE),
        })
    }

    pub(super) async fn send(&mut self, request: &str) -> io::Result<()> {
        let words: Vec<&str> = request.split(' ').collect();
        let mut output = BytesMut::new();
        encode_request(&words, &mut output);
        self.stream.write_all(&output).await
    }

    /// The next reply or message. Can be dropped while it waits.
    pub(super) async fn next(&mut self) -> io::Result<Reply> {
        loop {
            let decoded = self.decoder.decode(&mut self.input);
            if let Some(reply) = decoded.map_err(io::Error::other)? {
                return Ok(reply);
            }
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    pub(super) async fn next_within(&mut self, ms: u64) -> io::Result<Reply> {
        let limit = Duration::from_millis(ms);
        let timed_out = |_| io::Error::from(io::ErrorKind::TimedOut);
        tokio::time::timeout(limit, self.next()).await.map_err(timed_out)?
    }

    pub(super) async fn ask(&mut self, request: &str, ms: u64) -> io::Result<Reply> {
        self.send(request).await?;
        self.next_within(ms).await
    }
}

/// What a reply says as text.
pub(super) fn text(reply: &Reply) -> Option<String> {
    match reply {
        Reply::Bulk(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Reply::Simple(text) => Some(text.to_string()),
        _ => None,
    }
}

pub(super) async fn sleep_ms(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}
