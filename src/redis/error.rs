//! What can go wrong with an instance on the other side.

use std::io;

use crate::detect::InfoError;
use crate::model::RunId;
use crate::resp::AnswerError;

/// Why a link gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Nobody listens there, or it resets new connections.
    #[error("connection refused")]
    Refused,
    /// The other side closed or reset the connection.
    #[error("connection closed")]
    Closed,
    /// No answer within the limit. The connection is of no use any more.
    #[error("timed out")]
    TimedOut,
    /// It does not speak RESP, or too much of it.
    #[error("protocol error: {0}")]
    Protocol(String),
    /// It refused our user or password; what it said.
    #[error("{0}")]
    Auth(String),
    /// Anything else the system said.
    #[error("{0}")]
    Other(String),
}

impl LinkError {
    /// The error of an attempt to connect.
    pub(super) fn connecting(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => Self::Refused,
            io::ErrorKind::TimedOut => Self::TimedOut,
            _ => Self::Other(error.to_string()),
        }
    }

    /// The error of a connection that was established.
    pub(super) fn connected(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::NotConnected => Self::Closed,
            io::ErrorKind::TimedOut => Self::TimedOut,
            _ => Self::Other(error.to_string()),
        }
    }
}

impl From<AnswerError> for LinkError {
    fn from(error: AnswerError) -> Self {
        Self::Protocol(error.to_string())
    }
}

/// Why an order was not carried out, or why that is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// The link failed. After the order was written its effect is unknown: only a sighting tells.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// Another process answers at the address. Nothing was sent.
    #[error("another process answers: {found}")]
    OtherProcess {
        /// Its run id.
        found: RunId,
    },
    /// The fence said no. Nothing was sent.
    #[error("lease lost")]
    LeaseLost,
    /// The instance refused the order; what it said.
    #[error("refused: {0}")]
    Refused(String),
    /// Its INFO cannot be read.
    #[error(transparent)]
    Info(#[from] InfoError),
}
