//! CFG EXPLAIN: why a group is not failed over, or how far its failover is. The leader knows best; without one, a node
//! tells what it sees itself.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::detect::Tally;
use crate::failover::{Memory, Scene, explain};
use crate::model::{Address, Group, GroupName, Sighting};
use crate::requests::lookups::group_named;
use crate::requests::{Effect, Session, View, Write, WriteError, WriteReply};
use crate::resp::Reply;
use crate::sentinel::errors;

pub(super) fn group(_: &mut Session, view: &View<'_>, args: &[Bytes]) -> Effect {
    let name = GroupName::new(&args[2]).ok();
    let (Some(name), Some(group)) = (name, group_named(view, &args[2])) else {
        return Effect::Reply(Reply::error(errors::NO_SUCH_MASTER));
    };
    let own = by_this_node(view, &group);
    if view.node.leader.is_none() {
        return Effect::Reply(lines(own));
    }
    Effect::Write {
        write: Write::Explain { name },
        render: Box::new(|result| match result {
            Ok(WriteReply::Told(told)) => lines(told),
            Err(WriteError::NoSuchGroup) => Reply::error(errors::NO_SUCH_MASTER),
            _ => lines(own),
        }),
    }
}

fn lines(lines: Vec<String>) -> Reply {
    Reply::Array(lines.into_iter().map(Reply::bulk).collect())
}

/// What this node knows without the leader.
fn by_this_node(view: &View<'_>, group: &Group) -> Vec<String> {
    let seen = |address: &Address| Some((*address, view.sightings.sighting(group.id, *address)?));
    let sightings: BTreeMap<Address, Sighting> = group.members.keys().filter_map(seen).collect();
    let scene = Scene {
        group,
        sightings: &sightings,
        tally: &Tally::default(),
        elsewhere: view.state.as_ref(),
        node: view.node.id,
        wall: view.state.time(view.wall),
    };
    let mut told = vec!["no leader can be reached: nothing is decided now; this is what one node knows".to_owned()];
    told.extend(explain(&scene, &Memory::new(view.now), None, view.now));
    told
}
