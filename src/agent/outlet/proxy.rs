//! Keeps the proxy's file true, and the proxy running with it.
//!
//! A file is never installed before the check has agreed to it, and what is installed is followed by a restart even
//! when the agent ends in between: the restart is owed on disk first.
//! What does not live here: what the file should say (`plan`).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::{Notify, oneshot};
use tracing::{info, warn};

use super::child::{ChildParts, Keeper};
use super::command::{self, Job};
use super::disk::{self, Beside, Signature};
use super::memory::{Note, Running};
use super::plan::{Following, Plan, dialect, full_name, plan};
use super::status::{Outcome, OutletError, OutletStatus};
use crate::agent::config::{Config, Process, Proxy};
use crate::agent::{Kind, Table};
use crate::clock::Clock;
use crate::task::Tasks;
use crate::template::Template;

/// A check reads one file.
const CHECK_LIMIT: Duration = Duration::from_secs(5);
/// A service manager may wait for the old process.
const RESTART_LIMIT: Duration = Duration::from_secs(60);
/// A template that was not touched for this long is complete.
const EDIT_QUIET: Duration = Duration::from_millis(250);
/// An edit that never rests is looked at again later.
const EDIT_TURNS_MAX: usize = 8;

/// The proxy's file and its process.
pub(super) struct ProxyFile {
    proxy: Proxy,
    names: BTreeMap<String, String>,
    folder: PathBuf,
    template: Template,
    /// The state of the template's file when it was read.
    seen: Signature,
    /// It is the proxy's last file, in place of a template that cannot be read.
    borrowed: bool,
    /// Why what is in the template's file now cannot be followed.
    template_fault: Option<String>,
    /// A change was found while the file was written, and nobody was told of it yet.
    untold_change: bool,
    following: Following,
    note: Note,
    running: Option<Running>,
    keeper: Option<Keeper>,
    clock: Clock,
    tasks: Tasks,
    status: OutletStatus,
}

impl ProxyFile {
    pub(super) fn open(
        config: &Config,
        proxy: &Proxy,
        clock: Clock,
        tasks: &Tasks,
        stir: &Arc<Notify>,
    ) -> Result<Self, OutletError> {
        let seen = disk::signature(&proxy.template);
        let (template, template_fault) = match read_template(proxy, &proxy.template) {
            Ok(template) => (template, None),
            // Better the proxy with its last file than no proxy, until the operator has mended the template.
            Err(error) => match read_template(proxy, &proxy.output) {
                Ok(last) if proxy.output != proxy.template => {
                    warn!(target: "cfgserver::agent", %error, "going on with the proxy's last file");
                    (last, Some(error.to_string()))
                }
                _ => return Err(error),
            },
        };
        let note = Note::new(&config.state_dir, "running.json");
        let keeper = match &proxy.process {
            Process::Restart(_) => None,
            Process::Run(words) => Some(Keeper::start(
                ChildParts {
                    words: command::words(words, Some(&proxy.output)),
                    folder: config.folder().to_owned(),
                    note: Note::new(&config.state_dir, "child.json"),
                    mark: config
                        .state_dir
                        .canonicalize()
                        .unwrap_or_else(|_| config.state_dir.clone()),
                    stir: stir.clone(),
                    clock,
                },
                tasks,
            )),
        };
        let mut outlet = Self {
            proxy: proxy.clone(),
            names: config.groups.clone(),
            folder: config.folder().to_owned(),
            following: Following::default(),
            template,
            seen,
            borrowed: template_fault.is_some(),
            template_fault,
            untold_change: false,
            running: note.load(),
            note,
            keeper,
            clock,
            tasks: tasks.clone(),
            status: OutletStatus {
                template: Some(proxy.template.clone()),
                file: Some(proxy.output.clone()),
                ..OutletStatus::default()
            },
        };
        outlet.follow();
        Ok(outlet)
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = String> + '_ {
        self.following.groups.values().cloned()
    }

    /// Group -> its servers in the file.
    pub(super) fn servers_of_groups(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut servers: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (index, group) in &self.following.groups {
            let name = full_name(&self.template.servers()[*index]);
            servers.entry(group.clone()).or_default().insert(name);
        }
        servers
    }

    pub(super) fn status(&self) -> OutletStatus {
        let mut status = self.status.clone();
        status.child = self.keeper.as_ref().map(Keeper::status);
        let child_fault = status.child.as_ref().filter(|child| child.pid.is_none());
        let child_fault = child_fault.and_then(|child| child.last_end.clone());
        status.fault = status.fault.or(child_fault).or_else(|| self.template_fault.clone());
        status
    }

    pub(super) async fn stop(self) {
        if let Some(keeper) = self.keeper {
            keeper.stop().await;
        }
    }

    /// A child is started with the best file there is, whatever stands in the way of a better one.
    pub(super) async fn begin(&mut self, table: &Table) -> Outcome {
        let Some(keeper) = &self.keeper else {
            return self.apply(table).await;
        };
        keeper.end_leftover().await;
        let written = self.write(table).await;
        let started = match self.proxy.output.exists() {
            true => self.restart().await,
            false => Ok(0),
        };
        let outcome = written.and_then(|plan| {
            Ok(Outcome::Applied {
                moved: plan.moves,
                proxy_down_ms: started?,
            })
        });
        self.settle(outcome)
    }

    pub(super) async fn apply(&mut self, table: &Table) -> Outcome {
        let outcome = self.try_apply(table).await;
        self.settle(outcome)
    }

    fn settle(&mut self, outcome: Result<Outcome, String>) -> Outcome {
        self.status.fault = outcome.as_ref().err().cloned();
        outcome.unwrap_or_else(|reason| Outcome::Refused { reason })
    }

    async fn try_apply(&mut self, table: &Table) -> Result<Outcome, String> {
        let plan = self.write(table).await?;
        let idle = self.keeper.as_ref().is_some_and(|keeper| !keeper.was_started());
        if !idle && !self.running.as_ref().is_some_and(|running| running.restart_owed) {
            return Ok(Outcome::Unchanged);
        }
        let proxy_down_ms = self.restart().await?;
        self.status.restarted = Some(self.clock.wall());
        self.status.proxy_down_ms = Some(proxy_down_ms);
        if self.proxy.kind == Kind::Bdrp {
            self.was_not_overwritten(table)?;
        }
        Ok(Outcome::Applied {
            moved: plan.moves,
            proxy_down_ms,
        })
    }

    /// Installs the file where it is not as it should be; then a restart is owed.
    async fn write(&mut self, table: &Table) -> Result<Plan, String> {
        if self.in_place() {
            // To write over an edit that cannot be read would lose it.
            self.untold_change |= self.read_again().await;
            if let Some(fault) = &self.template_fault {
                return Err(fault.clone());
            }
        }
        let present = self.present()?;
        let plan = self.plan(present.as_ref(), table)?;
        self.tell_of_stuck(&plan);
        let digest = self.digest(&plan.text);
        let right = match (&present, self.proxy.kind) {
            (None, _) => false,
            (Some(present), Kind::Nutcracker) => present.text() == plan.text,
            // The proxy writes this file in its own way: what it says counts, and whether the rest of it came from
            // this template.
            (Some(_), Kind::Bdrp) => {
                let known = |running: &Running| running.started_with.as_ref() == Some(&digest);
                !plan.differs && self.running.as_ref().is_none_or(known)
            }
        };
        if !right {
            self.install(&plan.text, &digest).await?;
            for moved in &plan.moves {
                let (server, from) = (moved.server.as_deref(), moved.from.as_deref());
                info!(target: "cfgserver::agent", server, from, to = moved.to, version = moved.version, "server moved");
            }
            return Ok(plan);
        }
        match &self.running {
            // The first time here: the proxy is taken to run with its file.
            None => self.remember(Some(digest), false),
            Some(running) if !running.restart_owed && running.started_with.as_ref() != Some(&digest) => {
                // The operator has changed the file in place.
                self.check(&self.proxy.output).await?;
                info!(target: "cfgserver::agent", file = %self.proxy.output.display(), "the file was changed by hand");
                self.remember(None, true);
            }
            Some(_) => {}
        }
        Ok(plan)
    }

    async fn install(&mut self, text: &str, digest: &str) -> Result<(), String> {
        let output = self.proxy.output.clone();
        let failed = |error: io::Error| format!("cannot write {}: {error}", output.display());
        let beside = Beside::write(&output, text, &self.proxy.template).map_err(failed)?;
        self.check(beside.path()).await?;
        if self.in_place() && disk::signature(&self.proxy.template) != self.seen {
            return Err(format!("{} is being edited", output.display()));
        }
        self.remember(None, true);
        beside.install().map_err(failed)?;
        info!(target: "cfgserver::agent", file = %output.display(), digest = &digest[..8], "file written");
        self.status.written = Some(self.clock.wall());
        if self.in_place() {
            // Who edits the file right after it was put in place must not be overlooked.
            let now = disk::signature(&self.proxy.template);
            if disk::read(&self.proxy.template).is_ok_and(|present| present == text) {
                self.seen = now;
            }
            self.template = Template::parse(text, dialect(self.proxy.kind)).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Makes the proxy read its file. Answers for how long it was away.
    async fn restart(&mut self) -> Result<u64, String> {
        let digest = disk::read(&self.proxy.output).ok().map(|text| self.digest(&text));
        let down = match (&self.keeper, &self.proxy.process) {
            (Some(keeper), _) => {
                let restarted = keeper.restart().await;
                // However it went, the keeper goes on trying with this file.
                self.remember(digest, false);
                restarted
            }
            (None, Process::Restart(words)) => {
                let before = self.clock.now();
                let restarted = self.run_restart(words.clone()).await;
                restarted.map(|()| {
                    self.remember(digest, false);
                    self.clock.now().since(before)
                })
            }
            (None, Process::Run(_)) => Ok(0),
        };
        down.map_err(|reason| format!("the file is in place, but the proxy is not well: {reason}"))
    }

    /// In a task of its own: an agent that is asked to stop must not leave a restart half done.
    async fn run_restart(&self, words: Vec<String>) -> Result<(), String> {
        let (file, folder, tasks) = (self.proxy.output.clone(), self.folder.clone(), self.tasks.clone());
        let (reply, done) = oneshot::channel();
        self.tasks.spawn("restart", async move {
            let job = Job {
                words: &words,
                file: Some(&file),
                folder: &folder,
                input: Vec::new(),
                limit: RESTART_LIMIT,
                ends_as_a_whole: false,
            };
            // Who no longer waits is stopping; the restart counts as owed then.
            let _ = reply.send(command::run(job, &tasks).await);
        });
        done.await.unwrap_or_else(|_| Err("the agent is stopping".to_owned()))
    }

    async fn check(&self, file: &std::path::Path) -> Result<(), String> {
        if self.proxy.check.is_empty() {
            return Ok(());
        }
        let job = Job {
            words: &self.proxy.check,
            file: Some(file),
            folder: &self.folder,
            input: Vec::new(),
            limit: CHECK_LIMIT,
            ends_as_a_whole: true,
        };
        let checked = command::run(job, &self.tasks).await;
        checked.map_err(|reason| format!("the check refuses the new file, the old one stays: {reason}"))
    }

    /// A BDRP that was told of a switch between our writing and its end writes its own memory over our file.
    fn was_not_overwritten(&mut self, table: &Table) -> Result<(), String> {
        let present = self.present()?;
        let plan = self.plan(present.as_ref(), table)?;
        if plan.differs {
            return Err("the proxy has rewritten its file meanwhile".to_owned());
        }
        Ok(())
    }

    fn plan(&self, present: Option<&Template>, table: &Table) -> Result<Plan, String> {
        let whole = plan(&self.template, self.proxy.kind, &self.following, present, table);
        whole.map_err(|error| format!("{}: {error}", self.proxy.template.display()))
    }

    /// The file that the proxy has; `None` when there is none that can be read as one.
    fn present(&self) -> Result<Option<Template>, String> {
        match disk::read(&self.proxy.output) {
            Ok(text) => Ok(Template::parse(&text, dialect(self.proxy.kind)).ok()),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => Ok(None),
            Err(error) => Err(format!("cannot read {}: {error}", self.proxy.output.display())),
        }
    }

    /// Says with what the proxy runs: the whole file, or for BDRP, which rewrites it, what it came from.
    fn digest(&self, text: &str) -> String {
        let known = self.running.as_ref().and_then(|running| running.started_with.clone());
        match (self.proxy.kind, known) {
            (Kind::Nutcracker, _) => digest(text),
            (Kind::Bdrp, Some(known)) if self.borrowed => known,
            (Kind::Bdrp, _) => digest(self.template.text()),
        }
    }

    fn remember(&mut self, started_with: Option<String>, restart_owed: bool) {
        let running = Running {
            started_with,
            restart_owed,
        };
        if self.running.as_ref() != Some(&running) {
            self.note.save(&running);
            self.running = Some(running);
        }
    }

    fn in_place(&self) -> bool {
        self.proxy.output == self.proxy.template
    }

    pub(super) async fn template_changed(&mut self) -> bool {
        let found_before = std::mem::take(&mut self.untold_change);
        self.read_again().await || found_before
    }

    /// Reads the template where it is another one than before. Answers whether anything is different now.
    async fn read_again(&mut self) -> bool {
        let mut now = disk::signature(&self.proxy.template);
        if now == self.seen {
            return false;
        }
        for turn in 0.. {
            tokio::time::sleep(EDIT_QUIET).await;
            let before = std::mem::replace(&mut now, disk::signature(&self.proxy.template));
            if before == now {
                break;
            }
            if turn == EDIT_TURNS_MAX {
                return false;
            }
        }
        self.seen = now;
        match read_template(&self.proxy, &self.proxy.template) {
            Ok(template) => {
                let mended = self.template_fault.take().is_some();
                let changed = template.text() != self.template.text();
                self.borrowed = false;
                if changed {
                    info!(target: "cfgserver::agent", file = %self.proxy.template.display(), "the template has changed");
                    self.template = template;
                    self.follow();
                }
                changed || mended
            }
            Err(error) => {
                warn!(target: "cfgserver::agent", %error, "the changed template cannot be followed");
                self.template_fault = Some(error.to_string());
                true
            }
        }
    }

    fn follow(&mut self) {
        self.following = Following::of(&self.template, self.proxy.kind, &self.names);
        for server in &self.following.unfollowed {
            warn!(target: "cfgserver::agent", server = server.server, reason = server.reason, "not followed");
        }
        self.status.unfollowed.clone_from(&self.following.unfollowed);
    }

    fn tell_of_stuck(&mut self, plan: &Plan) {
        let known = &self.status.stuck;
        for server in plan.stuck.iter().filter(|server| !known.contains(server)) {
            warn!(target: "cfgserver::agent", server = server.server, reason = server.reason, "keeps its address");
        }
        self.status.stuck.clone_from(&plan.stuck);
    }
}

fn read_template(proxy: &Proxy, path: &std::path::Path) -> Result<Template, OutletError> {
    let text = disk::read(path).map_err(|error| OutletError::Unreadable {
        path: path.to_owned(),
        error,
    })?;
    Template::parse(&text, dialect(proxy.kind)).map_err(|error| OutletError::Template {
        path: path.to_owned(),
        error,
    })
}

fn digest(text: &str) -> String {
    let hash = Sha256::digest(text.as_bytes());
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
