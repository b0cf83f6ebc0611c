//! What the proxy's file should say. Pure.
//!
//! What does not live here: the bytes (`template`), and reading or writing them.

use std::collections::{BTreeMap, BTreeSet};

use super::status::{Move, Unfollowed};
use crate::agent::{Kind, Table};
use crate::model::{Address, GroupName};
use crate::template::{Dialect, Placement, Server, Template};

/// Which server of a file follows which group.
#[derive(Clone, Debug, Default)]
pub(super) struct Following {
    /// Index of the server -> group.
    pub(super) groups: BTreeMap<usize, String>,
    /// The others.
    pub(super) unfollowed: Vec<Unfollowed>,
}

/// What the file should say, and what that changes.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) text: String,
    pub(super) moves: Vec<Move>,
    /// Whether the present file says something else about a server that is followed.
    pub(super) differs: bool,
    /// Servers that cannot be put where their group is, and stay where they were.
    pub(super) stuck: Vec<Unfollowed>,
}

pub(super) fn dialect(kind: Kind) -> Dialect {
    match kind {
        Kind::Nutcracker => Dialect::Nutcracker,
        Kind::Bdrp => Dialect::Bdrp,
    }
}

/// `pool/server`, as status and hook name it.
pub(super) fn full_name(server: &Server) -> String {
    format!("{}/{}", server.pool, server.name.as_deref().unwrap_or(&server.address))
}

impl Following {
    /// By the operator's mapping (`pool/server` before `server`), else by name. BDRP's own names are `pool-server`.
    pub(super) fn of(template: &Template, kind: Kind, names: &BTreeMap<String, String>) -> Self {
        let mut following = Self::default();
        let mut unused: BTreeSet<&String> = names.keys().collect();
        for (index, server) in template.servers().iter().enumerate() {
            let full = full_name(server);
            let name = server.name.clone().unwrap_or_default();
            let mapped = [&full, &name].into_iter().find(|key| names.contains_key(*key));
            unused.retain(|key| Some(*key) != mapped);
            let group = match (mapped, kind) {
                (Some(key), _) => names[key].clone(),
                (None, Kind::Nutcracker) => name,
                (None, Kind::Bdrp) => format!("{}-{name}", server.pool),
            };
            let reason = match (server.fixed(), GroupName::new(&group)) {
                (Some(why), _) => why.to_owned(),
                (None, Err(error)) => format!("'{group}' can be no group: {error}"),
                (None, Ok(_)) => {
                    following.groups.insert(index, group);
                    continue;
                }
            };
            following.unfollowed.push(Unfollowed { server: full, reason });
        }
        let strangers = unused.into_iter().map(|key| Unfollowed {
            server: key.clone(),
            reason: "[groups] names it, but the file has no such server".to_owned(),
        });
        following.unfollowed.extend(strangers);
        following
    }
}

/// Makes the text. `present` is the file that the proxy has now: a server whose group is not in the table keeps the
/// address that it has there.
pub(super) fn plan(
    template: &Template,
    kind: Kind,
    following: &Following,
    present: Option<&Template>,
    table: &Table,
) -> Result<Plan, String> {
    let now: BTreeMap<(&str, Option<&str>), &Server> = present
        .into_iter()
        .flat_map(Template::servers)
        .map(|server| ((server.pool.as_str(), server.name.as_deref()), server))
        .collect();
    let mut placements = BTreeMap::new();
    let mut stuck = Vec::new();
    for (index, group) in &following.groups {
        let server = &template.servers()[*index];
        let has = now.get(&(server.pool.as_str(), server.name.as_deref())).copied();
        let wanted = wanted(kind, group, table);
        let wanted = wanted.map_err(|reason| {
            let server = full_name(server);
            stuck.push(Unfollowed { server, reason });
        });
        if let Some(placement) = wanted.ok().flatten().or_else(|| has.and_then(|has| kept(kind, has))) {
            placements.insert(*index, placement);
        }
    }
    let text = render(template, &mut placements, &mut stuck)?;
    let mut moves = Vec::new();
    let mut differs = false;
    for (index, placement) in &placements {
        let server = &template.servers()[*index];
        let has = now.get(&(server.pool.as_str(), server.name.as_deref())).copied();
        differs |= has.is_none_or(|has| !is_placed(has, placement));
        let before = has.unwrap_or(server);
        let group = &following.groups[index];
        if let Some(route) = table.routes.get(group)
            && before.primary() != Some(placement.primary)
        {
            moves.push(Move {
                group: group.clone(),
                server: Some(full_name(server)),
                from: Some(before.address.clone()),
                to: placement.primary.to_string(),
                version: route.version,
            });
        }
    }
    Ok(Plan {
        text,
        moves,
        differs,
        stuck,
    })
}

/// Where the table has a group; an error when the proxy cannot be told.
fn wanted(kind: Kind, group: &str, table: &Table) -> Result<Option<Placement>, String> {
    let Some(route) = table.routes.get(group) else {
        return Ok(None);
    };
    let replicas = match kind {
        Kind::Nutcracker => None,
        Kind::Bdrp if route.primary.ip.is_ipv6() => {
            return Err(format!(
                "its primary is {}, this proxy does not survive IPv6",
                route.primary
            ));
        }
        Kind::Bdrp => {
            let fit = |replica: &&Address| replica.ip.is_ipv4() && **replica != route.primary;
            Some(route.replicas.iter().filter(fit).copied().collect())
        }
    };
    Ok(Some(Placement {
        primary: route.primary,
        replicas,
    }))
}

/// Where the present file has a server, as far as it has IP addresses.
fn kept(kind: Kind, has: &Server) -> Option<Placement> {
    let addresses = has.replica_addresses();
    let whole = kind == Kind::Bdrp && addresses.len() == has.replicas.len();
    Some(Placement {
        primary: has.primary()?,
        replicas: whole.then_some(addresses),
    })
}

/// One server that does not fit must not hold up all others: it is left out, and named.
fn render(
    template: &Template,
    placements: &mut BTreeMap<usize, Placement>,
    stuck: &mut Vec<Unfollowed>,
) -> Result<String, String> {
    if let Ok(text) = template.render(placements) {
        return Ok(text);
    }
    placements.retain(|index, placement| {
        let alone = BTreeMap::from([(*index, placement.clone())]);
        let fault = template.render(&alone).err();
        if let Some(fault) = &fault {
            stuck.push(Unfollowed {
                server: full_name(&template.servers()[*index]),
                reason: fault.to_string(),
            });
        }
        fault.is_none()
    });
    template.render(placements).map_err(|error| error.to_string())
}

/// Whether a server of the proxy's own file does what is wanted. BDRP reads from the primary when there are no
/// replicas, so a primary that is listed as its own only replica is the same.
fn is_placed(has: &Server, wanted: &Placement) -> bool {
    let replicas = wanted.replicas.as_ref().is_none_or(|wanted_replicas| {
        let all_are_addresses = has.replica_addresses().len() == has.replicas.len();
        let mut now: BTreeSet<Address> = has.replica_addresses().into_iter().collect();
        if wanted_replicas.is_empty() {
            now.remove(&wanted.primary);
        }
        all_are_addresses && now == wanted_replicas.iter().copied().collect()
    });
    replicas && has.primary() == Some(wanted.primary)
}
