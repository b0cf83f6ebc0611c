//! The proxy as a child of the agent: started, restarted on a change, started again when it ends by itself.
//!
//! ```text
//! idle --restart--> running --ends by itself--> waiting --pause is over--> running
//!                   running --restart--> SIGTERM .. (SIGKILL) .. running
//! ```
//!
//! Its output is the agent's own: a proxy must never wait for someone to read its log.
//! What does not live here: its file.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::Signal;
use tokio::process::{Child, Command};
use tokio::sync::{Notify, mpsc, oneshot};
use tracing::{info, warn};

use super::command::{describe, prepare, signal};
use super::leftover::{self, Identity};
use super::listening::listeners;
use super::memory::Note;
use super::status::ChildStatus;
use crate::clock::Clock;
use crate::model::Instant;
use crate::task::Tasks;

/// It may take this long to end when asked; then it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(5);
/// For this long its first steps are watched: whether it listens, or ends at once.
const START_LIMIT_MS: u64 = 500;
/// It listens for its statistics before it finds that a port of a pool is taken: only what lasts is believed.
const STEADY_LISTENING_MS: u64 = 100;
/// How often that is looked at: the gap is measured with this precision.
const START_STEP: Duration = Duration::from_millis(1);
/// First pause after an end by itself; it doubles.
const PAUSE_MS: u64 = 200;
const PAUSE_MAX_MS: u64 = 10_000;
/// After living for this long, an end by itself counts as the first one, and is followed by a start at once.
const STEADY_MS: u64 = 10_000;
/// Orders come from one place, one at a time.
const ORDERS_MAX: usize = 1;

/// What a child needs.
pub(super) struct ChildParts {
    /// Program and arguments, complete.
    pub(super) words: Vec<String>,
    pub(super) folder: PathBuf,
    /// Remembers which process it is.
    pub(super) note: Note,
    /// What it carries in its environment: the agent's state folder.
    pub(super) mark: PathBuf,
    /// Told when its status changes.
    pub(super) stir: Arc<Notify>,
    pub(super) clock: Clock,
}

/// The handle of a child. The child ends when this is dropped, or when the agent stops.
pub(super) struct Keeper {
    orders: mpsc::Sender<Order>,
    shown: Arc<Mutex<ChildStatus>>,
    note: Note,
    mark: PathBuf,
}

enum Order {
    Restart(oneshot::Sender<Result<u64, String>>),
    Stop(oneshot::Sender<()>),
}

impl Keeper {
    /// Begins to keep; nothing is started before the first restart.
    pub(super) fn start(parts: ChildParts, tasks: &Tasks) -> Self {
        let (orders, inbox) = mpsc::channel(ORDERS_MAX);
        let shown = Arc::new(Mutex::new(ChildStatus::default()));
        let (note, mark) = (parts.note.clone(), parts.mark.clone());
        let care = Care {
            parts,
            shown: shown.clone(),
            living: None,
            again: None,
            pause_ms: 0,
        };
        let stopping = tasks.stopping();
        tasks.spawn("proxy", async move {
            let mut care = care;
            tokio::select! {
                () = care.run(inbox) => {}
                () = stopping.cancelled() => {}
            }
            care.end().await;
        });
        Self {
            orders,
            shown,
            note,
            mark,
        }
    }

    /// Ends the child of an agent that could not do it itself.
    pub(super) async fn end_leftover(&self) {
        let noted = self.note.load::<Identity>();
        for left in noted.into_iter().chain(leftover::marked(&self.mark)) {
            leftover::end(&left, STOP_LIMIT).await;
        }
        self.note.forget();
    }

    /// Whether there ever was a start.
    pub(super) fn was_started(&self) -> bool {
        self.status().started.is_some()
    }

    /// Ends the child where it runs, and starts it. Answers for how many milliseconds nobody listened; an error when
    /// the new one ended at once (it is started again, later).
    pub(super) async fn restart(&self) -> Result<u64, String> {
        let (reply, answer) = oneshot::channel();
        let gone = || "the agent is stopping".to_owned();
        self.orders.send(Order::Restart(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    pub(super) fn status(&self) -> ChildStatus {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the child.
    pub(super) async fn stop(self) {
        let (reply, done) = oneshot::channel();
        if self.orders.send(Order::Stop(reply)).await.is_ok() {
            // No answer: the agent is stopping anyway, and the child with it.
            let _ = done.await;
        }
    }
}

struct Care {
    parts: ChildParts,
    shown: Arc<Mutex<ChildStatus>>,
    living: Option<Living>,
    /// When to start it again.
    again: Option<Instant>,
    pause_ms: u64,
}

struct Living {
    child: Child,
    pid: u32,
    since: Instant,
}

impl Care {
    async fn run(&mut self, mut inbox: mpsc::Receiver<Order>) {
        loop {
            tokio::select! {
                order = inbox.recv() => match order {
                    Some(Order::Restart(reply)) => {
                        // Who no longer waits for the answer finds it in the status.
                        let _ = reply.send(self.restart().await);
                    }
                    Some(Order::Stop(reply)) => {
                        self.end().await;
                        let _ = reply.send(());
                        return;
                    }
                    None => return,
                },
                status = ended(&mut self.living) => {
                    self.ended_by_itself(&status);
                }
                () = pause(self.parts.clock, self.again) => {
                    self.again = None;
                    self.show(|shown| shown.revived += 1);
                    if let Err(reason) = self.start() {
                        self.wait_longer(&reason);
                    }
                }
            }
        }
    }

    /// The gap begins with the signal to the old process, and ends when the new one listens.
    async fn restart(&mut self) -> Result<u64, String> {
        let before = self.parts.clock.now();
        self.again = None;
        self.pause_ms = 0;
        self.end().await;
        if let Err(reason) = self.start() {
            self.wait_longer(&reason);
            return Err(reason);
        }
        let started = self.parts.clock.now();
        let (mut listening, mut since) = (0, started);
        while self.parts.clock.now().since(started) < START_LIMIT_MS {
            if let Ok(status) = tokio::time::timeout(START_STEP, ended(&mut self.living)).await {
                return Err(self.ended_by_itself(&status));
            }
            let count = self.living.as_ref().map_or(0, |living| listeners(living.pid));
            if count > listening {
                (listening, since) = (count, self.parts.clock.now());
            } else if listening > 0 && self.parts.clock.now().since(since) >= STEADY_LISTENING_MS {
                break;
            }
        }
        // A wrapper never listens itself: it lives, then the gap is until its start.
        Ok(since.since(before))
    }

    fn start(&mut self) -> Result<(), String> {
        let mut command: Command = prepare(&self.parts.words, &self.parts.folder);
        let spawned = command
            .env(leftover::MARK, &self.parts.mark)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let child = spawned.map_err(|error| format!("cannot run '{}': {error}", self.parts.words.join(" ")))?;
        let pid = child.id().unwrap_or_default();
        if let Some(identity) = Identity::of(pid) {
            self.parts.note.save(&identity);
        }
        info!(target: "cfgserver::agent", pid, "proxy started");
        let wall = self.parts.clock.wall();
        self.show(|shown| {
            shown.pid = Some(pid);
            shown.started = Some(wall);
        });
        self.living = Some(Living {
            child,
            pid,
            since: self.parts.clock.now(),
        });
        Ok(())
    }

    /// Asks it to end, and kills what does not.
    async fn end(&mut self) {
        let Some(mut living) = self.living.take() else { return };
        signal(living.pid, Signal::TERM, true);
        if tokio::time::timeout(STOP_LIMIT, living.child.wait()).await.is_err() {
            warn!(target: "cfgserver::agent", pid = living.pid, "the proxy does not end when asked, it is killed");
            signal(living.pid, Signal::KILL, true);
            let _ = tokio::time::timeout(STOP_LIMIT, living.child.wait()).await;
        }
        self.gone(living.pid);
    }

    /// Its end is never right. Answers what to say of it.
    fn ended_by_itself(&mut self, status: &std::io::Result<ExitStatus>) -> String {
        let how = match status {
            Ok(status) => describe(*status),
            Err(error) => format!("was lost: {error}"),
        };
        let background = matches!(status, Ok(status) if status.success());
        let hint = if background {
            " (it must stay in the foreground)"
        } else {
            ""
        };
        let Some(living) = self.living.take() else { return how };
        let lived_ms = self.parts.clock.now().since(living.since);
        let reason = format!("the proxy {how} after {lived_ms} ms{hint}");
        self.gone(living.pid);
        // What went into the background would keep the ports.
        leftover::kill_marked(&self.parts.mark);
        if lived_ms >= STEADY_MS {
            self.pause_ms = 0;
            self.again = Some(self.parts.clock.now());
        }
        self.show(|shown| shown.last_end = Some(reason.clone()));
        self.wait_longer(&reason);
        reason
    }

    /// What it left in its group must not keep its ports.
    fn gone(&mut self, pid: u32) {
        signal(pid, Signal::KILL, true);
        self.parts.note.forget();
        self.show(|shown| shown.pid = None);
    }

    fn wait_longer(&mut self, reason: &str) {
        let now = self.parts.clock.now();
        let again = *self.again.get_or_insert(now.plus(self.pause_ms.max(PAUSE_MS)));
        self.pause_ms = (self.pause_ms.max(PAUSE_MS / 2) * 2).min(PAUSE_MAX_MS);
        warn!(target: "cfgserver::agent", reason, again_in_ms = again.since(now), "proxy ended by itself");
    }

    fn show(&self, change: impl FnOnce(&mut ChildStatus)) {
        change(&mut self.shown.lock().unwrap_or_else(PoisonError::into_inner));
        self.parts.stir.notify_one();
    }
}

async fn ended(living: &mut Option<Living>) -> std::io::Result<ExitStatus> {
    match living {
        Some(living) => living.child.wait().await,
        None => std::future::pending().await,
    }
}

async fn pause(clock: Clock, until: Option<Instant>) {
    match until {
        Some(until) => clock.sleep_until(until).await,
        None => std::future::pending().await,
    }
}
