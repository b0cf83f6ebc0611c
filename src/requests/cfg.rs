//! CFG: the cluster itself. Its nodes, and who leads them.

use bytes::Bytes;

use crate::model::{Node, NodeId, NodeRole};
use crate::requests::changes::write;
use crate::requests::client::parse_integer;
use crate::requests::info::role_name as raft_role_name;
use crate::requests::{AdminRequest, Effect, Session, View, Write, spec};
use crate::resp::Reply;
use crate::sentinel::{errors, node_role_name};

pub(super) fn help(_: &mut Session, _: &View<'_>, _: &[Bytes]) -> Effect {
    spec::help("cfg")
}

pub(super) fn node(_: &mut Session, _: &View<'_>, args: &[Bytes]) -> Effect {
    let request = match (args[2].to_ascii_lowercase().as_slice(), &args[3..]) {
        (b"add", [id, address]) => parse_add(id, address),
        (b"remove", [id]) => parse_id(id).map(|id| AdminRequest::RemoveNode { id }),
        _ => Err(errors::subcommand_shape("CFG", &args[2])),
    };
    admin(request)
}

pub(super) fn leader(_: &mut Session, _: &View<'_>, args: &[Bytes]) -> Effect {
    let request = match (args[2].to_ascii_lowercase().as_slice(), &args[3..]) {
        (b"transfer", []) => Ok(AdminRequest::TransferLeader { to: None }),
        (b"transfer", [id]) => parse_id(id).map(|id| AdminRequest::TransferLeader { to: Some(id) }),
        _ => Err(errors::subcommand_shape("CFG", &args[2])),
    };
    admin(request)
}

fn admin(request: Result<AdminRequest, Reply>) -> Effect {
    match request {
        Ok(request) => write(Write::Admin(request)),
        Err(refusal) => Effect::Reply(refusal),
    }
}

fn parse_add(id: &[u8], address: &[u8]) -> Result<AdminRequest, Reply> {
    let id = parse_id(id)?;
    let wrong = || Reply::error(errors::INVALID_NODE_ADDRESS);
    let address = std::str::from_utf8(address).map_err(|_| wrong())?;
    let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
    let port_is_good = port.parse::<u16>().is_ok_and(|port| port != 0);
    let host_is_good = !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
    if !port_is_good || !host_is_good {
        return Err(wrong());
    }
    Ok(AdminRequest::AddNode {
        id,
        address: address.to_owned(),
    })
}

fn parse_id(id: &[u8]) -> Result<NodeId, Reply> {
    let id = parse_integer(id).filter(|id| *id > 0);
    id.and_then(|id| NodeId::try_from(id).ok())
        .ok_or(Reply::error(errors::INVALID_NODE_ID))
}

/// A map per node. A node that is not in a cluster yet shows itself.
pub(super) fn nodes(_: &mut Session, view: &View<'_>, _: &[Bytes]) -> Effect {
    let nodes = view.state.nodes();
    if nodes.is_empty() {
        let me = Node {
            address: view.node.listen.clone(),
            my_id: view.node.my_id.clone(),
            ..Node::default()
        };
        return Effect::Reply(Reply::Array(vec![node_entry(view, view.node.id, &me)]));
    }
    let entries = nodes.iter().map(|(id, node)| node_entry(view, *id, node));
    Effect::Reply(Reply::Array(entries.collect()))
}

fn node_entry(view: &View<'_>, id: NodeId, node: &Node) -> Reply {
    let me = id == view.node.id;
    let peer = view.peer(id);
    let unknown = || "-1".to_owned();
    let leads = view.node.leader == Some(id);
    let last_applied = if me {
        view.node.last_applied.to_string()
    } else {
        let matched = peer.and_then(|peer| peer.matched);
        matched.map_or_else(unknown, |matched| matched.to_string())
    };
    let contact_ms = if me {
        "0".to_owned()
    } else {
        let contact_ms = peer.and_then(|peer| peer.contact_ms);
        contact_ms.map_or_else(unknown, |ms| ms.to_string())
    };
    let raft_role = match (me, leads, node.role) {
        (true, _, _) => raft_role_name(view.node.role),
        (false, true, _) => "leader",
        (false, false, NodeRole::Voter) => "follower",
        (false, false, NodeRole::Learner) => "learner",
    };
    let down = view.peer_is_down(id);
    let fields = [
        ("id", id.to_string()),
        ("address", node.address.clone()),
        ("role", node_role_name(node.role).to_owned()),
        ("leader", u8::from(leads).to_string()),
        ("raft-role", raft_role.to_owned()),
        ("last-applied", last_applied),
        ("contact-ms", contact_ms),
        ("down", u8::from(down).to_string()),
        ("me", u8::from(me).to_string()),
        ("my-id", node.my_id.to_string()),
        ("incarnation", node.incarnation.clone()),
    ];
    let fields = fields
        .into_iter()
        .map(|(name, value)| (Reply::bulk(name), Reply::bulk(value)));
    Reply::Map(fields.collect())
}
