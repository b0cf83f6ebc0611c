//! One instance's probe history, and the verdict that follows from it.
//!
//! ```text
//! asked, answered, refused, informed, excuse --> Watch --> judge -> verdict
//!                                                     \-> deadline: when to judge again if nothing happens
//! ```
//!
//! An instance is Down while at least one [`Cause`] holds; otherwise it is Up once it has answered acceptably.

use crate::detect::Stall;
use crate::model::{Age, Facts, Instant, Role, RunId, Verdict};
use crate::mutation::{self, Mutation};

/// Slowest pace of PING.
const PERIOD_MAX_MS: Age = 1_000;
/// PINGs that fit into down-after at least, as far as the floor of the period allows.
const PINGS_IN_DOWN_AFTER: Age = 10;
/// Time beyond down-after for which an instance recorded as primary may say that it is a replica: it takes two
/// looks, a second apart each, to believe it.
const ROLE_GRACE_MS: Age = 2_000;

/// Slowest pace of PING towards a replica that this node decides nothing about.
const DISTANT_MAX_MS: Age = 5_000;

/// Pace of PING and INFO towards an instance that others watch.
pub(crate) const REMOTE_MS: Age = 60_000;

/// For this long at least a refused password counts as said: it is tried once a second.
const LOCKED_MS_MIN: Age = 2 * PERIOD_MAX_MS;

/// What decides about an instance: settings of its group, its recorded role, and the situation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchRules {
    /// The role that the replicated state gives it.
    pub recorded: Role,
    /// Silence after which it is Down.
    pub down_after_ms: Age,
    /// Refused connections for this long make it Down; 0 turns that off.
    pub refused_after_ms: Age,
    /// A restarted primary that only loads for this long is Down; 0 turns that off.
    pub reboot_down_after_ms: Age,
    /// Fastest period of PING.
    pub floor_ms: Age,
    /// Slowest period of PING, where it is below a second.
    pub ceiling_ms: Age,
    /// How closely it is watched.
    pub pace: Pace,
}

/// How closely an instance is watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pace {
    /// Nothing is going on in its group, and other nodes watch it, be it a primary.
    Remote,
    /// Nothing is going on in its group, and another node leads: a replica that was Up needs to be looked at now and then
    /// only. Who is chosen is what the leader sees; nodes vote about primaries.
    Distant,
    /// Nothing is going on in its group.
    #[default]
    Calm,
    /// Its group has a Down vote: replicas are watched like the primary.
    Alert,
}

/// What an instance made of a PING.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PingAnswer {
    /// `+PONG`
    Pong,
    /// `-LOADING` or `-MASTERDOWN`: alive, and busy with its data.
    Busy,
    /// It wants another user or password than this node's: it may well serve those who have them.
    Locked,
    /// Anything else: somebody is there, but not one that serves.
    Unacceptable,
}

/// Why an instance is Down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// No acceptable reply came for down-after.
    Silence,
    /// The same, but it refuses this node's user or password: somebody serves there, this node cannot see how.
    Locked,
    /// It refused connections for refused-after.
    Refused,
    /// Its process was restarted and has been loading for reboot-down-after.
    Reboot,
    /// It is recorded as primary and says that it is a replica.
    WrongRole,
}

/// What an INFO brought to light.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Another process than before.
    pub rebooted: bool,
    /// Another role than before (than the recorded one, the first time).
    pub new_role: Option<Role>,
}

/// One instance's probe history.
#[derive(Clone, Debug)]
pub struct Watch {
    rules: WatchRules,
    verdict: Verdict,
    /// Last acceptable reply.
    ok_at: Option<Instant>,
    /// From when silence counts.
    silent_from: Instant,
    /// Something was asked since the last acceptable reply.
    asked: bool,
    refused: Option<Streak>,
    /// When it refused this node's user or password last.
    locked_at: Option<Instant>,
    wrong_role: Option<Streak>,
    rebooted_at: Option<Instant>,
    run_id: Option<RunId>,
    role: Role,
    role_since: Instant,
}

/// Something seen again and again without a break.
#[derive(Clone, Copy, Debug)]
struct Streak {
    first: Instant,
    last: Instant,
}

impl WatchRules {
    /// Milliseconds from one attempt to connect to the next, at most: as from one PING to the next, and however rarely those
    /// are sent, not more than a second.
    pub fn retry_ms(&self) -> Age {
        self.period_ms().min(self.slowest_ms())
    }

    fn slowest_ms(&self) -> Age {
        self.ceiling_ms.clamp(1, PERIOD_MAX_MS)
    }

    /// Milliseconds from one PING to the next.
    pub fn period_ms(&self) -> Age {
        let slowest = self.slowest_ms();
        let rarely_ms = match (self.recorded, self.pace) {
            (_, Pace::Remote) => REMOTE_MS,
            (Role::Replica, Pace::Distant) => self.down_after_ms.clamp(PERIOD_MAX_MS, DISTANT_MAX_MS),
            (Role::Replica, Pace::Calm) => slowest,
            _ => {
                let fastest = self.floor_ms.min(slowest);
                return (self.down_after_ms / PINGS_IN_DOWN_AFTER).clamp(fastest, slowest);
            }
        };
        // Who asks for more PINGs gets them everywhere.
        if slowest < PERIOD_MAX_MS { slowest } else { rarely_ms }
    }
}

impl Watch {
    /// Nothing is known of the instance; its silence counts from now.
    pub fn new(rules: WatchRules, now: Instant) -> Self {
        Self {
            rules,
            verdict: Verdict::Unknown,
            ok_at: None,
            silent_from: now,
            asked: false,
            refused: None,
            locked_at: None,
            wrong_role: None,
            rebooted_at: None,
            run_id: None,
            role: rules.recorded,
            role_since: now,
        }
    }

    /// The rules in force.
    pub fn rules(&self) -> &WatchRules {
        &self.rules
    }

    /// Puts other rules in force, at once. A question that nobody had reason to ask under the old ones is not held
    /// against the instance under the new ones.
    pub fn configure(&mut self, rules: WatchRules, now: Instant) {
        if rules == self.rules {
            return;
        }
        if rules.recorded != self.rules.recorded {
            self.wrong_role = None;
            self.rebooted_at = None;
        }
        let other_limit = (rules.recorded, rules.down_after_ms) != (self.rules.recorded, self.rules.down_after_ms);
        let comes_closer = self.rules.pace == Pace::Remote && rules.pace != Pace::Remote;
        if !self.asked && (comes_closer || (other_limit && !self.verdict.is_down())) {
            self.silent_from = self.silent_from.max(now);
        }
        self.rules = rules;
    }

    /// A PING was sent, or a connection begun.
    pub fn asked(&mut self, now: Instant) {
        if !self.asked && self.is_asked_rarely() {
            // Asked rarely: it is silent from the question on, not from the last answer on.
            self.silent_from = now;
        }
        self.asked = true;
    }

    /// An answer to PING came.
    pub fn answered(&mut self, answer: PingAnswer, now: Instant) {
        self.refused = None;
        self.locked_at = (answer == PingAnswer::Locked).then_some(now);
        if answer == PingAnswer::Pong {
            self.rebooted_at = None;
        }
        if matches!(answer, PingAnswer::Pong | PingAnswer::Busy) {
            self.ok_at = Some(now);
            self.silent_from = now;
            self.asked = false;
        }
    }

    /// A connection was refused, or reset before it said anything. Attempts that are far apart are no streak.
    pub fn refused(&mut self, now: Instant) {
        let gap_max_ms = 2 * self.rules.retry_ms() + PERIOD_MAX_MS;
        self.refused = Some(Streak::extend(self.refused, now, gap_max_ms));
    }

    /// An INFO came.
    pub fn informed(&mut self, facts: &Facts, now: Instant) -> Seen {
        self.refused = None;
        let rebooted = self.run_id.as_ref().is_some_and(|known| *known != facts.run_id);
        if rebooted {
            self.rebooted_at = Some(now);
        }
        self.run_id = Some(facts.run_id.clone());
        let new_role = (self.role != facts.role).then_some(facts.role);
        if new_role.is_some() {
            self.role = facts.role;
            self.role_since = now;
        }
        let wrong = self.rules.recorded == Role::Primary && facts.role == Role::Replica;
        self.wrong_role = wrong.then(|| Streak::extend(self.wrong_role, now, Age::MAX));
        Seen { rebooted, new_role }
    }

    /// This node stood still: what it did not hear in that time is not held against the instance. A verdict that
    /// was reached before stays; if it was not for its silence, that has not been counted yet.
    pub fn excuse(&mut self, stall: Stall) {
        if mutation::is_on(Mutation::StallJudged) {
            return;
        }
        if self.verdict.is_down() {
            if !matches!(self.cause(stall.from), Some(Cause::Silence | Cause::Locked)) {
                self.silent_from = stall.excuse(self.silent_from);
            }
            return;
        }
        self.silent_from = stall.excuse(self.silent_from);
        self.rebooted_at = self.rebooted_at.map(|at| stall.excuse(at));
        for streak in [&mut self.refused, &mut self.wrong_role].into_iter().flatten() {
            streak.first = stall.excuse(streak.first);
        }
    }

    /// The verdict as of now; `Some` when it is another than before.
    pub fn judge(&mut self, now: Instant) -> Option<Verdict> {
        let verdict = match self.cause(now) {
            Some(_) if self.verdict.is_down() => self.verdict,
            Some(_) => Verdict::Down { since: now },
            None if self.ok_at.is_some() => Verdict::Up,
            None => Verdict::Unknown,
        };
        let changed = verdict != self.verdict;
        self.verdict = verdict;
        changed.then_some(verdict)
    }

    /// The verdict as it was judged last.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Why it is, or would be, Down now.
    pub fn cause(&self, now: Instant) -> Option<Cause> {
        let holds = |from: Option<Instant>, limit_ms: Age| from.is_some_and(|from| now.since(from) >= limit_ms);
        let rules = &self.rules;
        let loading = self.rebooted_at.filter(|_| self.reboot_counts());
        let refusing = self.refused.filter(|_| rules.refused_after_ms > 0);
        let role_limit_ms = rules.down_after_ms.saturating_add(ROLE_GRACE_MS);
        let silent = holds(self.silence(), rules.down_after_ms);
        if silent && !self.is_locked(now) {
            Some(Cause::Silence)
        } else if refusing.is_some_and(|streak| streak.length_ms() >= rules.refused_after_ms) {
            Some(Cause::Refused)
        } else if holds(loading, rules.reboot_down_after_ms) {
            Some(Cause::Reboot)
        } else if self
            .wrong_role
            .is_some_and(|streak| streak.length_ms() >= role_limit_ms)
        {
            Some(Cause::WrongRole)
        } else {
            silent.then_some(Cause::Locked)
        }
    }

    /// It refuses this node's user or password, and has said so lately. That is an answer: it is not taken for dead
    /// before it has been silent for as long as anybody else.
    fn is_locked(&self, now: Instant) -> bool {
        self.locked_at.is_some_and(|at| now.since(at) < self.locked_for_ms())
    }

    fn locked_for_ms(&self) -> Age {
        self.rules.down_after_ms.max(LOCKED_MS_MIN)
    }

    /// Silent for half of down-after: time to try another connection before a verdict falls.
    pub fn wants_second_connection(&self, now: Instant) -> bool {
        self.silence()
            .is_some_and(|from| now.since(from) >= self.rules.down_after_ms / 2)
    }

    /// The next moment after `now` at which the judgement or the wish for a second connection changes if nothing
    /// happens until then.
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        let silence = self.silence();
        let loading = self.rebooted_at.filter(|_| self.reboot_counts());
        let moments = [
            silence.map(|from| from.plus(self.rules.down_after_ms / 2)),
            silence.map(|from| from.plus(self.rules.down_after_ms)),
            loading.map(|from| from.plus(self.rules.reboot_down_after_ms)),
            self.locked_at.map(|at| at.plus(self.locked_for_ms())),
        ];
        moments.into_iter().flatten().filter(|moment| *moment > now).min()
    }

    /// When one more refused connection would make it Down: worth an attempt at that moment.
    pub fn refused_due(&self) -> Option<Instant> {
        let streak = self.refused.filter(|_| self.rules.refused_after_ms > 0)?;
        let due = streak.first.plus(self.rules.refused_after_ms);
        (streak.last < due).then_some(due)
    }

    /// It says that it is a replica although it is recorded as primary: INFO is wanted every second.
    pub fn says_wrong_role(&self) -> bool {
        self.wrong_role.is_some()
    }

    /// Its process was restarted, and only PONG ends that, while it is recorded as primary and that counts.
    pub fn is_rebooting(&self) -> bool {
        self.rebooted_at.is_some() && self.reboot_counts()
    }

    /// Last acceptable reply.
    pub fn ok_at(&self) -> Option<Instant> {
        self.ok_at
    }

    /// Since when the reported role is what it is.
    pub fn role_since(&self) -> Instant {
        self.role_since
    }

    /// From when it is silent.
    fn silence(&self) -> Option<Instant> {
        let counts = self.asked || !self.is_asked_rarely();
        counts.then_some(self.silent_from)
    }

    fn is_asked_rarely(&self) -> bool {
        self.rules.recorded == Role::Replica || self.rules.pace == Pace::Remote
    }

    fn reboot_counts(&self) -> bool {
        self.rules.recorded == Role::Primary && self.rules.reboot_down_after_ms > 0
    }
}

impl Streak {
    fn extend(before: Option<Self>, now: Instant, gap_max_ms: Age) -> Self {
        let unbroken = before.filter(|streak| now.since(streak.last) <= gap_max_ms);
        Self {
            first: unbroken.map_or(now, |streak| streak.first),
            last: now,
        }
    }

    fn length_ms(&self) -> Age {
        self.last.since(self.first)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;
