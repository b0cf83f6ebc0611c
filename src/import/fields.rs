//! Replies taken apart. A stranger may sit behind an address: nothing in them is taken for granted.

use crate::model::{Address, GroupName};
use crate::resp::Reply;

/// Why a reply is of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Useless {
    /// The other side said no.
    #[error("it answers -{0}")]
    Refused(String),
    /// It will soon be another one.
    #[error("it is not ready: {0}")]
    NotYet(String),
    /// It makes no sense.
    #[error("{0}")]
    Nonsense(&'static str),
}

/// A flat array of names and values.
pub(super) struct Fields<'a>(&'a [Reply]);

impl<'a> Fields<'a> {
    pub(super) fn of(reply: &'a Reply) -> Result<Self, Useless> {
        match reply {
            Reply::Array(items) if items.len() % 2 == 0 => Ok(Self(items)),
            _ => Err(Useless::Nonsense("an entry is no list of names and values")),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        let pair = self.0.chunks_exact(2).find(|pair| text(&pair[0]) == Some(name))?;
        text(&pair[1])
    }

    pub(super) fn name(&self) -> Result<GroupName, Useless> {
        let name = self.get("name").and_then(|name| GroupName::new(name).ok());
        name.ok_or(Useless::Nonsense(
            "a group has a name that cannot be taken over: 1 to 255 bytes of printable ASCII without space and comma",
        ))
    }

    pub(super) fn address(&self) -> Option<Address> {
        Address::parse(self.get("ip")?, self.get("port")?).ok()
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }
}

pub(super) fn text(reply: &Reply) -> Option<&str> {
    match reply {
        Reply::Bulk(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}

/// The elements of a list.
pub(super) fn list<'a>(reply: &'a Reply, what: &'static str) -> Result<&'a [Reply], Useless> {
    match reply {
        Reply::Array(items) => Ok(items),
        Reply::Error(text) => Err(refusal(text)),
        _ => Err(Useless::Nonsense(what)),
    }
}

/// An error reply.
pub(super) fn refusal(text: &str) -> Useless {
    match text.starts_with("LOADING") {
        true => Useless::NotYet(printable(text)),
        false => Useless::Refused(printable(text)),
    }
}

/// What a stranger says is repeated in one line, and not at length.
pub(super) fn printable(text: &str) -> String {
    const LETTERS_MAX: usize = 160;
    let shown = |letter: char| if letter.is_control() { ' ' } else { letter };
    text.chars().take(LETTERS_MAX).map(shown).collect()
}
