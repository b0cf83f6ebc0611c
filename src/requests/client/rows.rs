//! The rows of CLIENT LIST, read back: who is meant by a filter.

use crate::resp::Reply;
use crate::sentinel::errors;

/// What filters look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Row<'a> {
    /// Its number.
    pub(super) id: u64,
    /// Who it is: `ip:port`.
    pub(super) address: &'a str,
    /// Where it was accepted: `ip:port`.
    pub(super) local: &'a str,
    flags: &'a str,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Normal,
    /// It subscribes.
    Subscriber,
    /// Another node: what a replica is to a Redis.
    Peer,
    /// There is never one.
    Master,
}

impl Kind {
    pub(super) fn parse(name: &[u8]) -> Result<Self, Reply> {
        Ok(match name.to_ascii_lowercase().as_slice() {
            b"normal" => Self::Normal,
            b"pubsub" => Self::Subscriber,
            b"replica" | b"slave" => Self::Peer,
            b"master" => Self::Master,
            _ => return Err(errors::client_type(name)),
        })
    }
}

impl<'a> Row<'a> {
    pub(super) fn parse(line: &'a str) -> Self {
        let mut row = Self::default();
        for word in line.split_ascii_whitespace() {
            match word.split_once('=') {
                Some(("id", id)) => row.id = id.parse().unwrap_or_default(),
                Some(("addr", address)) => row.address = address,
                Some(("laddr", local)) => row.local = local,
                Some(("flags", flags)) => row.flags = flags,
                _ => {}
            }
        }
        row
    }

    pub(super) fn kind(&self) -> Kind {
        if self.flags.contains('S') {
            Kind::Peer
        } else if self.flags.contains('P') {
            Kind::Subscriber
        } else {
            Kind::Normal
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_back_whatever_the_client_calls_itself() {
        let row = Row::parse("id=7 addr=1.2.3.4:5 laddr=1.2.3.4:26379 fd=-1 name=flags=P age=0 flags=t db=0");
        assert_eq!((row.id, row.address, row.local), (7, "1.2.3.4:5", "1.2.3.4:26379"));
        assert_eq!(row.kind(), Kind::Normal);
        assert_eq!(Row::parse("id=8 flags=Pt").kind(), Kind::Subscriber);
        assert_eq!(Row::parse("id=9 flags=S").kind(), Kind::Peer);
    }
}
