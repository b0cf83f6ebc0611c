//! Tells which other nodes fell silent and which are heard again.

use tracing::{info, warn};

use crate::board::Board;
use crate::machine::State;
use crate::model::{Event, EventKind, InstanceRef, NodeId};
use crate::pubsub::Hub;
use crate::requests::PeerStatus;

/// Logs and publishes what differs from `before`: `+sdown` and `-sdown` of the node, once per group, because a
/// Sentinel has an entry of it in each.
pub(super) fn tell(board: &Board, hub: &Hub, before: &[PeerStatus]) {
    let now = board.status();
    for peer in &now.peers {
        let known = before.iter().find(|known| known.id == peer.id);
        let was_down = known.is_some_and(|known| known.down);
        // A node that was never heard may not have been there yet.
        let heard_once = peer.contact_ms.is_some();
        let was_heard = known.is_some_and(|known| known.contact_ms.is_some());
        match (was_down, peer.down) {
            (false, true) if heard_once => {
                warn!(target: "cfgserver::app", node = peer.id, silent_ms = peer.contact_ms, "node is silent");
                publish(&board.state(), hub, peer.id, EventKind::Down);
            }
            (true, false) => {
                info!(target: "cfgserver::app", node = peer.id, "node is heard");
                if was_heard {
                    publish(&board.state(), hub, peer.id, EventKind::NotDown);
                }
            }
            _ => {}
        }
    }
}

fn publish(state: &State, hub: &Hub, id: NodeId, kind: fn(InstanceRef) -> EventKind) {
    let Some(node) = state.nodes().get(&id) else { return };
    let (host, port) = state.header().shared.told(id, node);
    for group in state.groups_by_name() {
        hub.publish_local(Event {
            revision: None,
            group: Some(group.id),
            kind: kind(InstanceRef::Node {
                group: group.name.clone(),
                my_id: node.my_id.clone(),
                host: host.as_str().into(),
                port: port.as_str().into(),
                primary: group.primary,
            }),
        });
    }
}
