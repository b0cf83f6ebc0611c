//! The operator's hook: told of what has changed since it agreed last, until it agrees to the newest table.
//!
//! One call at a time; what changes meanwhile, or while it fails, is one call later.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::sync::{Notify, watch};
use tracing::{info, warn};

use super::command::{self, Job};
use super::memory::Note;
use super::status::{HookStatus, Move};
use crate::agent::{Config, Hook, Route, Table};
use crate::clock::Clock;
use crate::model::Instant;
use crate::task::Tasks;

/// First pause after a failure; it doubles.
const PAUSE_MS: u64 = 1_000;
const PAUSE_MAX_MS: u64 = 30_000;

/// What the hook should know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct News {
    table: Table,
    /// Group -> its servers in the proxy's file.
    servers: BTreeMap<String, BTreeSet<String>>,
}

/// Tells the hook.
pub(super) struct Teller {
    newest: watch::Sender<News>,
    shown: Arc<Mutex<HookStatus>>,
}

impl Teller {
    pub(super) fn start(config: &Config, hook: &Hook, clock: Clock, tasks: &Tasks, stir: &Arc<Notify>) -> Self {
        let (newest, news) = watch::channel(News::default());
        let shown = Arc::new(Mutex::new(HookStatus::default()));
        let note = Note::new(&config.state_dir, "hook.json");
        let telling = Telling {
            hook: hook.clone(),
            folder: config.folder().to_owned(),
            told: note.load().unwrap_or_default(),
            note,
            clock,
            tasks: tasks.clone(),
            shown: shown.clone(),
            stir: stir.clone(),
        };
        let stopping = tasks.stopping();
        tasks.spawn("hook", async move {
            tokio::select! {
                () = telling.run(news) => {}
                () = stopping.cancelled() => {}
            }
        });
        Self { newest, shown }
    }

    /// Hands over the newest table; groups that are not in it yet are not spoken of.
    pub(super) fn tell(&self, table: &Table, groups: &BTreeSet<String>, servers: BTreeMap<String, BTreeSet<String>>) {
        let routes = table.routes.iter().filter(|(group, _)| groups.contains(*group));
        let news = News {
            table: Table {
                cluster: table.cluster.clone(),
                routes: routes.map(|(group, route)| (group.clone(), route.clone())).collect(),
            },
            servers,
        };
        self.newest.send_if_modified(|newest| {
            let differs = *newest != news;
            if differs {
                // Not only when the task comes to it: nobody may believe meanwhile that the hook knows.
                lock(&self.shown).pending = true;
            }
            *newest = news;
            differs
        });
    }

    pub(super) fn status(&self) -> HookStatus {
        lock(&self.shown).clone()
    }
}

struct Telling {
    hook: Hook,
    folder: PathBuf,
    /// What it has agreed to.
    told: Table,
    note: Note,
    clock: Clock,
    tasks: Tasks,
    shown: Arc<Mutex<HookStatus>>,
    /// Told when that changes.
    stir: Arc<Notify>,
}

impl Telling {
    async fn run(mut self, mut news: watch::Receiver<News>) {
        let mut pause_ms = 0;
        let mut last = self.clock.now();
        loop {
            let newest = news.borrow_and_update().clone();
            let Some(document) = document(&self.told, &newest) else {
                if !news.has_changed().unwrap_or(false) {
                    pause_ms = 0;
                    self.show(|shown| {
                        shown.pending = false;
                        // What it could not be told has been taken back.
                        shown.fault = None;
                    });
                }
                if news.changed().await.is_err() {
                    return;
                }
                continue;
            };
            self.show(|shown| shown.pending = true);
            if pause_ms > 0 && !self.rest(&mut news, last, pause_ms).await {
                return;
            }
            // The newest there is, after the pause too.
            if pause_ms > 0 && news.has_changed().unwrap_or(false) {
                pause_ms = 0;
                continue;
            }
            last = self.clock.now();
            pause_ms = match self.call(&document).await {
                Ok(()) => {
                    self.agreed(newest.table);
                    0
                }
                Err(reason) => {
                    warn!(target: "cfgserver::agent", reason, "the hook has failed, it is told again later");
                    self.show(|shown| shown.fault = Some(reason));
                    (pause_ms * 2).clamp(PAUSE_MS, PAUSE_MAX_MS)
                }
            };
        }
    }

    /// Waits after a failure. News may be what mends it: then it is soon enough after the shortest pause.
    async fn rest(&self, news: &mut watch::Receiver<News>, last: Instant, pause_ms: u64) -> bool {
        self.clock.sleep_until(last.plus(PAUSE_MS)).await;
        tokio::select! {
            () = self.clock.sleep_until(last.plus(pause_ms)) => true,
            changed = news.changed() => {
                news.mark_changed();
                changed.is_ok()
            }
        }
    }

    async fn call(&self, document: &Document) -> Result<(), String> {
        let mut input = serde_json::to_vec(document).map_err(|error| error.to_string())?;
        input.push(b'\n');
        let job = Job {
            words: &self.hook.command,
            file: None,
            folder: &self.folder,
            input,
            limit: self.hook.timeout,
            ends_as_a_whole: true,
        };
        command::run(job, &self.tasks).await
    }

    fn agreed(&mut self, table: Table) {
        self.note.save(&table);
        info!(target: "cfgserver::agent", groups = table.routes.len(), "hook told");
        self.told = table;
        let wall = self.clock.wall();
        self.show(|shown| {
            shown.told = Some(wall);
            shown.fault = None;
        });
    }

    fn show(&self, change: impl FnOnce(&mut HookStatus)) {
        let mut shown = lock(&self.shown);
        let before = shown.clone();
        change(&mut shown);
        if *shown != before {
            self.stir.notify_one();
        }
    }
}

fn lock(shown: &Mutex<HookStatus>) -> MutexGuard<'_, HookStatus> {
    // No code panics while it holds this lock, so a poisoned one is as good as any.
    shown.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the hook reads.
#[derive(Debug, Serialize)]
struct Document {
    cluster: Option<String>,
    /// Primaries that are elsewhere. Empty when only replicas have changed.
    changes: Vec<Move>,
    groups: BTreeMap<String, Route>,
}

/// What there is to say; `None`: nothing.
fn document(told: &Table, news: &News) -> Option<Document> {
    let mut changes = Vec::new();
    let mut differs = false;
    for (group, route) in &news.table.routes {
        let before = told.routes.get(group);
        differs |= before.is_none_or(|before| (before.primary, &before.replicas) != (route.primary, &route.replicas));
        let from = before.map(|before| before.primary);
        if from == Some(route.primary) {
            continue;
        }
        let change = |server| Move {
            group: group.clone(),
            server,
            from: from.map(|from| from.to_string()),
            to: route.primary.to_string(),
            version: route.version,
        };
        match news.servers.get(group) {
            Some(servers) => changes.extend(servers.iter().map(|server| change(Some(server.clone())))),
            None => changes.push(change(None)),
        }
    }
    differs.then(|| Document {
        cluster: news.table.cluster.clone(),
        changes,
        groups: news.table.routes.clone(),
    })
}
