//! PUBLISH: the hellos of Sentinels, and what is remembered of those that watch our groups.
//!
//! Nothing in a hello is ever adopted. But a Sentinel beside us would fail our groups over as well, so that one is
//! heard of is worth a warning.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::machine::State;
use crate::model::{Address, Age, GroupId, Instant};
use crate::requests::{Dials, Effect, Local, Period, Session, View};
use crate::resp::Reply;
use crate::sentinel::errors;

/// Where Sentinels say hello.
const HELLO_CHANNEL: &[u8] = b"__sentinel__:hello";
/// Longest hello that is looked at.
const HELLO_BYTES_MAX: usize = 1024;
/// Longest id; Sentinel's has 40 bytes.
const ID_BYTES_MAX: usize = 64;
/// Sentinels that are remembered per group.
const FOREIGN_MAX: usize = 16;
/// A Sentinel is forgotten when so many of its hellos did not come.
const HELLOS_MISSED_MAX: Age = 30;

/// The hello of a Sentinel that is not ours, about a group that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Which group.
    pub group: GroupId,
    /// The Sentinel's id.
    pub id: String,
    /// Where it listens.
    pub address: Address,
}

pub(super) fn publish(_: &mut Session, view: &View<'_>, args: &[Bytes]) -> Effect {
    if args[1] != HELLO_CHANNEL {
        return Effect::Reply(Reply::error(errors::ONLY_HELLO));
    }
    let heard = Effect::Reply(Reply::Integer(1));
    match parse_hello(&view.state, &args[2]) {
        Some(hello) => Effect::then(Local::Hello(hello), heard),
        None => heard,
    }
}

/// `ip,port,id,current-epoch,group,primary-ip,primary-port,config-epoch`. `None`: malformed, one of our own nodes, or
/// about nothing of ours.
fn parse_hello(state: &State, text: &[u8]) -> Option<Hello> {
    if text.len() > HELLO_BYTES_MAX {
        return None;
    }
    let fields: Vec<&str> = std::str::from_utf8(text).ok()?.split(',').collect();
    let [
        ip,
        port,
        id,
        current_epoch,
        name,
        primary_ip,
        primary_port,
        config_epoch,
    ] = fields.as_slice()
    else {
        return None;
    };
    let id_is_good = (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let epochs_are_good = [current_epoch, config_epoch]
        .iter()
        .all(|epoch| epoch.parse::<u64>().is_ok());
    if !id_is_good || !epochs_are_good || state.nodes().values().any(|node| node.my_id.0.as_ref() == *id) {
        return None;
    }
    let primary = Address::parse(primary_ip, primary_port).ok()?;
    let group = state.group_named(name).or_else(|| state.group_at(primary))?;
    Some(Hello {
        group: group.id,
        id: (*id).to_owned(),
        address: Address::parse(ip, port).ok()?,
    })
}

/// The Sentinels that are not ours and watch our groups, as this node heard of them.
#[derive(Debug, Default)]
pub struct Foreigners(BTreeMap<GroupId, BTreeMap<String, Foreigner>>);

#[derive(Debug)]
struct Foreigner {
    address: Address,
    heard_at: Instant,
}

impl Foreigners {
    /// Remembers a hello. Says whether its Sentinel was not known, or was forgotten.
    pub fn note(&mut self, hello: Hello, state: &State, dials: &Dials, now: Instant) -> bool {
        self.0.retain(|group, _| state.group(*group).is_some());
        let known = self.0.entry(hello.group).or_default();
        let since = forgotten_before(dials, now);
        known.retain(|_, one| one.heard_at >= since);
        let is_new = !known.contains_key(&hello.id);
        if is_new && known.len() >= FOREIGN_MAX {
            return false;
        }
        let address = hello.address;
        known.insert(hello.id, Foreigner { address, heard_at: now });
        is_new
    }

    /// Where the Sentinels listen that watch this group.
    pub fn of(&self, group: GroupId, dials: &Dials, now: Instant) -> Vec<Address> {
        let since = forgotten_before(dials, now);
        let known = self.0.get(&group).into_iter().flat_map(BTreeMap::values);
        known
            .filter(|one| one.heard_at >= since)
            .map(|one| one.address)
            .collect()
    }
}

fn forgotten_before(dials: &Dials, now: Instant) -> Instant {
    let patience_ms = dials.period_ms(Period::Publish).saturating_mul(HELLOS_MISSED_MAX);
    Instant(now.0.saturating_sub(patience_ms))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::machine::{Command, Entry, apply};
    use crate::model::{GroupName, Timestamp};

    fn state() -> State {
        let mut state = State::default();
        let command = Command::Monitor {
            host: None,
            name: GroupName::new("g").unwrap(),
            primary: "10.0.0.1:6379".parse().unwrap(),
            quorum: 1,
            settings: Vec::new(),
        };
        let at = Timestamp(1);
        apply(&mut state, &Entry { command, at });
        state
    }

    fn hello(state: &State, text: &str) -> Option<Hello> {
        parse_hello(state, text.as_bytes())
    }

    #[test]
    fn a_hello_is_heard_when_it_is_whole_and_about_a_group_or_a_primary_of_ours() {
        let state = state();
        assert!(
            hello(&state, "10.0.9.9,26379,abc,0,g,10.0.0.7,6379,0").is_some(),
            "name"
        );
        assert!(
            hello(&state, "10.0.9.9,26379,abc,0,x,10.0.0.1,6379,0").is_some(),
            "address"
        );
        for other in [
            "",
            "10.0.9.9,26379,abc,0,x,10.0.0.7,6379,0",
            "10.0.9.9,26379,abc,0,g,10.0.0.1,6379",
            "10.0.9.9,26379,abc,0,g,10.0.0.1,6379,0,0",
            "10.0.9.9,26379,a c,0,g,10.0.0.1,6379,0",
            "10.0.9.9,26379,,0,g,10.0.0.1,6379,0",
            "10.0.9.9,x,abc,0,g,10.0.0.1,6379,0",
            "10.0.9.9,26379,abc,-1,g,10.0.0.1,6379,0",
            "host,26379,abc,0,g,10.0.0.1,6379,0",
        ] {
            assert_eq!(hello(&state, other), None, "{other}");
        }
    }

    #[test]
    fn foreign_sentinels_are_bounded_and_forgotten() {
        let (state, dials) = (state(), Dials::default());
        let mut foreigners = Foreigners::default();
        let text = |id: usize| format!("10.0.9.9,{},id{id},0,g,10.0.0.1,6379,0", id + 1);
        for id in 0..FOREIGN_MAX {
            let hello = hello(&state, &text(id)).unwrap();
            assert!(foreigners.note(hello.clone(), &state, &dials, Instant(1_000)), "new");
            assert!(!foreigners.note(hello, &state, &dials, Instant(1_000)), "known");
        }
        let one_more = hello(&state, &text(99)).unwrap();
        assert!(!foreigners.note(one_more.clone(), &state, &dials, Instant(1_000)));
        let group = one_more.group;
        assert_eq!(foreigners.of(group, &dials, Instant(61_000)).len(), FOREIGN_MAX);
        assert_eq!(foreigners.of(group, &dials, Instant(61_001)).len(), 0);
        assert!(
            foreigners.note(one_more, &state, &dials, Instant(61_001)),
            "there is room"
        );
    }
}
