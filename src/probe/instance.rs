//! The task that watches one instance.
//!
//! ```text
//! main connection, second connection, brief, time -> Watch -> sighting, events, suspicion
//! ```
//!
//! Every turn of the loop takes one happening, then brings everything up to date with [`Instance::advance`].

mod following;

use std::pin::pin;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use crate::detect::{Pace, PingAnswer, REMOTE_MS, Watch, parse_info};
use crate::model::{Address, Age, Facts, Instant, LinkState, Mode, Role, Verdict};
use crate::redis::{Answer, LinkError, Target, explained};
use crate::requests::{Dials, Period, RaftRole};
use crate::watch;

use super::Shared;
use super::line::{Ask, Happening, Line, Slot};
use super::picture::{Picture, seen_events, verdict_event};
use super::roster::Brief;
use super::schedule::{Pause, Phase, together};

use following::rules;

/// Period of INFO while something is going on.
const INFO_FAST_MS: Age = 1_000;
/// Limits of the time for one attempt to connect; in between it is half of down-after.
const CONNECT_MS: (Age, Age) = (100, 2_000);
/// A second connection that says nothing for this long is replaced by a new one: a host that was away knows
/// nothing of old connections.
const SECOND_RENEW_MS: Age = 2_000;
/// Pause after a refused password: more attempts help nobody and fill the instance's log.
const AUTH_PAUSE_MS: Age = 1_000;
/// INFOs on their way at most: one as usual, one for somebody who wants it newer.
const INFOS_MAX: usize = 2;

/// One instance under watch.
pub(super) struct Instance {
    pub(super) shared: Arc<Shared>,
    brief: Arc<watch::Sender<Brief>>,
    briefs: watch::Receiver<Brief>,
    /// There is a brief that it does not go by yet.
    briefed: bool,
    /// The brief and the dials that it goes by.
    pub(super) known: Brief,
    dials: Arc<Dials>,
    address: Address,
    phase: Phase,
    target: Target,
    watch: Watch,
    picture: Picture,
    main: Slot,
    second: Slot,
    pause: Pause,
    /// When to connect again while there is no connection.
    connect_at: Instant,
    /// When to try a second connection again while one is wanted.
    second_at: Instant,
    ping_at: Instant,
    info_at: Instant,
    /// When INFO was asked last.
    info_asked_at: Instant,
    /// When the last attempt to connect began.
    attempted_at: Instant,
    stalls_seen: u64,
}

/// Which connection something happened on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Main,
    Second,
}

impl Instance {
    pub(super) fn new(shared: Arc<Shared>, brief: Arc<watch::Sender<Brief>>, address: Address, phase: Phase) -> Self {
        let now = shared.clock.now();
        let briefs = brief.subscribe();
        let first = brief.borrow().clone();
        let dials = shared.board.dials();
        let rules = rules(&shared, &first.group, &dials, address, Pace::Calm);
        Self {
            target: Target::new(address, &first.group.config),
            known: first,
            dials,
            stalls_seen: shared.stalls.count(),
            watch: Watch::new(rules, now),
            picture: Picture::new(now),
            main: Slot::Empty,
            second: Slot::Empty,
            pause: Pause::default(),
            connect_at: now,
            second_at: now,
            ping_at: now,
            info_at: now,
            info_asked_at: now,
            attempted_at: now,
            shared,
            brief,
            briefs,
            briefed: false,
            address,
            phase,
        }
    }

    /// Watches until told to stop: a new brief has it look at `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let clock = self.shared.clock;
        self.advance(clock.now());
        let mut sleeps_until = self.wake_at(clock.now());
        // Kept from turn to turn: most of them change nothing about it.
        let mut sleep = pin!(clock.sleep_until(sleeps_until));
        while !stop.is_cancelled() {
            let wake = self.wake_at(clock.now());
            if wake != sleeps_until {
                sleeps_until = wake;
                sleep.set(clock.sleep_until(wake));
            }
            let happening = tokio::select! {
                biased;
                // Answers before the clock: what has arrived counts before silence is judged.
                happening = self.main.happening() => Some((Which::Main, happening)),
                happening = self.second.happening() => Some((Which::Second, happening)),
                _ = self.briefs.changed() => {
                    self.briefed = true;
                    None
                }
                () = &mut sleep => {
                    // Over: the next one is another, whenever it ends.
                    sleeps_until = Instant::default();
                    None
                }
            };
            let now = self.shared.clock.now();
            if let Some((which, happening)) = happening {
                self.take(which, happening, now);
            }
            self.advance(now);
        }
        self.shared.board.drop_sighting(self.known.group.id, self.address);
    }
}

/// Taking in what happened.
impl Instance {
    fn take(&mut self, which: Which, happening: Happening, now: Instant) {
        match happening {
            Happening::Connected(Ok(link)) => {
                let line = Line::open(link, &self.shared.link_name, now);
                *self.slot(which) = Slot::Open(line);
                self.info_asked_at = now;
                self.info_at = self.info_due(now);
            }
            Happening::Connected(Err(error)) => self.ended(which, &error, now),
            Happening::Ended(error) => self.ended(which, &error, now),
            Happening::Answered(ask, answer) => {
                self.picture.replied(now);
                match ask {
                    Ask::Ping(_) => self.take_ping(which, &answer, now),
                    Ask::Info => self.take_info(&answer, now),
                    Ask::Sentinels | Ask::SentinelList => self.take_sentinels(which, &answer, now),
                    Ask::Name | Ask::ScriptKill => {}
                }
            }
        }
    }

    fn take_ping(&mut self, which: Which, answer: &Answer, now: Instant) {
        let (meaning, text) = ping_answer(answer);
        self.watch.answered(meaning, now);
        self.picture.error(&explained(text));
        if text.starts_with("BUSY") {
            self.kill_script(which);
        }
        if which == Which::Second && matches!(meaning, PingAnswer::Pong | PingAnswer::Busy) {
            debug!(target: "cfgserver::probe", address = %self.address, "first connection is silent, second answers");
            self.main = self.second.take();
        }
    }

    /// As Sentinel does, once while it is down. Only the leader gives orders, and none where it only observes.
    fn kill_script(&mut self, which: Which) {
        let leads = self.shared.board.status().role == RaftRole::Leader;
        let may = leads && self.known.group.config.mode == Mode::Manage;
        if may && self.watch.verdict().is_down() && !self.picture.has_script_killed() {
            info!(
                target: "cfgserver::probe", group = %self.known.group.name, address = %self.address,
                "a script keeps it from answering: SCRIPT KILL"
            );
            if let Some(line) = self.slot(which).line() {
                line.kill_script();
                self.picture.script_killed();
            }
        }
    }

    fn take_info(&mut self, answer: &Answer, now: Instant) {
        let facts = match answer {
            Answer::Bulk(text) => parse_info(text)
                .map(|facts| (facts, text))
                .map_err(|error| error.to_string()),
            Answer::Error(text) => Err(text.to_string()),
            _ => Err("info is no text".to_owned()),
        };
        match facts {
            Ok((facts, text)) => {
                let seen = self.watch.informed(&facts, now);
                self.picture.informed(facts, text, now);
                for event in seen_events(&self.known.group, self.address, seen) {
                    self.shared.announce.announce(event);
                }
            }
            Err(text) => self.picture.error(&explained(&text)),
        }
    }

    /// A connection, or the attempt to make one, is over. A connection that had answered and then closes proves
    /// nothing: it is made again at once.
    fn ended(&mut self, which: Which, error: &LinkError, now: Instant) {
        let slot = self.slot(which).take();
        let (heard, opened_at) = match &slot {
            Slot::Open(line) => (line.heard, line.opened_at),
            _ => (false, now),
        };
        if *error == LinkError::Refused || (*error == LinkError::Closed && !heard) {
            self.watch.refused(now);
        }
        if *error == LinkError::Closed {
            // What was said before the end (too many clients, no access) tells more.
            self.picture.error_if_none(&error.to_string());
        } else {
            self.picture.error(&error.to_string());
        }
        let period_ms = self.watch.rules().retry_ms();
        if now.since(opened_at) >= period_ms {
            self.pause.reset();
        }
        let mut pause_ms = self.pause.take(period_ms);
        if let LinkError::Auth(text) = error {
            if is_locked(text) {
                self.watch.answered(PingAnswer::Locked, now);
            }
            pause_ms = AUTH_PAUSE_MS;
        }
        match which {
            Which::Second => self.second_at = now.plus(pause_ms.max(period_ms)),
            Which::Main if self.second.is_empty() => self.connect_at = now.plus(pause_ms),
            Which::Main => self.main = self.second.take(),
        }
    }

    pub(super) fn slot(&mut self, which: Which) -> &mut Slot {
        match which {
            Which::Main => &mut self.main,
            Which::Second => &mut self.second,
        }
    }
}

/// Bringing everything up to date.
impl Instance {
    fn advance(&mut self, now: Instant) {
        for stall in self.shared.stalls.observe(&mut self.stalls_seen, now) {
            self.watch.excuse(stall);
        }
        self.follow_brief(now);
        self.info_at = self.info_at.min(self.info_due(now));
        self.connect(now);
        self.ask(now);
        self.judge(now);
        self.suspect(now);
        self.show(now);
    }

    /// Opens the connections that are wanted now.
    fn connect(&mut self, now: Instant) {
        let limit_ms = (self.watch.rules().down_after_ms / 2).clamp(CONNECT_MS.0, CONNECT_MS.1);
        if self.main.is_empty() && now >= self.connect_due() {
            self.watch.asked(now);
            self.attempted_at = now;
            self.main.connect(self.target.clone(), limit_ms);
        }
        if !self.wants_second(now) {
            self.second = Slot::Empty;
            self.second_at = now;
        } else if now >= self.second_at {
            self.second_at = now.plus(SECOND_RENEW_MS);
            self.second.connect(self.target.clone(), limit_ms);
        }
    }

    /// Sends what is due.
    fn ask(&mut self, now: Instant) {
        if now >= self.ping_at {
            self.ping_at = self.phase.next(now, self.watch.rules().period_ms());
            for line in [self.main.line(), self.second.line()].into_iter().flatten() {
                self.watch.asked(now);
                line.ask_ping(now);
            }
        }
        let primary = self.watch.rules().recorded == Role::Primary;
        if now >= self.info_at
            && let Some(line) = self.main.line()
        {
            if line.infos_pending() < INFOS_MAX {
                line.ask_info();
                if primary {
                    line.ask_sentinels();
                }
            }
            self.info_asked_at = now;
            self.info_at = self.info_due(now);
        }
    }

    fn judge(&mut self, now: Instant) {
        let before = self.watch.verdict();
        if let Some(verdict) = self.watch.judge(now) {
            // That it is down or back is an event; why is said here.
            match self.watch.cause(now) {
                Some(cause) => info!(
                    target: "cfgserver::probe", group = %self.known.group.name, address = %self.address, ?cause,
                    last_error = self.picture.last_error(), "judged down"
                ),
                None => debug!(
                    target: "cfgserver::probe", group = %self.known.group.name, address = %self.address, ?verdict,
                    "judged"
                ),
            }
            self.announce_verdict(before);
        }
        self.picture.judged(&self.watch, now);
    }

    fn announce_verdict(&self, before: Verdict) {
        let event = verdict_event(&self.known.group, self.address, before, self.watch.verdict());
        if let Some(event) = event {
            self.shared.announce.announce(event);
        }
    }

    /// Tells the other tasks of the group what to think of the primary, if it is this one.
    fn suspect(&mut self, now: Instant) {
        if self.watch.rules().recorded != Role::Primary {
            return;
        }
        let is_down = self.watch.verdict().is_down();
        let suspect = is_down || self.watch.wants_second_connection(now);
        let newly_down = is_down && self.picture.has_new_verdict();
        if suspect == self.known.suspect && !newly_down {
            return;
        }
        self.known.suspect = suspect;
        self.brief.send_if_modified(|brief| {
            let changed = brief.suspect != suspect || newly_down;
            brief.suspect = suspect;
            brief.info_wishes += u64::from(newly_down);
            changed
        });
    }

    fn show(&mut self, now: Instant) {
        let (link, pending, ping_sent_at) = match &self.main {
            Slot::Open(line) if line.heard => (LinkState::Connected, line.pending(), line.ping_sent_at()),
            Slot::Open(line) => (LinkState::Disconnected, line.pending(), line.ping_sent_at()),
            _ => (LinkState::Disconnected, 0, None),
        };
        // A PING that is on its way is shown when its answer does not come before the next turn.
        if ping_sent_at != Some(now) {
            self.picture.linked(link, pending, ping_sent_at);
        }
        let new_verdict = self.picture.has_new_verdict();
        if let Some((sighting, change)) = self.picture.unshown() {
            let id = self.known.group.id;
            self.shared.board.put_sighting(id, self.address, sighting, change);
            if new_verdict {
                self.shared.changes.mark(id);
            }
        }
    }
}

/// When things are due.
impl Instance {
    fn wake_at(&self, now: Instant) -> Instant {
        let main = match &self.main {
            Slot::Empty => Some(self.connect_due()),
            Slot::Connecting(_) => None,
            Slot::Open(_) => Some(self.info_at),
        };
        let second = self.wants_second(now).then_some(self.second_at);
        let moments = [Some(self.ping_at), main, second, self.watch.deadline(now)];
        let wake = moments.into_iter().flatten().min().unwrap_or(self.ping_at);
        // Whatever is due already has been done by now: never spin.
        wake.max(now.plus(1))
    }

    fn connect_due(&self) -> Instant {
        // An attempt at the moment when one more refusal means Down.
        let due = self.watch.refused_due().filter(|due| *due > self.attempted_at);
        due.map_or(self.connect_at, |due| due.min(self.connect_at))
    }

    fn wants_second(&self, now: Instant) -> bool {
        self.main.is_open() && self.watch.wants_second_connection(now)
    }

    /// When INFO is to be asked again.
    fn info_due(&self, now: Instant) -> Instant {
        let period_ms = self.info_period_ms();
        together(self.info_asked_at.plus(period_ms), period_ms, now)
    }

    fn info_period_ms(&self) -> Age {
        let replica = self.watch.rules().recorded == Role::Replica;
        // What comes after loading, and who is a master without being the primary, must not wait.
        let unsettled = |facts: &Facts| {
            facts.loading
                || match facts.role {
                    Role::Replica => !facts.primary_link_up,
                    Role::Primary => replica,
                }
        };
        let fast = self.watch.rules().pace == Pace::Alert
            || self.watch.says_wrong_role()
            || self.picture.facts().is_none_or(unsettled);
        let turned_ms = self.dials.turned_ms(Period::Info);
        let usual_ms = match self.watch.rules().pace {
            Pace::Remote => self.shared.settings.info_every_ms.max(REMOTE_MS),
            _ => self.shared.settings.info_every_ms,
        };
        let calm_ms = turned_ms.unwrap_or(usual_ms);
        if fast { INFO_FAST_MS.min(calm_ms) } else { calm_ms }
    }
}

/// It serves those who have the right user and password. Before Redis 6 it has no codes for that, and one user.
fn is_locked(text: &str) -> bool {
    let codes = ["NOAUTH", "WRONGPASS", "NOPERM"];
    let coded = codes.iter().any(|code| text.starts_with(code));
    coded || text.contains("invalid password") || text.contains("for 'auth' command")
}

/// What an answer to PING means, and what to show of it.
fn ping_answer(answer: &Answer) -> (PingAnswer, &str) {
    match answer {
        Answer::Simple(text) if text == "PONG" => (PingAnswer::Pong, ""),
        Answer::Error(text) if text.starts_with("LOADING") || text.starts_with("MASTERDOWN") => {
            (PingAnswer::Busy, text)
        }
        Answer::Error(text) if is_locked(text) => (PingAnswer::Locked, text),
        Answer::Error(text) => (PingAnswer::Unacceptable, text),
        _ => (PingAnswer::Unacceptable, "unexpected answer to ping"),
    }
}
