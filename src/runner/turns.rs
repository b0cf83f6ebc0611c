//! The loop: takes events, starts, waits for ends.

use std::collections::BTreeMap;
use std::io;
use std::process::ExitStatus;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tracing::{debug, info, warn};

use crate::machine::State;
use crate::model::{Age, Event, EventKind, GroupId, Naming, Place, Revision, Switch};
use crate::pubsub::Subscription;
use crate::requests::Period;
use crate::script::{End, JobId, Part, Queue, Turn, Verdict, Words, reconfigured, told};
use crate::sentinel::Published;

use super::process::{self, NotStarted};
use super::{RunnerParts, Runs};

/// Who begins to lead tells the switches of this long before again: a script has that long to do its work.
const REPEATED_MS: Age = 60_000;
/// What a fork that failed is called in `-script-error`.
const NO_PROCESS: i32 = 99;
/// The exit code of a program that cannot be executed.
const NO_PROGRAM: i32 = 2;

type Ended = (JobId, io::Result<ExitStatus>);

/// The scripts of this node.
pub(super) struct Runner {
    parts: RunnerParts,
    events: Subscription,
    queue: Queue,
    processes: FuturesUnordered<BoxFuture<'static, Ended>>,
    /// The revision up to which others led, while this node leads.
    leads_since: Option<Revision>,
    /// The revision of the last switch of each group that was told here.
    switches: BTreeMap<GroupId, Revision>,
    /// The state that the last event was told from, and the one before: a group that was removed is told of that.
    states: [Arc<State>; 2],
    /// It was said that scripts are set and not run.
    complained: bool,
}

enum News {
    Leadership,
    Event(Option<Arc<Published>>),
    Ended(Ended),
    Time,
}

impl Runner {
    pub(super) fn new(parts: RunnerParts) -> Self {
        Self {
            events: parts.hub.subscribe(),
            queue: Queue::default(),
            processes: FuturesUnordered::new(),
            leads_since: None,
            switches: BTreeMap::new(),
            states: [parts.board.state(), Arc::default()],
            complained: false,
            parts,
        }
    }

    /// Runs until leadership is no longer told: the node is ending.
    pub(super) async fn run(&mut self) {
        self.follow_leadership();
        loop {
            self.advance();
            let wake = self.queue.wake_at(self.period_ms(Period::ScriptRuntime));
            let clock = self.parts.clock;
            let time = async {
                match wake {
                    Some(at) => clock.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let news = tokio::select! {
                biased;
                changed = self.parts.leadership.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    News::Leadership
                }
                event = self.events.next() => News::Event(event),
                Some(ended) = self.processes.next() => News::Ended(ended),
                () = time => News::Time,
            };
            match news {
                News::Leadership => self.follow_leadership(),
                News::Event(Some(event)) => self.take(&event),
                News::Event(None) => {
                    warn!(target: "cfgserver::script", "events came faster than they could be told: some were not");
                    self.events = self.parts.hub.subscribe();
                }
                News::Ended((id, status)) => self.ended(id, process::end(status)),
                News::Time => {}
            }
        }
    }

    /// Ends every process.
    pub(super) fn end_all(&mut self) {
        for script in self.queue.pending() {
            if let Turn::Runs(_, Some(process)) = script.turn {
                process::kill(process);
            }
        }
    }
}

/// What is to be run.
impl Runner {
    fn follow_leadership(&mut self) {
        let leads = self.parts.leadership.borrow_and_update().me;
        if leads == self.leads_since.is_some() {
            return;
        }
        if !leads {
            self.leads_since = None;
            return;
        }
        let state = self.parts.board.state();
        self.leads_since = Some(state.revision());
        let wall = self.parts.clock.wall();
        let naming = state.header().shared.naming();
        let from = |switch: &Switch| Place {
            address: switch.from,
            host: switch.from_host.clone().filter(|_| naming == Naming::Names),
        };
        for group in state.groups() {
            let recent = group
                .switches
                .last()
                .filter(|switch| wall.0.saturating_sub(switch.at.0) < REPEATED_MS);
            if let Some(switch) = recent
                && self.is_new(group.id, switch.revision)
                && let Some(words) = reconfigured(
                    group,
                    Part::of(group, true),
                    &from(switch),
                    &group.told(switch.to, naming),
                )
            {
                self.add(words);
            }
        }
    }

    /// Whether a switch was not told here yet. From now on it was.
    fn is_new(&mut self, group: GroupId, revision: Revision) -> bool {
        let told = self.switches.insert(group, revision);
        told.is_none_or(|told| told < revision)
    }

    fn take(&mut self, event: &Published) {
        let state = self.parts.board.state();
        if !Arc::ptr_eq(&state, &self.states[0]) {
            self.states.swap(0, 1);
            self.states[0] = state;
        }
        let group = |id| self.states.iter().find_map(|state| state.group(id));
        let Some(group) = event.group.and_then(group).cloned() else {
            return;
        };
        let leads = self.leads_since.is_some();
        // Events of another leader's time were told by it.
        let own = self
            .leads_since
            .is_some_and(|since| event.revision.is_none_or(|revision| revision > since));
        if !own && self.parts.runs != Runs::Always {
            return;
        }
        if let (Some(_), Some(revision)) = (&event.switch, event.revision)
            && !self.is_new(group.id, revision)
        {
            return;
        }
        for words in told(event, &group, Part::of(&group, leads)) {
            self.add(words);
        }
    }

    fn add(&mut self, words: Words) {
        if self.parts.runs == Runs::Never {
            if !std::mem::replace(&mut self.complained, true) {
                warn!(
                    target: "cfgserver::script", script = words.first(),
                    "scripts are not run by this node: it was started without --deny-scripts-reconfig no"
                );
            }
            return;
        }
        if let Some(words) = self.queue.add(words, self.parts.clock.now()) {
            warn!(target: "cfgserver::script", ?words, "too many scripts wait, the oldest one is given up");
        }
    }
}

/// What runs.
impl Runner {
    /// Ends what takes too long, starts what may start, shows it all.
    fn advance(&mut self) {
        let now = self.parts.clock.now();
        for (path, process) in self.queue.overdue(now, self.period_ms(Period::ScriptRuntime)) {
            process::kill(process);
            self.announce(EventKind::ScriptTimeout {
                path: path.into(),
                process,
            });
        }
        while let Some((id, words)) = self.queue.start(now) {
            self.start(id, &words);
        }
        let pending = self.queue.pending();
        if *self.parts.board.scripts() != pending {
            self.parts.board.set_scripts(pending);
        }
    }

    fn start(&mut self, id: JobId, words: &Words) {
        match process::start(words) {
            Ok(mut child) => {
                let process = child.id().unwrap_or_default();
                debug!(target: "cfgserver::script", ?words, process, "script runs");
                self.queue.started(id, process);
                self.processes.push(Box::pin(async move { (id, child.wait().await) }));
            }
            Err(NotStarted::NoProcess(error)) => {
                warn!(target: "cfgserver::script", ?words, %error, "script not started");
                self.script_error(words, NO_PROCESS, 0);
                self.ended(id, End::Signal(NO_PROCESS));
            }
            Err(NotStarted::NoProgram(error)) => {
                warn!(target: "cfgserver::script", ?words, %error, "script cannot be executed");
                self.ended(id, End::Code(NO_PROGRAM));
            }
        }
    }

    fn ended(&mut self, id: JobId, end: End) {
        let now = self.parts.clock.now();
        match self.queue.ended(id, end, now, self.period_ms(Period::ScriptRetry)) {
            Verdict::Done => debug!(target: "cfgserver::script", ?id, "script is done"),
            Verdict::Again(pause_ms) => {
                info!(target: "cfgserver::script", ?id, ?end, again_in_ms = pause_ms, "script failed");
            }
            Verdict::GivenUp(words) => {
                warn!(target: "cfgserver::script", ?words, ?end, "script is given up");
                let (signal, code) = match end {
                    End::Signal(signal) => (signal, 0),
                    End::Code(code) => (0, code),
                };
                self.script_error(&words, signal, code);
            }
            Verdict::Gone => {}
        }
    }

    fn script_error(&self, words: &Words, signal: i32, code: i32) {
        self.announce(EventKind::ScriptError {
            path: words.first().map(String::as_str).unwrap_or_default().into(),
            signal,
            code,
        });
    }

    fn announce(&self, kind: EventKind) {
        self.parts.hub.publish_local(Event {
            revision: None,
            group: None,
            kind,
        });
    }

    fn period_ms(&self, period: Period) -> Age {
        self.parts.board.dials().period_ms(period)
    }
}
