//! A connection to a node.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::net::{self, TcpStream};
use crate::resp::{AnswerDecoder, AnswerLimits, Reply, encode_request};

const READ_BYTES: usize = 4 << 10;
/// REPLICAS of a thousand replicas fits; whoever says more is no node.
const LIMITS: AnswerLimits = AnswerLimits {
    depth_max: 4,
    elements_max: 1 << 17,
    line_bytes_max: 4 << 10,
    bulk_bytes_max: 1 << 20,
    answer_bytes_max: 4 << 20,
};

/// A connection. After an error it is of no use.
pub(super) struct Wire {
    stream: TcpStream,
    input: BytesMut,
    decoder: AnswerDecoder,
}

impl Wire {
    /// Connects within `limit`; a host name is resolved now.
    pub(super) async fn connect(host_port: &str, limit: Duration) -> Result<Self, String> {
        let stream = net::connect(host_port, limit)
            .await
            .map_err(|error| error.to_string())?;
        Ok(Self {
            stream,
            input: BytesMut::new(),
            decoder: AnswerDecoder::new(LIMITS),
        })
    }

    /// The other end.
    pub(super) fn peer(&self) -> Result<SocketAddr, String> {
        self.stream.peer_addr().map_err(|error| error.to_string())
    }

    /// Sends requests in one write.
    pub(super) async fn send(&mut self, requests: &[Vec<Bytes>]) -> Result<(), String> {
        let mut output = BytesMut::new();
        for request in requests {
            encode_request(request, &mut output);
        }
        self.stream.write_all(&output).await.map_err(|error| error.to_string())
    }

    /// The next reply. May be dropped while it waits, and called again.
    pub(super) async fn next(&mut self) -> Result<Reply, String> {
        loop {
            let reply = self.decoder.decode(&mut self.input);
            if let Some(reply) = reply.map_err(|error| format!("what it sends is no RESP2: {error}"))? {
                if self.input.is_empty() {
                    self.input = BytesMut::new();
                }
                return Ok(reply);
            }
            self.input.reserve(READ_BYTES);
            let read = self.stream.read_buf(&mut self.input).await;
            if read.map_err(|error| error.to_string())? == 0 {
                return Err("it closed the connection".to_owned());
            }
        }
    }

    /// Sends requests and waits for all their replies, at most `limit`. Not for a subscribed connection.
    pub(super) async fn call(&mut self, requests: &[Vec<Bytes>], limit: Duration) -> Result<Vec<Reply>, String> {
        let exchange = async {
            self.send(requests).await?;
            let mut replies = Vec::with_capacity(requests.len());
            for _ in requests {
                replies.push(self.next().await?);
            }
            Ok(replies)
        };
        match tokio::time::timeout(limit, exchange).await {
            Ok(done) => done,
            Err(_) => Err(format!("no answer within {} ms", limit.as_millis())),
        }
    }
}

/// A request from words.
pub(super) fn request(words: &[&str]) -> Vec<Bytes> {
    words
        .iter()
        .map(|word| Bytes::copy_from_slice(word.as_bytes()))
        .collect()
}
