//! The real cluster behind a server: Raft carries out writes, the peer transport takes over its connections.

use bytes::BytesMut;
use futures_util::future::BoxFuture;

use crate::net::TcpStream;
use crate::peer::Acceptor;
use crate::raft::Handle;
use crate::requests::{Write, WriteError, WriteReply};
use crate::resp::Request;

use super::{Peers, Writes};

impl Writes for Handle {
    fn write(&self, write: Write) -> BoxFuture<'static, Result<WriteReply, WriteError>> {
        let handle = self.clone();
        Box::pin(async move { Handle::write(&handle, write).await })
    }
}

impl Peers for Acceptor {
    fn is_peer_request(&self, name: &[u8]) -> bool {
        Self::is_peer_request(name)
    }

    fn serve(&self, stream: TcpStream, buffered: BytesMut, first: Request) -> BoxFuture<'static, ()> {
        let acceptor = self.clone();
        Box::pin(async move { Self::serve(&acceptor, stream, buffered, first).await })
    }
}
