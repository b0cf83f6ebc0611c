//! Members that are known by host names: where their names resolve to, and whether the instance there is the member.
//!
//! ```text
//! named member, due -> Action::Look -> Memory -> elsewhere now, and nothing speaks against it -> Readdress
//! replica that announced a name ------> Memory -> at this address                             -> Name
//! ```
//!
//! A name that cannot be resolved changes nothing: the last good address stays, and whoever is silent there is down.
//! What does not live here: the resolver (`control` asks it), and what becomes of a process that is not the one on
//! record (`learn`, `emptied`, `identity`): that is judged at the new address as at any other.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::failover::draft::Draft;
use crate::failover::identity::{evidence, related};
use crate::failover::{Action, Memory};
use crate::machine::Command;
use crate::model::{Address, Age, Facts, HostName, Instant, Member, Role, Verdict};

/// How often the name of a member that is well is resolved.
const CALM_MS: Age = 10_000;
/// The same of one that cannot be reached, or is another process than the one on record.
const UNSETTLED_MS: Age = 1_000;
/// What was found longest ago to be acted upon.
const FRESH_MS: Age = 3_000;
/// Spreads the first look at the names of many groups.
const SPREAD: u64 = 97;

/// A host name, and what resolving it came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lookup {
    pub(super) asked_at: Instant,
    /// It is being resolved.
    pub(super) under_way: bool,
    /// When that ended last, either way.
    pub(super) answered_at: Option<Instant>,
    /// What it came to then; `None`: it could not be resolved.
    pub(super) found: Option<Found>,
}

/// Where a host name is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What it resolves to; not empty. The first one is meant when none of them is known.
    pub ips: Vec<IpAddr>,
    /// The instance there, when the member that has the name is not known to be at any of them.
    pub there: Option<(Address, Facts)>,
}

impl Memory {
    /// A host name was resolved, or could not be (`None`). Says whether the answer is of another kind than the last one.
    pub fn looked(&mut self, host: &HostName, port: u16, found: Option<Found>, now: Instant) -> bool {
        let lookup = self.lookups.entry((host.clone(), port)).or_default();
        let could = lookup.found.is_some() || lookup.answered_at.is_none();
        let can = found.is_some();
        (lookup.under_way, lookup.answered_at, lookup.found) = (false, Some(now), found);
        could != can
    }

    /// What is known of a host name.
    pub(super) fn lookup(&self, host: &HostName, port: u16) -> Option<&Lookup> {
        self.lookups.get(&(host.clone(), port))
    }
}

/// Looks where the names of members are, and proposes the address of one that has moved.
pub(super) fn follow(draft: &mut Draft<'_>) {
    if !draft.scene.elsewhere.resolves_names() {
        return;
    }
    let group = draft.group;
    for (address, host) in &group.hosts {
        let Some(member) = group.members.get(address) else {
            continue;
        };
        let (every_ms, first) = if is_settled(draft, *address, member) {
            let spread_ms = group.id.0.wrapping_mul(SPREAD) % CALM_MS;
            (CALM_MS, draft.memory.took_over_at.plus(spread_ms))
        } else {
            (UNSETTLED_MS, draft.now)
        };
        look(draft, (host, address.port), Some(*address), (every_ms, first));
        if !draft.proposes()
            && let Some(to) = moved(draft, *address, host, member)
        {
            let (group, on) = draft.target();
            draft.propose(Command::Readdress {
                group,
                on,
                from: *address,
                to,
            });
        }
    }
}

/// It answers, as the process on record.
fn is_settled(draft: &Draft<'_>, address: Address, member: &Member) -> bool {
    let facts = draft.facts(address).map(|(facts, _)| facts);
    let other = |facts: &Facts| member.run_id.as_ref().is_some_and(|known| *known != facts.run_id);
    draft.sees_up(address) && draft.is_connected(address) && !facts.is_some_and(|facts| other(&facts))
}

/// Has the name resolved, when that is due: at `first`, and then every so often. `known` is the member that has it.
fn look(
    draft: &mut Draft<'_>,
    (host, port): (&HostName, u16),
    known: Option<Address>,
    (every_ms, first): (Age, Instant),
) {
    let due = match draft.memory.lookup(host, port) {
        Some(Lookup { under_way: true, .. }) => return,
        Some(lookup) => lookup.asked_at.plus(every_ms),
        None => first,
    };
    if draft.now < due {
        draft.wake_by(due);
        return;
    }
    draft.act(Action::Look {
        host: host.clone(),
        port,
        known,
    });
}

/// Where the member is now, when nothing speaks against that.
fn moved(draft: &Draft<'_>, address: Address, host: &HostName, member: &Member) -> Option<Address> {
    let lookup = draft.memory.lookup(host, address.port)?;
    let fresh = draft.now.since(lookup.answered_at?) <= FRESH_MS;
    let found = lookup.found.as_ref().filter(|_| fresh)?;
    if found.ips.contains(&address.ip) {
        return None;
    }
    let (to, facts) = found.there.as_ref()?;
    let group = draft.group;
    let taken = group.hosts.contains_key(to) || *to == group.primary;
    let discovered = group.members.contains_key(to);
    if taken || (discovered && address == group.primary) || draft.scene.elsewhere.address(group.id, *to).is_some() {
        return None;
    }
    let same_process = member.run_id.as_ref() == Some(&facts.run_id);
    let named = group.with_names_found(facts);
    let facts = named.as_ref().unwrap_or(facts);
    if !same_process && !is_gone(draft, address, member) {
        return None;
    }
    if evidence(group, draft.scene.elsewhere, address, member, facts).is_some() {
        return None;
    }
    let serves = address != group.primary || is_still_primary(draft, member, facts);
    serves.then_some(*to)
}

/// Nobody answers at the address, or another process than the one on record does.
fn is_gone(draft: &Draft<'_>, address: Address, member: &Member) -> bool {
    let Some(sighting) = draft.sighting(address) else {
        return false;
    };
    let lost = sighting.verdict != Verdict::Unknown && !draft.is_connected(address);
    let other = sighting
        .facts
        .as_ref()
        .is_some_and(|facts| member.run_id.as_ref() != Some(&facts.run_id));
    sighting.verdict.is_down() || lost || other
}

/// Rules 10 and 11: who came back without the data is not the primary while a replica may have it.
fn is_still_primary(draft: &Draft<'_>, member: &Member, facts: &Facts) -> bool {
    let replicas_may_have = draft
        .group
        .replicas()
        .any(|(_, replica)| replica.synced && replica.quarantine.is_none());
    let kept = related(facts.lineage.as_ref(), member.lineage.as_ref());
    let has_data = kept || facts.keys > 0 || !member.non_empty || !replicas_may_have;
    facts.role == Role::Primary && !facts.loading && has_data
}

/// Has the name of a member resolved anew: in the middle of a failover nobody else asks for it.
pub(super) fn look_again(draft: &mut Draft<'_>, address: Address) {
    let group = draft.group;
    if let Some(host) = group.hosts.get(&address) {
        let now = draft.now;
        look(draft, (host, address.port), Some(address), (UNSETTLED_MS, now));
    }
}

/// Another process than the one on record answers at the address of a named member, and it is not known yet that the
/// name still means that address: in Kubernetes it may be anybody's by now. Without an answer of DNS it is what it is.
pub(super) fn in_doubt(draft: &Draft<'_>, address: Address, member: &Member, facts: &Facts) -> bool {
    let other = member.run_id.as_ref().is_some_and(|known| *known != facts.run_id);
    let Some(host) = draft.group.hosts.get(&address).filter(|_| other) else {
        return false;
    };
    if !draft.scene.elsewhere.resolves_names() {
        return false;
    }
    let Some(lookup) = draft.memory.lookup(host, address.port) else {
        return true;
    };
    let fresh = lookup.answered_at.is_some_and(|at| draft.now.since(at) <= FRESH_MS);
    let here = lookup
        .found
        .as_ref()
        .is_none_or(|found| found.ips.contains(&address.ip));
    !fresh || !here
}

/// Replicas that the primary lists by names that are not known: by the same rules as those with addresses.
pub(super) fn discover(draft: &mut Draft<'_>, room: usize) {
    let Some((facts, _)) = draft.facts(draft.group.primary) else {
        return;
    };
    if !draft.scene.elsewhere.resolves_names() {
        return;
    }
    let mut hosts = BTreeMap::new();
    for line in facts.named_replicas.iter().filter(|line| line.online).take(room) {
        let unknown_at = |address: &Address| !draft.group.hosts.contains_key(address);
        let found = draft
            .memory
            .lookup(&line.host, line.port)
            .and_then(|lookup| lookup.found.clone());
        let ips = found.map(|found| found.ips).unwrap_or_default();
        let addresses = ips.into_iter().filter_map(|ip| Address::new(ip, line.port).ok());
        let addresses: Vec<Address> = addresses.filter(unknown_at).collect();
        let member = addresses
            .iter()
            .find(|address| draft.group.members.contains_key(address));
        let chosen = member.or(addresses.first()).copied();
        let elsewhere = |address: &Address| draft.scene.elsewhere.address(draft.group.id, *address).is_some();
        match chosen.filter(|address| !elsewhere(address)) {
            Some(address) => _ = hosts.insert(address, line.host.clone()),
            None => {
                let now = draft.now;
                look(draft, (&line.host, line.port), None, (UNSETTLED_MS, now));
            }
        }
    }
    if !hosts.is_empty() && !draft.proposes() {
        let (group, on) = draft.target();
        draft.propose(Command::Name { group, on, hosts });
    }
}
