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

/// Longest hello that is looked at.
const HELLO_BYTES_MAX: usize = 1024;
/// Longest id; Sentinel's has 40 bytes.
const ID_BYTES_MAX: usize = 64;
/// Sentinels that are remembered per group.
const FOREIGN_MAX: usize = 16;
/// A Sentinel is forgotten when so many of its hellos did not come,
const HELLOS_MISSED_MAX: Age = 30;
/// and it was not found on the primary when that was looked at so often.
const LOOKS_MISSED_MAX: Age = 3;

/// The hello of a Sentinel that is not ours, about a group that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Which group.
    pub group: GroupId,
    /// The Sentinel's id, or the beginning of it.
    pub id: String,
    /// Where it listens. Port 0: that is not known, only from where it connects.
    pub address: Address,
}

/// The channel on which Sentinels say hello, on instances as well.
pub const SENTINELS_CHANNEL: &str = "__sentinel__:hello";

pub(super) fn publish(_: &mut Session, view: &View<'_>, args: &[Bytes]) -> Effect {
    if args[1] != SENTINELS_CHANNEL {
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
        // Connections are named by the beginning of an id, and do not tell where their Sentinel listens.
        let same = |id: &&String| id.starts_with(&hello.id) || hello.id.starts_with(id.as_str());
        let before = known.keys().find(same).cloned();
        let is_new = before.is_none();
        if is_new && known.len() >= FOREIGN_MAX {
            return false;
        }
        match before {
            Some(id) if hello.address.port == 0 => {
                if let Some(one) = known.get_mut(&id) {
                    one.heard_at = now;
                }
                return false;
            }
            Some(id) => _ = known.remove(&id),
            None => {}
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
    let hellos_ms = dials.period_ms(Period::Publish).saturating_mul(HELLOS_MISSED_MAX);
    let looks_ms = dials.period_ms(Period::Info).saturating_mul(LOOKS_MISSED_MAX);
    let patience_ms = hellos_ms.max(looks_ms);
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
    fn a_sentinel_that_is_found_on_an_instance_is_the_one_that_says_hello() {
        let (state, dials) = (state(), Dials::default());
        let mut foreigners = Foreigners::default();
        let said = hello(&state, "10.0.9.9,26379,abcdef0123,0,g,10.0.0.1,6379,0").unwrap();
        let found = |id: &str| Hello {
            id: id.to_owned(),
            address: Address {
                port: 0,
                ..said.address
            },
            ..said.clone()
        };
        let shown = |foreigners: &Foreigners, now| foreigners.of(said.group, &dials, Instant(now));
        assert!(foreigners.note(found("abcdef01"), &state, &dials, Instant(1)));
        assert_eq!(shown(&foreigners, 1), [found("").address]);
        assert!(!foreigners.note(said.clone(), &state, &dials, Instant(2)), "the same");
        assert_eq!(shown(&foreigners, 2), [said.address]);
        assert!(!foreigners.note(found("abcdef01"), &state, &dials, Instant(60_000)));
        assert_eq!(shown(&foreigners, 100_000), [said.address], "it was seen since");
        assert!(
            foreigners.note(found("abcdef99"), &state, &dials, Instant(100_000)),
            "another one"
        );
    }

    #[test]
    fn foreign_sentinels_are_bounded_and_forgotten() {
        let (state, dials) = (state(), Dials::default());
        let mut foreigners = Foreigners::default();
        let text = |id: usize| format!("10.0.9.9,{},id{id:02},0,g,10.0.0.1,6379,0", id + 1);
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
