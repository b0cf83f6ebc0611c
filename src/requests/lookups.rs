//! SENTINEL requests that ask, and ROLE. They are answered from what this node has applied and sees.

use std::sync::Arc;

use bytes::Bytes;

use crate::failover::held_back;
use crate::model::{Address, Group, HostName, Instant, Sighting};
use crate::requests::client::parse_integer;
use crate::requests::told::ListKind;
use crate::requests::{Effect, Face, Session, View, lists, spec};
use crate::resp::Reply;
use crate::script::{Pending, Turn};
use crate::sentinel::errors::{self, Missed};
use crate::sentinel::{Held, Moment, NodeEntry, PrimaryEntry, ReplicaEntry};

pub(super) fn my_id(_: &mut Session, view: &View<'_>, _: &[Bytes]) -> Effect {
    Effect::Reply(Reply::bulk(view.node.my_id.0.as_ref()))
}

pub(super) fn role(_: &mut Session, view: &View<'_>, _: &[Bytes]) -> Effect {
    let names = view
        .state
        .groups_by_name()
        .map(|group| Reply::bulk(group.name.as_str()));
    Effect::Reply(Reply::Array(vec![
        Reply::bulk("sentinel"),
        Reply::Array(names.collect()),
    ]))
}

pub(super) fn get_master_address(session: &mut Session, view: &View<'_>, args: &[Bytes]) -> Effect {
    let Some(group) = group_named(view, &args[2]) else {
        session.looked_up_in_vain(view, &args[2]);
        return Effect::Reply(Reply::NullArray);
    };
    session.looked_up(view, &group);
    let place = group.told_primary(view.naming(session.face()));
    Effect::Reply(match place.host {
        None => Reply::Endpoint(place.address.into()),
        Some(host) => Reply::Array(Reply::bulks([host.to_string(), place.address.port.to_string()])),
    })
}

pub(super) fn master(session: &mut Session, view: &View<'_>, args: &[Bytes]) -> Effect {
    let Some(group) = group_named(view, &args[2]) else {
        session.looked_up_in_vain(view, &args[2]);
        return Effect::Reply(Reply::error(errors::NO_SUCH_MASTER));
    };
    session.looked_up(view, &group);
    Effect::Reply(primary_entry(view, session.face(), &group))
}

pub(super) fn masters(session: &mut Session, view: &View<'_>, _: &[Bytes]) -> Effect {
    session.asked_for_list(ListKind::Maps);
    session.listed(view);
    let face = session.face();
    let entries = || {
        let groups: Vec<_> = view.state.groups_by_name().collect();
        groups.into_iter().map(|group| primary_entry(view, face, group))
    };
    Effect::Reply(lists::masters(session, view, entries))
}

fn primary_entry(view: &View<'_>, face: Face, group: &Group) -> Reply {
    PrimaryEntry {
        group,
        naming: view.naming(face),
        sighting: view.sightings.sighting(group.id, group.primary).as_ref(),
        other_nodes: view.other_nodes().count(),
        electorate: view.electorate_size(),
        revision: view.state.revision(),
        foreign: view.sightings.foreign_sentinels(group.id, view.now),
        held: held(view, group),
        moment: moment(view),
    }
    .render()
}

/// What would hold an automatic failover back, and for how much longer.
fn held(view: &View<'_>, group: &Group) -> Option<Held> {
    let now = view.state.time(view.wall);
    held_back(group, now).map(|held| Held {
        why: held.to_string(),
        left_ms: held.left_ms(now),
    })
}

pub(super) fn replicas(session: &mut Session, view: &View<'_>, args: &[Bytes]) -> Effect {
    let naming = view.naming(session.face());
    with_group(view, &args[2], |group| {
        let mut entries = Vec::new();
        for (address, member) in group.replicas() {
            let sighting = view.sightings.sighting(group.id, *address);
            let entry = ReplicaEntry {
                group,
                address: *address,
                naming,
                member,
                sighting: sighting.as_ref(),
                moment: moment(view),
            };
            if entry.announced() {
                entries.push(entry.render());
            }
        }
        Reply::Array(entries)
    })
}

pub(super) fn sentinels(_: &mut Session, view: &View<'_>, args: &[Bytes]) -> Effect {
    with_group(view, &args[2], |group| {
        let entries = view.other_nodes().map(|(id, node)| {
            let peer = view.peer(*id);
            NodeEntry {
                id: *id,
                node,
                told: view.state.header().shared.told(*id, node),
                down: view.peer_is_down(*id),
                contact_ms: peer.and_then(|peer| peer.contact_ms),
                leads: view.node.leader == Some(*id),
                down_after_ms: group.config.down_after_ms,
            }
            .render()
        });
        Reply::Array(entries.collect())
    })
}

/// Counts the nodes that judge and are not known to be down. A quorum that can never be reached is told here.
pub(super) fn check_quorum(_: &mut Session, view: &View<'_>, args: &[Bytes]) -> Effect {
    with_group(view, &args[2], |group| {
        let electorate = view.electorate_size();
        let up = |id: &u64| *id == view.node.id || !view.peer_is_down(*id);
        let usable = match view.state.electorate().count() {
            0 => 1,
            _ => view.state.electorate().filter(up).count(),
        };
        let quorum_missed = usable < group.config.quorum as usize;
        let majority_missed = usable < electorate / 2 + 1;
        if quorum_missed || majority_missed {
            return errors::no_quorum(usable, Missed::from(quorum_missed), Missed::from(majority_missed));
        }
        let text = format!("OK {usable} usable Sentinels. Quorum and failover authorization can be reached");
        Reply::Simple(text.into())
    })
}

/// Answers as a Sentinel that is asked for no vote. Nodes of this cluster vote otherwise.
pub(super) fn is_master_down(_: &mut Session, view: &View<'_>, args: &[Bytes]) -> Effect {
    let (Some(port), Some(_)) = (parse_integer(&args[3]), parse_integer(&args[4])) else {
        return Effect::Reply(Reply::error(errors::NOT_AN_INTEGER));
    };
    let host = String::from_utf8_lossy(&args[2]);
    let asked = Address::parse(&host, &port.to_string()).ok();
    let down = asked
        .or_else(|| primary_named(view, &host, port))
        .is_some_and(|address| sees_primary_down(view, address));
    Effect::Reply(Reply::Array(vec![
        Reply::Integer(i64::from(down)),
        Reply::bulk("*"),
        Reply::Integer(0),
    ]))
}

/// The primary that has this host name.
fn primary_named(view: &View<'_>, host: &str, port: i64) -> Option<Address> {
    let host = HostName::new(host).ok()?;
    let port = u16::try_from(port).ok()?;
    let mut groups = view.state.groups();
    let is_it = |group: &&Arc<Group>| group.member_named(&host, port) == Some(group.primary);
    groups.find(is_it).map(|group| group.primary)
}

fn sees_primary_down(view: &View<'_>, address: Address) -> bool {
    let group = view.state.group_at(address).filter(|group| group.primary == address);
    let sighting = group.and_then(|group| view.sightings.sighting(group.id, address));
    view.node.stalled_since.is_none() && sighting.is_some_and(|sighting| sighting.verdict.is_down())
}

/// Per group that there is: its name, then the primary's INFO and those of the replicas, each with its age.
pub(super) fn info_cache(_: &mut Session, view: &View<'_>, args: &[Bytes]) -> Effect {
    let mut groups: Vec<Arc<Group>> = Vec::new();
    for group in args[2..].iter().filter_map(|name| group_named(view, name)) {
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    let mut replies = Vec::new();
    for group in groups {
        let replicas = group.replicas().map(|(address, _)| *address);
        let addresses = std::iter::once(group.primary).chain(replicas);
        let cached = addresses.map(|address| cached_info(view, view.sightings.sighting(group.id, address)));
        replies.push(Reply::bulk(group.name.as_str()));
        replies.push(Reply::Array(cached.collect()));
    }
    Effect::Reply(Reply::Array(replies))
}

fn cached_info(view: &View<'_>, sighting: Option<Sighting>) -> Reply {
    let sighting = sighting.unwrap_or_default();
    let age_ms = sighting.facts_at.map_or(0, |at| view.now.since(at));
    let info = sighting.info.map_or(Reply::Null, Reply::bulk);
    Reply::Array(vec![Reply::Integer(i64::try_from(age_ms).unwrap_or(i64::MAX)), info])
}

pub(super) fn pending_scripts(_: &mut Session, view: &View<'_>, _: &[Bytes]) -> Effect {
    let scripts = view.scripts.iter().map(|script| pending_script(script, view.now));
    Effect::Reply(Reply::Array(scripts.collect()))
}

fn pending_script(script: &Pending, now: Instant) -> Reply {
    let number = |number: u64| Reply::bulk(number.to_string());
    let (state, process, period, ms) = match script.turn {
        Turn::Runs(since, process) => ("running", process.unwrap_or(0), "run-time", now.since(since)),
        Turn::Waits(due) => ("scheduled", 0, "run-delay", due.since(now)),
    };
    let pair = |name: &'static str, value: Reply| (Reply::bulk(name), value);
    Reply::Map(vec![
        pair(
            "argv",
            Reply::Array(script.words.iter().map(|word| Reply::bulk(word.as_str())).collect()),
        ),
        pair("flags", Reply::bulk(state)),
        pair("pid", number(process.into())),
        pair(period, number(ms)),
        pair("retry-num", number(script.tries.into())),
    ])
}

pub(super) fn flush_config(_: &mut Session, _: &View<'_>, _: &[Bytes]) -> Effect {
    Effect::Reply(Reply::OK)
}

pub(super) fn help(_: &mut Session, _: &View<'_>, _: &[Bytes]) -> Effect {
    spec::help("sentinel")
}

/// The group of that name.
pub(super) fn group_named(view: &View<'_>, name: &[u8]) -> Option<Arc<Group>> {
    let name = std::str::from_utf8(name).ok()?;
    view.state.group_named(name).cloned()
}

fn with_group(view: &View<'_>, name: &[u8], answer: impl FnOnce(&Group) -> Reply) -> Effect {
    Effect::Reply(match group_named(view, name) {
        Some(group) => answer(&group),
        None => Reply::error(errors::NO_SUCH_MASTER),
    })
}

fn moment(view: &View<'_>) -> Moment {
    Moment {
        now: view.now,
        wall: view.state.time(view.wall),
    }
}
