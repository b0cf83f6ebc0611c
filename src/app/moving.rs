//! `import` and `export`: asks, shows the plan, carries it out, and looks again.
//!
//! What does not live here: what a file or a reply means, and what there is to do (`import`).

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;

use super::process::cannot_start;
use crate::cli::{EXIT_CANNOT_START, EXIT_OK, Import, MoveInvocation, Origin, Secret};
use crate::clock::Clock;
use crate::import::{Deed, GroupPlan, Live, Plan, Present, Source, Useless, export, parse_conf};
use crate::model::{Age, HostPort};
use crate::redis::{Answer, Link, request};

const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Longer than a node waits for its leader.
const CALL_LIMIT: Duration = Duration::from_secs(20);
/// How long a node may take to know its cluster, and how often it is asked.
const READY_MS: Age = 10_000;
const READY_AGAIN_MS: Age = 100;
/// Ten thousand groups have less; more is the wrong file.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// A file of another kind has a fault on each line.
const FAULTS_SHOWN: usize = 20;
/// Groups of a Sentinel that are asked about in one write.
const GROUPS_AT_ONCE: usize = 64;

/// Does what is asked; answers the exit code.
pub(super) fn run(invocation: &MoveInvocation) -> u8 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
        runtime.block_on(async {
            match invocation {
                MoveInvocation::Import(import) => move_over(import).await,
                MoveInvocation::Export(place) => print_groups(place).await,
            }
        })
    });
    done.unwrap_or_else(|fault| cannot_start(&fault))
}

/// A reader that had enough (`| head`) is no fault.
fn say(text: &str) {
    _ = std::io::stdout().write_all(text.as_bytes());
    _ = std::io::stdout().flush();
}

async fn print_groups(place: &HostPort) -> anyhow::Result<u8> {
    let (_, present) = Node::meet(place).await?;
    say(&export(&present));
    Ok(EXIT_OK)
}

async fn move_over(import: &Import) -> anyhow::Result<u8> {
    let source = read_source(&import.origin).await?;
    let (mut node, present) = Node::meet(&import.to).await?;
    let plan = make_plan(import, source.as_ref(), &present);
    say(&format!(
        "from {}\nto   cluster {} at {} (nodes: {})\n\n{}",
        import.origin_text(),
        present.cluster,
        import.to,
        present.electorate,
        plan.to_text()
    ));
    if plan.is_refused() {
        say("Nothing was done: correct what is refused, or leave it out with --group.\n");
        return Ok(EXIT_CANNOT_START);
    }
    if plan.is_done() {
        say("There is nothing to do.\n");
        return Ok(EXIT_OK);
    }
    if !import.apply {
        say("Nothing was done: --apply does it.\n");
        return Ok(EXIT_OK);
    }
    let failed = node.carry_out(&plan).await?;
    let again = make_plan(import, source.as_ref(), &node.look().await?);
    finish(failed, &again)
}

/// What is left to do, by a second look.
fn finish(failed: usize, again: &Plan) -> anyhow::Result<u8> {
    if failed == 0 && again.is_done_but_for_secrets() {
        say("Done.\n");
        return Ok(EXIT_OK);
    }
    say(&format!(
        "Not everything is done ({}): run it again.\n",
        again.summary()
    ));
    Ok(EXIT_CANNOT_START)
}

fn make_plan(import: &Import, source: Option<&Source>, present: &Present) -> Plan {
    match (&import.origin, source) {
        (Origin::Cluster(mode), _) => Plan::of_modes(present, *mode, &import.wish),
        (_, Some(source)) => Plan::new(source, present, &import.wish),
        (_, None) => Plan::new(&Source::default(), present, &import.wish),
    }
}

async fn read_source(origin: &Origin) -> anyhow::Result<Option<Source>> {
    match origin {
        Origin::File(path) => read_file(path).map(Some),
        Origin::Live { place, user, password } => {
            let source = ask_sentinel(place, user, password.as_ref()).await;
            Ok(Some(source.with_context(|| format!("the Sentinel at {place}"))?))
        }
        Origin::Cluster(_) => Ok(None),
    }
}

fn read_file(path: &Path) -> anyhow::Result<Source> {
    let shown = path.display();
    let facts = std::fs::metadata(path).with_context(|| format!("cannot read {shown}"))?;
    if facts.is_file() && facts.len() > FILE_BYTES_MAX {
        bail!("{shown}: larger than any sentinel.conf");
    }
    let text = std::fs::read(path).with_context(|| format!("cannot read {shown}"))?;
    parse_conf(&text).map_err(|faults| {
        let lines = faults.iter().take(FAULTS_SHOWN).map(|fault| format!("{shown}:{fault}"));
        let mut lines: Vec<String> = lines.collect();
        if faults.len() > FAULTS_SHOWN {
            lines.push(format!("{} more lines are refused", faults.len() - FAULTS_SHOWN));
        }
        anyhow::anyhow!(lines.join("\ncfgserver: "))
    })
}

async fn ask_sentinel(place: &HostPort, user: &str, password: Option<&Secret>) -> anyhow::Result<Source> {
    let password = password.map(|secret| std::str::from_utf8(secret.bytes())).transpose();
    let password = password.context("the password is no UTF-8")?.unwrap_or_default();
    let mut link = Link::dial(place, user, password, CONNECT_LIMIT).await?;
    let masters = call(&mut link, &[request(["SENTINEL", "MASTERS"])]).await?;
    let mut live = Live::read(&masters[0])?;
    for groups in live.groups.chunks_mut(GROUPS_AT_ONCE) {
        let ask = |words: fn(&str) -> [&str; 3]| -> Vec<Vec<Bytes>> {
            groups
                .iter()
                .map(|group| request(words(group.name().as_str())))
                .collect()
        };
        let replicas = ask(|name| ["SENTINEL", "REPLICAS", name]);
        let slaves = ask(|name| ["SENTINEL", "SLAVES", name]);
        let sentinels = ask(|name| ["SENTINEL", "SENTINELS", name]);
        let mut replicas = call(&mut link, &replicas).await?;
        if replicas.iter().any(|answer| matches!(answer, Answer::Error(_))) {
            // Before 5.0 there was no other name.
            replicas = call(&mut link, &slaves).await?;
        }
        let sentinels = call(&mut link, &sentinels).await?;
        for (group, (replicas, sentinels)) in groups.iter_mut().zip(replicas.iter().zip(&sentinels)) {
            group
                .complete(replicas, sentinels)
                .with_context(|| format!("group {}", group.name()))?;
        }
    }
    Ok(live.into_source())
}

async fn call(link: &mut Link, requests: &[Vec<Bytes>]) -> anyhow::Result<Vec<Answer>> {
    Ok(link.call(requests, CALL_LIMIT).await?)
}

/// A node of the cluster.
struct Node<'a> {
    place: &'a HostPort,
    link: Link,
}

impl<'a> Node<'a> {
    async fn meet(place: &'a HostPort) -> anyhow::Result<(Self, Present)> {
        let link = Link::dial(place, "", "", CONNECT_LIMIT).await;
        let link = link.with_context(|| format!("the node at {place}"))?;
        let mut node = Self { place, link };
        let present = node.look().await?;
        Ok((node, present))
    }

    /// What the cluster has. A node that has just been started is waited for.
    async fn look(&mut self) -> anyhow::Result<Present> {
        let context = || format!("the node at {}", self.place);
        let clock = Clock::start();
        let until = clock.now().plus(READY_MS);
        let asked = [request(["INFO", "raft"]), request(["CFG", "GROUPS"])];
        loop {
            let answers = call(&mut self.link, &asked).await.with_context(context)?;
            match Present::read(&answers[0], &answers[1]) {
                Err(Useless::NotYet(_)) if clock.now() < until => {
                    clock.sleep_until(clock.now().plus(READY_AGAIN_MS)).await;
                }
                read => return read.with_context(context),
            }
        }
    }

    /// Group by group, so that what is done is known when the connection ends. Answers how many could not be done.
    async fn carry_out(&mut self, plan: &Plan) -> anyhow::Result<usize> {
        let mut failed = 0;
        for group in plan.groups.iter().filter(|group| group.deed != Deed::Nothing) {
            match self.do_one(group).await? {
                None => say(&format!("{}: done\n", group.name)),
                Some(refusal) => {
                    failed += 1;
                    eprintln!("cfgserver: {}: {refusal}", group.name);
                }
            }
        }
        Ok(failed)
    }

    /// What the node refuses it with, if so.
    async fn do_one(&mut self, group: &GroupPlan) -> anyhow::Result<Option<String>> {
        for words in group.requests() {
            let words: Vec<Bytes> = words.into_iter().map(Bytes::from).collect();
            let context = || {
                let (node, name) = (self.place, &group.name);
                format!("the node at {node}: whether group {name} is done is not known: run it again")
            };
            let answers = call(&mut self.link, &[words]).await.with_context(context)?;
            match &answers[0] {
                Answer::Simple(_) => {}
                Answer::Error(text) => return Ok(Some(text.to_string())),
                _ => bail!("the node at {} answers what makes no sense", self.place),
            }
        }
        Ok(None)
    }
}
