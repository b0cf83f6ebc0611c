//! What this node's look at an instance means to others: the sighting on the board, and own events.

use std::sync::Arc;

use crate::board::Change;
use crate::detect::{Cause, Seen, Watch};
use crate::model::{Address, Event, EventKind, Facts, Group, InstanceRef, Instant, LinkState, Role, Sighting, Verdict};

/// The sighting of one instance, as it grows.
#[derive(Debug)]
pub(super) struct Picture {
    sighting: Sighting,
    /// As it was put on the board last.
    shown: Option<Sighting>,
}

impl Picture {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            sighting: Sighting {
                watched_since: now,
                ok_reply_at: now,
                reply_at: now,
                role_since: now,
                ..Sighting::default()
            },
            shown: None,
        }
    }

    /// Something was answered.
    pub(super) fn replied(&mut self, now: Instant) {
        self.sighting.reply_at = now;
    }

    /// The last error; empty when all is well again.
    pub(super) fn error(&mut self, text: &str) {
        if *self.sighting.error != *text {
            self.sighting.error = text.into();
        }
    }

    /// The error that is shown; empty when all is well.
    pub(super) fn last_error(&self) -> &str {
        &self.sighting.error
    }

    /// An error that tells less than one that is known already.
    pub(super) fn error_if_none(&mut self, text: &str) {
        if self.sighting.error.is_empty() {
            self.error(text);
        }
    }

    /// A script was told to end.
    pub(super) fn script_killed(&mut self) {
        self.sighting.script_killed = true;
    }

    /// A script was told to end since it is down.
    pub(super) fn has_script_killed(&self) -> bool {
        self.sighting.script_killed
    }

    pub(super) fn informed(&mut self, facts: Facts, text: &[u8], now: Instant) {
        let kept = &text[..text.len().min(Sighting::INFO_BYTES_MAX)];
        self.sighting.info = Some(kept.into());
        self.sighting.facts = Some(Arc::new(facts));
        self.sighting.facts_at = Some(now);
    }

    pub(super) fn facts(&self) -> Option<&Facts> {
        self.sighting.facts.as_deref()
    }

    pub(super) fn linked(&mut self, link: LinkState, pending: u32, ping_sent_at: Option<Instant>) {
        self.sighting.link = link;
        self.sighting.pending = pending;
        self.sighting.ping_sent_at = ping_sent_at;
    }

    pub(super) fn judged(&mut self, watch: &Watch, now: Instant) {
        self.sighting.verdict = watch.verdict();
        self.sighting.rebooting = watch.is_rebooting();
        self.sighting.script_killed &= watch.verdict().is_down();
        self.sighting.locked = watch.cause(now) == Some(Cause::Locked);
        self.sighting.ok_reply_at = watch.ok_at().unwrap_or(self.sighting.watched_since);
        self.sighting.role_since = watch.role_since();
    }

    /// The verdict, or what it says about others, differs from that on the board.
    pub(super) fn has_new_verdict(&self) -> bool {
        let shown = self.shown.as_ref().map(|shown| (shown.verdict, shown.locked));
        shown.unwrap_or_default() != (self.sighting.verdict, self.sighting.locked)
    }

    /// The sighting, when it is not on the board like this yet. Every INFO is news: offsets decide between
    /// candidates.
    pub(super) fn unshown(&mut self) -> Option<(Sighting, Change)> {
        if self.shown.as_ref() == Some(&self.sighting) {
            return None;
        }
        let new = &self.sighting;
        let is_news = self
            .shown
            .as_ref()
            .is_none_or(|old| old.verdict != new.verdict || old.link != new.link || old.facts_at != new.facts_at);
        let is_news = is_news || self.has_new_verdict();
        self.shown = Some(new.clone());
        Some((new.clone(), if is_news { Change::News } else { Change::Ages }))
    }
}

/// The instance as events name it.
fn instance_ref(group: &Group, address: Address) -> InstanceRef {
    if address == group.primary {
        return InstanceRef::Primary {
            group: group.name.clone(),
            address,
        };
    }
    InstanceRef::Replica {
        group: group.name.clone(),
        address,
        primary: group.primary,
    }
}

/// `+sdown` and `-sdown`. Becoming known is no event.
pub(super) fn verdict_event(group: &Group, address: Address, before: Verdict, after: Verdict) -> Option<Event> {
    let instance = instance_ref(group, address);
    match (before.is_down(), after.is_down()) {
        (false, true) => Some(local(group, EventKind::Down(instance))),
        (true, false) => Some(local(group, EventKind::NotDown(instance))),
        _ => None,
    }
}

/// `+reboot`, `+role-change` and `-role-change`.
pub(super) fn seen_events(group: &Group, address: Address, seen: Seen) -> impl Iterator<Item = Event> {
    let reboot = seen.rebooted.then(|| EventKind::Reboot(instance_ref(group, address)));
    let role = seen.new_role.map(|role| EventKind::RoleChange {
        instance: instance_ref(group, address),
        to_primary: role == Role::Primary,
        agrees: (role == Role::Primary) == (address == group.primary),
    });
    let id = group.id;
    [reboot, role].into_iter().flatten().map(move |kind| Event {
        revision: None,
        group: Some(id),
        kind,
    })
}

fn local(group: &Group, kind: EventKind) -> Event {
    Event {
        revision: None,
        group: Some(group.id),
        kind,
    }
}
