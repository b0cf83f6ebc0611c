//! Which replica is promoted, and why each of the others may not be.
//!
//! The filters and their order are Redis Sentinel's (7.0), with those of rules 9 and 10 added. Each filter gives its
//! reason as a value, so that "no good replica" can be explained per replica in the log, the event and the reply.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::failover::deleted::{self, OFFSET_OF_NOTHING, offset};
use crate::failover::draft::Draft;
use crate::failover::identity::{copied_other_data, evidence, group_lineage, related};
use crate::failover::{Memory, Scene};
use crate::model::{Address, Age, Facts, Instant, LinkState, Member, Role, RunId, Verdict};
use crate::mutation::{self, Mutation};

/// A replica that gave no acceptable reply for this long is not a candidate: five of Sentinel's ping periods.
const SILENCE_MS_MAX: Age = 5_000;
/// INFO may be this old while the primary is down: five of Sentinel's ping periods.
const INFO_AGE_MS_OUTAGE: Age = 5_000;
/// INFO may be this old in peace: three of Sentinel's INFO periods.
const INFO_AGE_MS_PEACE: Age = 30_000;
/// How many times down-after a replica may have been cut off before its primary was down.
const CUT_OFF_DOWN_AFTERS: u64 = 10;

/// What a candidate is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The primary is down.
    Outage,
    /// An operator asks, the primary is well.
    Planned,
    /// An operator asks, and no write of the primary may be lost.
    Coordinated,
    /// The primary lost its data; what replicas said before that does not count.
    Emptied {
        /// When it was noticed.
        since: Instant,
    },
}

/// The best replica, and why the others may not be promoted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// The candidate and its process.
    pub chosen: Option<(Address, RunId)>,
    /// The reason against each replica that may not be promoted.
    pub unfit: BTreeMap<Address, Unfit>,
}

impl Selection {
    /// The reasons as texts. They hold no ages, so that they change only when the reason does.
    pub fn reasons(&self) -> BTreeMap<Address, Arc<str>> {
        self.unfit
            .iter()
            .map(|(address, unfit)| (*address, unfit.to_string().into()))
            .collect()
    }
}

/// Why a replica may not be promoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// Evidence that it belongs elsewhere.
    Quarantined(Arc<str>),
    /// It was a candidate and failed.
    Failed(Arc<str>),
    /// Not seen yet.
    Unseen,
    /// Seen Down.
    Down,
    /// No connection to it.
    Disconnected,
    /// No acceptable reply lately.
    Silent,
    /// Its priority is 0: the operator wants it never promoted.
    PriorityZero,
    /// No INFO from it.
    NoInfo,
    /// Its INFO is too old.
    InfoTooOld,
    /// It was restarted, and that is not on record yet.
    Restarted,
    /// It loads its data.
    Loading,
    /// It has a history of its own.
    Master,
    /// It copies the primary's data.
    Resyncing,
    /// It was never in sync with this group.
    NeverInSync,
    /// It has received nothing.
    NothingReceived,
    /// It has no keys while the group has.
    Empty,
    /// Its link to the primary was down long before the primary was.
    CutOffTooLong,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Quarantined(why) => return write!(f, "quarantined: {why}"),
            Self::Failed(why) => return write!(f, "failed as a candidate: {why}"),
            Self::Unseen => "not seen yet",
            Self::Down => "down",
            Self::Disconnected => "disconnected",
            Self::Silent => "no acceptable reply lately",
            Self::PriorityZero => "priority 0",
            Self::NoInfo => "no INFO",
            Self::InfoTooOld => "INFO too old",
            Self::Restarted => "restarted, not on record yet",
            Self::Loading => "loading its data",
            Self::Master => "a master itself",
            Self::Resyncing => "resyncing",
            Self::NeverInSync => "never in sync with the group",
            Self::NothingReceived => "has received nothing",
            Self::Empty => "empty while the group is not",
            Self::CutOffTooLong => "cut off from the primary for too long",
        };
        f.write_str(text)
    }
}

/// What good replicas are ordered by: the smallest is the best.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    /// A stray master has a history of its own: only when nothing else is left.
    stray: bool,
    priority: u32,
    /// Offsets compare within one lineage only.
    other_lineage: bool,
    offset: std::cmp::Reverse<u64>,
    run_id: String,
}

/// Chooses the replica to promote.
pub fn select(scene: &Scene<'_>, memory: &Memory, purpose: Purpose, now: Instant) -> Selection {
    let draft = Draft::new(scene, memory, now);
    let mut selection = Selection::default();
    let mut best: Option<(Rank, Address, RunId)> = None;
    for (address, member) in scene.group.replicas() {
        match fitness(&draft, purpose, *address, member) {
            Err(unfit) => {
                selection.unfit.insert(*address, unfit);
            }
            Ok(facts) => {
                let rank = rank(scene, &facts);
                if best.as_ref().is_none_or(|(leading, ..)| rank < *leading) {
                    best = Some((rank, *address, facts.run_id.clone()));
                }
            }
        }
    }
    selection.chosen = best.map(|(_, address, run_id)| (address, run_id));
    selection
}

/// Whether one replica may be promoted: its process, or why not.
pub(super) fn judge(
    scene: &Scene<'_>,
    memory: &Memory,
    purpose: Purpose,
    address: Address,
    now: Instant,
) -> Result<RunId, Unfit> {
    let member = scene.group.members.get(&address).ok_or(Unfit::Unseen)?;
    let facts = fitness(&Draft::new(scene, memory, now), purpose, address, member)?;
    Ok(facts.run_id.clone())
}

fn rank(scene: &Scene<'_>, facts: &Facts) -> Rank {
    let lineage = group_lineage(scene.group);
    let offset = if mutation::is_on(Mutation::OffsetIgnored) {
        0
    } else {
        offset(facts)
    };
    Rank {
        stray: facts.role == Role::Primary,
        priority: facts.priority,
        other_lineage: lineage.is_some() && !related(lineage, facts.lineage.as_ref()),
        offset: std::cmp::Reverse(offset),
        run_id: facts.run_id.as_str().to_ascii_lowercase(),
    }
}

fn fitness(draft: &Draft<'_>, purpose: Purpose, address: Address, member: &Member) -> Result<Arc<Facts>, Unfit> {
    if let Some(why) = &member.quarantine {
        return Err(Unfit::Quarantined(why.clone()));
    }
    let (facts, facts_at) = answers(draft, address)?;
    check_age(draft, purpose, facts_at)?;
    if facts.priority == 0 && !mutation::is_on(Mutation::PriorityZeroChosen) {
        return Err(Unfit::PriorityZero);
    }
    if facts.loading {
        return Err(Unfit::Loading);
    }
    if purpose == Purpose::Coordinated && facts.role == Role::Primary {
        return Err(Unfit::Master);
    }
    if member.run_id.as_ref() != Some(&facts.run_id) {
        return Err(Unfit::Restarted);
    }
    // What it says now may be worse than what is on record.
    if let Some(why) = evidence(draft.group, draft.scene.elsewhere, address, member, &facts) {
        return Err(Unfit::Quarantined(why));
    }
    let shunned = draft.memory.shunned.get(&address);
    if let Some(shunned) = shunned.filter(|shunned| shunned.run_id == facts.run_id && draft.now < shunned.until) {
        return Err(Unfit::Failed(shunned.why.clone()));
    }
    check_data(draft, purpose, member, &facts)?;
    check_cut_off(draft, &facts)?;
    Ok(facts)
}

/// It is there and talks to this node.
fn answers(draft: &Draft<'_>, address: Address) -> Result<(Arc<Facts>, Instant), Unfit> {
    let sighting = draft.sighting(address).ok_or(Unfit::Unseen)?;
    match sighting.verdict {
        Verdict::Unknown => return Err(Unfit::Unseen),
        Verdict::Down { .. } => return Err(Unfit::Down),
        Verdict::Up => {}
    }
    // Unless it has been heard since: it was restarted.
    let refused_at = draft.memory.link_refused_at(address);
    if refused_at.is_some_and(|at| sighting.ok_reply_at <= at) {
        return Err(Unfit::Disconnected);
    }
    let (facts, facts_at) = draft.facts(address).ok_or(Unfit::NoInfo)?;
    let heard_at = sighting.ok_reply_at.max(facts_at);
    if draft.now.since(heard_at) > SILENCE_MS_MAX {
        return Err(Unfit::Silent);
    }
    let linked = sighting.link == LinkState::Connected || draft.memory.link_is_open(address);
    if linked {
        Ok((facts, facts_at))
    } else {
        Err(Unfit::Disconnected)
    }
}

fn check_age(draft: &Draft<'_>, purpose: Purpose, facts_at: Instant) -> Result<(), Unfit> {
    let age = draft.now.since(facts_at);
    let good = match purpose {
        Purpose::Outage => age <= INFO_AGE_MS_OUTAGE,
        Purpose::Planned | Purpose::Coordinated => age <= INFO_AGE_MS_PEACE,
        Purpose::Emptied { since } => facts_at >= since,
    };
    if good { Ok(()) } else { Err(Unfit::InfoTooOld) }
}

/// Rule 10.
fn check_data(draft: &Draft<'_>, purpose: Purpose, member: &Member, facts: &Facts) -> Result<(), Unfit> {
    if matches!(purpose, Purpose::Emptied { .. }) && still_has_data(draft, member, facts) {
        return Ok(());
    }
    if facts.sync_in_progress {
        return Err(Unfit::Resyncing);
    }
    // A promotion would not accept it either.
    if !member.synced || copied_other_data(draft.group, Some(member), facts) {
        return Err(Unfit::NeverInSync);
    }
    let stream = deleted::primary_on_same_stream(draft, facts).map(|primary| primary.primary_offset);
    if offset(facts) <= OFFSET_OF_NOTHING && stream.is_none_or(|written| written > offset(facts)) {
        // A stream that short is complete: a copy of a primary that has written nothing since.
        return Err(Unfit::NothingReceived);
    }
    let group_has_keys = draft.group.primary_member().is_some_and(|primary| primary.non_empty);
    if facts.keys == 0 && group_has_keys && !deleted::by_clients(draft, member, facts) {
        return Err(Unfit::Empty);
    }
    Ok(())
}

/// The copy of an emptied primary is on its way, and until it is loaded the replica keeps its data and its lineage,
/// though it reports no offset any more. A promotion ends the copy.
fn still_has_data(draft: &Draft<'_>, member: &Member, facts: &Facts) -> bool {
    let lineage_kept = related(facts.lineage.as_ref(), group_lineage(draft.group));
    member.synced && lineage_kept && facts.keys > 0
}

/// Sentinel's rule: cut off for longer than the primary is down, and ten times down-after on top.
fn check_cut_off(draft: &Draft<'_>, facts: &Facts) -> Result<(), Unfit> {
    let down_ms = primary_down_ms(draft);
    let grace_ms = draft.group.config.down_after_ms.saturating_mul(CUT_OFF_DOWN_AFTERS);
    // A replica that was restarted since reports no age; its synced mark and its lineage speak for it.
    match facts.primary_link_down_ms {
        Some(cut_off_ms) if facts.role == Role::Replica && cut_off_ms > down_ms.saturating_add(grace_ms) => {
            Err(Unfit::CutOffTooLong)
        }
        _ => Ok(()),
    }
}

/// For how long the primary is down. A node that never heard it does not know when it died (all nodes may have been
/// away at that time): it was alive when the replica that lost it last did.
fn primary_down_ms(draft: &Draft<'_>) -> Age {
    let Some(sighting) = draft.sighting(draft.group.primary) else {
        return 0;
    };
    let seen_ms = match sighting.verdict {
        Verdict::Down { since } => draft.now.since(since),
        _ => 0,
    };
    // One that came back as a replica answers, and serves nobody: its replicas know since when.
    let demoted = draft
        .facts(draft.group.primary)
        .is_some_and(|(facts, _)| facts.role == Role::Replica);
    let heard = sighting.ok_reply_at > sighting.watched_since;
    if !demoted && (heard || !sighting.verdict.is_down()) {
        return seen_ms;
    }
    let lost_ms = draft.group.replicas().filter_map(|(address, member)| {
        let (facts, _) = draft.facts(*address).filter(|_| member.synced)?;
        facts.primary_link_down_ms.filter(|_| facts.role == Role::Replica)
    });
    lost_ms.min().unwrap_or(0).max(seen_ms)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;
