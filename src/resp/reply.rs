//! A reply as a value, before it is known whether the client speaks RESP2 or RESP3.

use std::borrow::Cow;
use std::net::SocketAddr;

use bytes::Bytes;

/// Which version of RESP a connection speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// Until HELLO 3.
    #[default]
    Resp2,
    /// After HELLO 3.
    Resp3,
}

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// `+text`; CR and LF in it are replaced by spaces when it is encoded.
    Simple(Cow<'static, str>),
    /// `-text`, the code included (`ERR ...`); CR and LF in it are replaced by spaces when it is encoded.
    Error(Cow<'static, str>),
    /// `:n`
    Integer(i64),
    /// `$n`
    Bulk(Bytes),
    /// `$-1`, or `_` in RESP3.
    Null,
    /// `*-1`, or `_` in RESP3.
    NullArray,
    /// `*n`
    Array(Vec<Reply>),
    /// `~n`, or an array in RESP2.
    Set(Vec<Reply>),
    /// `%n`, or a flat array of twice the length in RESP2.
    Map(Vec<(Reply, Reply)>),
    /// `>n`, or an array in RESP2.
    Push(Vec<Reply>),
    /// `=n txt:`, or a bulk string in RESP2.
    Verbatim(Bytes),
    /// Several replies in a row (SUBSCRIBE of several channels).
    Many(Vec<Reply>),
    /// Where something listens, as an array of two bulk strings: its IP address and its port. The answer to the lookups
    /// that come by the thousand, so it is put together without anything in between.
    Endpoint(SocketAddr),
    /// Bytes that are already encoded.
    Raw(Bytes),
}

impl Reply {
    /// No bytes at all: a request that is not to be answered.
    pub const NOTHING: Self = Self::Many(Vec::new());

    /// `+OK`
    pub const OK: Self = Self::Simple(Cow::Borrowed("OK"));

    /// A bulk string from text.
    pub fn bulk(text: impl AsRef<[u8]>) -> Self {
        Self::Bulk(Bytes::copy_from_slice(text.as_ref()))
    }

    /// Bulk strings.
    pub fn bulks(texts: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Vec<Self> {
        texts.into_iter().map(Self::bulk).collect()
    }

    /// An error; `text` starts with its code.
    pub fn error(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Error(text.into())
    }
}
