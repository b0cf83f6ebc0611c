//! The watch over one instance: `probe::instance` and `probe::line`.

mod following;
mod turn;

use std::sync::Arc;

use cfgserver::detect::{Duty, Pace, PingAnswer, Watch};
use cfgserver::model::{Address, Facts, Group, GroupId, Instant, LinkState, Role, Sighting, Verdict};

use crate::core::Core;
use crate::event::{Event, ProbeAnswer, Reached};
use crate::redis::{Index, Owner};

use super::roster::Brief;
use super::stalls::Stalls;

const INFO_FAST_MS: u64 = 1_000;
const INFO_MS: u64 = 10_000;
const CONNECT_MS: (u64, u64) = (100, 2_000);
const SECOND_RENEW_MS: u64 = 2_000;
const INFOS_MAX: u32 = 2;
const PAUSE_FIRST_MS: u64 = 10;

pub(super) struct Probe {
    pub(super) serial: u64,
    owner: Owner,
    id: GroupId,
    address: Address,
    group: Arc<Group>,
    pub(super) watch: Watch,
    sighting: Sighting,
    shown: Option<(Verdict, LinkState, Option<Instant>)>,
    main: Slot,
    second: Slot,
    pause_ms: u64,
    connect_at: u64,
    second_at: u64,
    ping_at: u64,
    info_at: u64,
    info_asked_at: u64,
    info_wishes: u64,
    attempted_at: u64,
    stalls_seen: u64,
    /// When it was thought to be down last.
    down_at: u64,
    scheduled: Option<u64>,
}

#[derive(Clone, Copy, Default)]
enum Slot {
    #[default]
    Empty,
    Connecting {
        attempt: u64,
    },
    Open(Line),
}

#[derive(Clone, Copy)]
struct Line {
    attempt: u64,
    server: Index,
    conn: u64,
    opened_at: u64,
    heard: bool,
    ping_sent_at: Option<u64>,
    infos: u32,
    /// Answers come in the order of the questions.
    info_free_at: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    Main,
    Second,
}

/// What a turn of a probe means for the rest of the node.
#[derive(Default)]
pub(super) struct Turn {
    news: bool,
    verdict: bool,
    brief_changed: bool,
}

impl Slot {
    fn attempt(&self) -> Option<u64> {
        match self {
            Self::Empty => None,
            Self::Connecting { attempt } => Some(*attempt),
            Self::Open(line) => Some(line.attempt),
        }
    }

    fn line(&mut self) -> Option<&mut Line> {
        match self {
            Self::Open(line) => Some(line),
            _ => None,
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }
}

impl Probe {
    /// Its share of a period.
    fn next_turn(&self, now: u64, period_ms: u64) -> u64 {
        let within = (u64::from(self.address.port) * 7_919 + self.id.0 * 131 + self.owner.node * 17) % period_ms;
        let since_turn = (now + period_ms - within) % period_ms;
        now + period_ms - since_turn
    }

    fn slot(&mut self, which: Which) -> &mut Slot {
        match which {
            Which::Main => &mut self.main,
            Which::Second => &mut self.second,
        }
    }

    fn which(&self, attempt: u64) -> Option<Which> {
        if self.main.attempt() == Some(attempt) {
            Some(Which::Main)
        } else if self.second.attempt() == Some(attempt) {
            Some(Which::Second)
        } else {
            None
        }
    }

    fn has_conn(&self, server: Index, conn: u64) -> Option<u64> {
        [self.main, self.second].iter().find_map(|slot| match slot {
            Slot::Open(line) if line.server == server && line.conn == conn => Some(line.attempt),
            _ => None,
        })
    }

    fn connected(&mut self, core: &mut Core, attempt: u64, reached: Reached) {
        let Some(which) = self.which(attempt) else {
            if let Reached::Open { server, conn } = reached {
                core.fleet.servers[server].conns.remove(&conn);
            }
            return;
        };
        match reached {
            Reached::Open { server, conn } if core.fleet.servers[server].conns.contains_key(&conn) => {
                let line = Line {
                    attempt,
                    server,
                    conn,
                    opened_at: core.now,
                    heard: false,
                    ping_sent_at: None,
                    infos: 0,
                    info_free_at: 0,
                };
                *self.slot(which) = Slot::Open(line);
                self.ask_info(core, which);
                self.ask_ping(core, which);
                self.info_asked_at = core.now;
                self.info_at = core.now + self.info_period_ms();
            }
            Reached::Open { .. } | Reached::Refused => self.ended(core, which, true),
            Reached::TimedOut => self.ended(core, which, false),
        }
    }

    fn ended(&mut self, core: &mut Core, which: Which, refused: bool) {
        let now = core.now;
        let slot = std::mem::take(self.slot(which));
        let (heard, opened_at) = match slot {
            Slot::Open(line) => {
                core.fleet.servers[line.server].conns.remove(&line.conn);
                (line.heard, line.opened_at)
            }
            _ => (false, now),
        };
        if refused && !heard {
            self.watch.refused(Instant(now));
        }
        let period_ms = self.watch.rules().retry_ms();
        if now - opened_at >= period_ms {
            self.pause_ms = 0;
        }
        let pause_ms = self.pause_ms.min(period_ms);
        self.pause_ms = (self.pause_ms * 2).max(PAUSE_FIRST_MS).min(period_ms);
        match which {
            Which::Second => self.second_at = now + pause_ms.max(period_ms),
            Which::Main if self.second.is_empty() => self.connect_at = now + pause_ms,
            Which::Main => self.main = std::mem::take(&mut self.second),
        }
    }

    fn answered(&mut self, core: &mut Core, attempt: u64, answer: ProbeAnswer) {
        let Some(which) = self.which(attempt) else { return };
        let now = Instant(core.now);
        if let ProbeAnswer::Ended { refused } = answer {
            return self.ended(core, which, refused);
        }
        self.sighting.reply_at = now;
        let Some(line) = self.slot(which).line() else { return };
        line.heard = true;
        match answer {
            ProbeAnswer::Ping(meaning) => {
                line.ping_sent_at = None;
                self.watch.answered(meaning, now);
                if which == Which::Second && meaning != PingAnswer::Unacceptable {
                    if let Slot::Open(line) = self.main {
                        core.fleet.servers[line.server].conns.remove(&line.conn);
                    }
                    self.main = std::mem::take(&mut self.second);
                    core.coverage.mark("probe: second connection answers");
                }
            }
            ProbeAnswer::Info(facts) => {
                line.infos = line.infos.saturating_sub(1);
                let seen = self.watch.informed(&facts, now);
                if seen.rebooted {
                    core.coverage.mark("probe: reboot seen");
                }
                self.sighting.facts = Some(facts);
                self.sighting.facts_at = Some(now);
                self.info_at = self.info_at.min(self.info_asked_at + self.info_period_ms());
            }
            ProbeAnswer::Ended { .. } => {}
        }
    }

    fn ask_info(&mut self, core: &mut Core, which: Which) {
        let (owner, id, address) = (self.owner, self.id, self.address);
        let Some(line) = self.slot(which).line() else { return };
        line.infos += 1;
        if !core.goes_to(owner.node, line.server) {
            return core.lose(line.server, line.conn);
        }
        let at = (core.now + core.delay()).max(line.info_free_at);
        line.info_free_at = at;
        core.push(
            at,
            Event::InfoAsked {
                node: owner.node,
                life: owner.life,
                group: id,
                address,
                attempt: line.attempt,
                server: line.server,
                conn: line.conn,
            },
        );
    }

    fn ask_ping(&mut self, core: &mut Core, which: Which) {
        let (owner, id, address) = (self.owner, self.id, self.address);
        let Some(line) = self.slot(which).line() else { return };
        if line.ping_sent_at.is_some() {
            return;
        }
        line.ping_sent_at = Some(core.now);
        if !core.goes_to(owner.node, line.server) {
            return core.lose(line.server, line.conn);
        }
        let ms = core.delay() + core.delay();
        core.after(
            ms,
            Event::Pinged {
                node: owner.node,
                life: owner.life,
                group: id,
                address,
                attempt: line.attempt,
                server: line.server,
                conn: line.conn,
            },
        );
    }

    fn attempt(&mut self, core: &mut Core, which: Which, limit_ms: u64) {
        let (owner, id, address) = (self.owner, self.id, self.address);
        if let Slot::Open(line) = *self.slot(which) {
            core.fleet.servers[line.server].conns.remove(&line.conn);
        }
        let attempt = core.serial();
        *self.slot(which) = Slot::Connecting { attempt };
        let (reached, ms) = super::links::reach(core, owner, address, limit_ms, None);
        core.after(
            ms,
            Event::ProbeConnected {
                node: owner.node,
                life: owner.life,
                group: id,
                address,
                attempt,
                reached,
            },
        );
    }

    /// Brings everything up to date.
    fn advance(&mut self, core: &mut Core, stalls: &mut Stalls, brief: &mut Brief, duty: Duty) -> Turn {
        let now = core.now;
        let mut turn = Turn::default();
        for stall in stalls.observe(&mut self.stalls_seen, now) {
            core.coverage.mark("probe: stall excused");
            self.watch.excuse(stall);
        }
        self.follow_brief(core, brief, duty);
        self.connect(core);
        self.ask(core);
        if let Some(verdict) = self.watch.judge(Instant(now)) {
            self.told(core, verdict, stalls);
        }
        self.sighting.verdict = self.watch.verdict();
        self.sighting.ok_reply_at = self.watch.ok_at().unwrap_or(self.sighting.watched_since);
        self.sighting.role_since = self.watch.role_since();
        if self.sighting.verdict.is_down() {
            self.down_at = now;
        }
        self.suspect(brief, now, &mut turn);
        self.show(&mut turn);
        turn
    }

    fn connect(&mut self, core: &mut Core) {
        let now = core.now;
        let limit_ms = (self.watch.rules().down_after_ms / 2).clamp(CONNECT_MS.0, CONNECT_MS.1);
        if self.main.is_empty() && now >= self.connect_due() {
            self.watch.asked(Instant(now));
            self.attempted_at = now;
            self.attempt(core, Which::Main, limit_ms);
        }
        if !self.wants_second(now) {
            if let Slot::Open(line) = self.second {
                core.fleet.servers[line.server].conns.remove(&line.conn);
            }
            self.second = Slot::Empty;
            self.second_at = now;
        } else if now >= self.second_at {
            self.second_at = now + SECOND_RENEW_MS;
            self.attempt(core, Which::Second, limit_ms);
        }
    }

    fn ask(&mut self, core: &mut Core) {
        let now = core.now;
        if now >= self.ping_at {
            self.ping_at = self.next_turn(now, self.watch.rules().period_ms());
            for which in [Which::Main, Which::Second] {
                if self.slot(which).line().is_some() {
                    self.watch.asked(Instant(now));
                    self.ask_ping(core, which);
                }
            }
        }
        if now >= self.info_at
            && let Some(line) = self.main.line()
        {
            if line.infos < INFOS_MAX {
                self.ask_info(core, Which::Main);
            }
            self.info_asked_at = now;
            self.info_at = now + self.info_period_ms();
        }
    }

    fn suspect(&mut self, brief: &mut Brief, now: u64, turn: &mut Turn) {
        if self.watch.rules().recorded != Role::Primary {
            return;
        }
        let is_down = self.watch.verdict().is_down();
        let suspect = is_down || self.watch.wants_second_connection(Instant(now));
        let newly_down = is_down && self.has_new_verdict();
        turn.brief_changed = brief.suspect != suspect || newly_down;
        brief.suspect = suspect;
        brief.info_wishes += u64::from(newly_down);
    }

    fn has_new_verdict(&self) -> bool {
        let shown = self.shown.map(|(verdict, ..)| verdict);
        shown.unwrap_or_default() != self.sighting.verdict
    }

    fn show(&mut self, turn: &mut Turn) {
        let (link, ping_sent_at, pending) = match self.main {
            Slot::Open(line) => {
                let link = if line.heard {
                    LinkState::Connected
                } else {
                    LinkState::Disconnected
                };
                let pending = line.infos + u32::from(line.ping_sent_at.is_some());
                (link, line.ping_sent_at.map(Instant), pending)
            }
            _ => (LinkState::Disconnected, None, 0),
        };
        self.sighting.link = link;
        self.sighting.ping_sent_at = ping_sent_at;
        self.sighting.pending = pending;
        turn.verdict = self.has_new_verdict();
        let shown = (self.sighting.verdict, link, self.sighting.facts_at);
        turn.news = self.shown != Some(shown);
        self.shown = Some(shown);
    }

    fn connect_due(&self) -> u64 {
        let due = self.watch.refused_due().filter(|due| due.0 > self.attempted_at);
        due.map_or(self.connect_at, |due| due.0.min(self.connect_at))
    }

    fn wants_second(&self, now: u64) -> bool {
        matches!(self.main, Slot::Open(_)) && self.watch.wants_second_connection(Instant(now))
    }

    fn info_period_ms(&self) -> u64 {
        let replica = self.watch.rules().recorded == Role::Replica;
        let unsettled = |facts: &Arc<Facts>| {
            facts.loading
                || match facts.role {
                    Role::Replica => !facts.primary_link_up,
                    Role::Primary => replica,
                }
        };
        let fast = self.watch.rules().pace == Pace::Alert
            || self.watch.says_wrong_role()
            || self.sighting.facts.as_ref().is_none_or(unsettled);
        match self.watch.rules() {
            _ if fast => INFO_FAST_MS,
            rules if rules.pace == Pace::Remote => rules.period_ms(),
            _ => INFO_MS,
        }
    }

    fn wake_at(&self, now: u64) -> u64 {
        let main = match self.main {
            Slot::Empty => Some(self.connect_due()),
            Slot::Connecting { .. } => None,
            Slot::Open(_) => Some(self.info_at),
        };
        let second = self.wants_second(now).then_some(self.second_at);
        let deadline = self.watch.deadline(Instant(now)).map(|at| at.0);
        // In the product a new leader is a new brief.
        let news = (self.watch.rules().pace == Pace::Remote).then_some(now + 1_000);
        let moments = [Some(self.ping_at), main, second, deadline, news];
        let wake = moments.into_iter().flatten().min().unwrap_or(self.ping_at);
        wake.max(now + 1)
    }
}

impl Probe {
    /// Its start is still to come.
    fn watch_begins_later(&self, now: u64) -> bool {
        self.sighting.watched_since.0 > now
    }
}
