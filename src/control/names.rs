//! Host names, looked up by the leader: it alone asks, and what it finds becomes state by a commit. Every other node, and
//! everything on a node that must not wait, goes by addresses.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::control::Shared;
use crate::control::leader::Leader;
use crate::failover::Found;
use crate::model::{Address, Facts, Group, GroupId, HostName, Term};
use crate::redis::Target;
use crate::requests::{Monitoring, WriteError, WriteReply};

/// Longest wait for the resolver: less than a forwarded write may take.
const RESOLVE_LIMIT: Duration = Duration::from_secs(3);
/// Longest wait for INFO of an instance that was found at another address.
const READ_LIMIT: Duration = Duration::from_millis(1_000);

/// What came of looking for a host name.
pub(super) struct Looked {
    group: GroupId,
    host: HostName,
    port: u16,
    found: Result<Found, String>,
}

/// Finds out where a host name is, for a group.
pub(super) fn look(
    shared: Arc<Shared>,
    term: Term,
    group: &Arc<Group>,
    (host, port): (HostName, u16),
    known: Option<Address>,
) -> BoxFuture<'static, Looked> {
    let group = group.clone();
    Box::pin(async move {
        let found = match resolve(&shared, &host).await {
            Ok(ips) => {
                let there = instance_there(&shared, term, &group, &ips, known).await;
                Ok(Found { ips, there })
            }
            Err(error) => Err(error),
        };
        Looked {
            group: group.id,
            host,
            port,
            found,
        }
    })
}

async fn resolve(shared: &Shared, host: &HostName) -> Result<Vec<IpAddr>, String> {
    let ips = shared.names.resolve(host, RESOLVE_LIMIT).await?;
    if ips.is_empty() {
        return Err("it has no address".to_owned());
    }
    Ok(ips)
}

/// INFO of whoever answers where a member's name is, when that is not where the member is.
async fn instance_there(
    shared: &Shared,
    term: Term,
    group: &Group,
    ips: &[IpAddr],
    known: Option<Address>,
) -> Option<(Address, Facts)> {
    let known = known.filter(|known| !ips.contains(&known.ip))?;
    let address = Address::new(*ips.first()?, known.port).ok()?;
    let target = Target::new(address, &group.config);
    let connection = shared.links.open(target, term, READ_LIMIT).await.ok()?;
    Some((address, connection.facts().clone()))
}

impl Leader {
    /// A host name was looked for. That it cannot be found any more is said once, and so is that it can.
    pub(super) fn looked(&mut self, looked: Looked) {
        let Looked {
            group,
            host,
            port,
            found,
        } = looked;
        let Some(memory) = self.memories.get_mut(&group) else {
            return;
        };
        let error = found.as_ref().err().cloned();
        if memory.looked(&host, port, found.ok(), self.shared.now()) {
            match error {
                Some(error) => tracing::warn!(
                    target: "cfgserver::control", %group, %host, %error,
                    "a host name does not resolve, its last good address stays"
                ),
                None => tracing::info!(target: "cfgserver::control", %group, %host, "a host name resolves again"),
            }
        }
        self.dirty.insert(group);
    }
}

/// MONITOR of a host name. Where the group has it already, the address is known without asking.
pub(super) async fn monitor(shared: &Shared, wanted: Monitoring) -> Result<WriteReply, WriteError> {
    let state = shared.board.state();
    if !state.header().shared.resolve_hostnames {
        return Err(WriteError::Unresolved);
    }
    let group = state.group_named(wanted.name.as_str());
    let known = group.and_then(|group| {
        let monitored = &group.monitored;
        let as_monitored = monitored.host.as_ref() == Some(&wanted.host) && monitored.address.port == wanted.port;
        let member = group.member_named(&wanted.host, wanted.port);
        member.or(as_monitored.then_some(monitored.address))
    });
    let ip = match known {
        Some(address) => address.ip,
        None => match resolve(shared, &wanted.host).await {
            Ok(ips) => *ips.first().ok_or(WriteError::Unresolved)?,
            Err(error) => {
                tracing::info!(target: "cfgserver::control", host = %wanted.host, %error, "a host name does not resolve");
                return Err(WriteError::Unresolved);
            }
        },
    };
    shared.proposals.propose(wanted.at(ip)).await
}
