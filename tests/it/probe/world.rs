//! A probe with a board, a log that is always committed, and a leader that remembers what it was sent.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cfgserver::board::Board;
use cfgserver::clock::Clock;
use cfgserver::detect::{Judgement, Vote, VoteAck, VoteReport};
use cfgserver::machine::{Command, Entry, MemberFacts, Outcome, State, apply};
use cfgserver::model::{
    Address, Event, EventKind, Facts, GroupId, GroupName, Instant, MyId, NodeId, Setting, Sighting, Term, Verdict,
};
use cfgserver::probe::{Announce, Probe, ProbeParts, ProbeSettings, Votes};
use cfgserver::requests::{NodeStatus, Sightings, WriteError};
use cfgserver::task::Tasks;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::servers::{Server, wait_for};

/// A running probe and everything around it.
pub(super) struct World {
    pub(super) board: Arc<Board>,
    pub(super) clock: Clock,
    pub(super) group: GroupId,
    pub(super) name: GroupName,
    tasks: Tasks,
    leader: Arc<Leader>,
}

/// Takes votes and events.
struct Leader {
    leadership: watch::Sender<Option<(NodeId, Term)>>,
    ack: Mutex<VoteAck>,
    reports: Mutex<Vec<VoteReport>>,
    votes: Mutex<BTreeMap<GroupId, Vote>>,
    events: Mutex<Vec<EventKind>>,
    /// The next report keeps the thread of the probe for so long.
    stall: Mutex<Duration>,
}

impl Votes for Leader {
    fn report(&self, report: VoteReport) -> BoxFuture<'_, Result<VoteAck, WriteError>> {
        std::thread::sleep(std::mem::take(&mut *self.stall.lock().unwrap()));
        let ack = *self.ack.lock().unwrap();
        self.reports.lock().unwrap().push(report.clone());
        if ack == VoteAck::Taken {
            let mut votes = self.votes.lock().unwrap();
            if report.whole {
                votes.clear();
            }
            votes.extend(report.votes.into_iter().map(|vote| (vote.key.group, vote)));
        }
        Box::pin(std::future::ready(Ok(ack)))
    }

    fn leadership(&self) -> watch::Receiver<Option<(NodeId, Term)>> {
        self.leadership.subscribe()
    }
}

impl Announce for Leader {
    fn announce(&self, event: Event) {
        assert_eq!(event.revision, None, "own sightings are not from the log");
        self.events.lock().unwrap().push(event.kind);
    }
}

impl World {
    /// Watches a group whose primary is at this server, with these settings from the start.
    pub(super) fn watching(primary: &Server, settings: &[Setting]) -> Self {
        Self::watching_address(primary.address, settings)
    }

    pub(super) fn watching_address(primary: Address, settings: &[Setting]) -> Self {
        let name = GroupName::new("orders").unwrap();
        let clock = Clock::start();
        let mut world = Self {
            board: Arc::new(Board::new(NodeStatus::default())),
            clock,
            group: GroupId(0),
            name: name.clone(),
            tasks: Tasks::default(),
            leader: Arc::new(Leader {
                leadership: watch::Sender::new(Some((1, 7))),
                ack: Mutex::new(VoteAck::Taken),
                reports: Mutex::default(),
                votes: Mutex::default(),
                events: Mutex::default(),
                stall: Mutex::default(),
            }),
        };
        world.apply(Command::Monitor {
            host: None,
            name: name.clone(),
            primary,
            quorum: 1,
            settings: Vec::new(),
        });
        world.set(settings);
        world.group = world.board.state().group_named(name.as_str()).unwrap().id;
        Probe::start(ProbeParts {
            board: world.board.clone(),
            clock,
            tasks: world.tasks.clone(),
            node: 1,
            my_id: MyId("0123456789abcdef".into()),
            votes: world.leader.clone(),
            announce: world.leader.clone(),
            settings: ProbeSettings::default(),
        })
        .unwrap();
        world
    }

    /// Has the probe stand still for so long, soon.
    pub(super) fn stall(&self, duration: Duration) {
        *self.leader.stall.lock().unwrap() = duration;
    }

    /// Applies a command as if the cluster had committed it.
    pub(super) fn apply(&self, command: Command) {
        let mut state = State::clone(&self.board.state());
        let entry = Entry {
            command,
            at: self.clock.wall(),
        };
        let applied = apply(&mut state, &entry);
        assert!(
            !matches!(applied.outcome, Outcome::Rejected(_)),
            "{:?}",
            applied.outcome
        );
        self.board.publish_state(Arc::new(state));
    }

    pub(super) fn set(&self, settings: &[Setting]) {
        if settings.is_empty() {
            return;
        }
        self.apply(Command::Set {
            name: self.name.clone(),
            settings: settings.to_vec(),
        });
    }

    /// Makes an instance a member.
    pub(super) fn learn(&self, address: Address) {
        self.learn_facts(address, MemberFacts::default());
    }

    pub(super) fn learn_facts(&self, address: Address, facts: MemberFacts) {
        let group = self.board.state().group(self.group).unwrap().clone();
        self.apply(Command::Learn {
            group: group.id,
            on: group.version,
            members: BTreeMap::from([(address, facts)]),
        });
    }

    pub(super) fn sighting(&self, address: Address) -> Option<Sighting> {
        self.board.sighting(self.group, address)
    }

    pub(super) async fn wait<T>(&self, what: &str, condition: impl FnMut() -> Option<T>) -> T {
        wait_for(what, &self.clock, condition).await
    }

    pub(super) async fn wait_sighting(
        &self,
        what: &str,
        address: Address,
        good: impl Fn(&Sighting) -> bool,
    ) -> Sighting {
        self.wait(what, || self.sighting(address).filter(&good)).await
    }

    pub(super) async fn wait_up(&self, address: Address) -> Sighting {
        self.wait_sighting("it is up", address, |seen| seen.verdict == Verdict::Up)
            .await
    }

    pub(super) async fn wait_down(&self, address: Address) -> Sighting {
        self.wait_sighting("it is down", address, |seen| seen.verdict.is_down())
            .await
    }

    pub(super) fn down_since(&self, address: Address) -> Instant {
        match self.sighting(address).map(|seen| seen.verdict) {
            Some(Verdict::Down { since }) => since,
            other => panic!("not down: {other:?}"),
        }
    }

    pub(super) async fn wait_facts(&self, address: Address, good: impl Fn(&Facts) -> bool) -> Arc<Facts> {
        let has = |seen: &Sighting| seen.facts.as_ref().is_some_and(|facts| good(facts));
        self.wait_sighting("the facts are there", address, has)
            .await
            .facts
            .unwrap()
    }

    pub(super) fn events(&self) -> Vec<EventKind> {
        self.leader.events.lock().unwrap().clone()
    }

    /// How many `+sdown` there were.
    pub(super) fn downs(&self) -> usize {
        self.events()
            .iter()
            .filter(|kind| matches!(kind, EventKind::Down(_)))
            .count()
    }

    pub(super) async fn wait_event(&self, what: &str, good: impl Fn(&EventKind) -> bool) {
        self.wait(what, || self.events().iter().any(&good).then_some(())).await;
    }

    /// The group's vote as the leader knows it.
    pub(super) fn vote(&self) -> Option<Vote> {
        self.leader.votes.lock().unwrap().get(&self.group).cloned()
    }

    pub(super) async fn wait_vote(&self, verdict: Judgement) {
        self.wait("the vote arrives", || (self.vote()?.verdict == verdict).then_some(()))
            .await;
    }

    /// Another node leads, or another term.
    pub(super) fn lead(&self, node: NodeId, term: Term) {
        self.leader.leadership.send_replace(Some((node, term)));
    }

    pub(super) fn answer(&self, ack: VoteAck) {
        *self.leader.ack.lock().unwrap() = ack;
    }

    pub(super) fn forget_reports(&self) {
        self.leader.reports.lock().unwrap().clear();
    }

    pub(super) async fn wait_reports(&self, count: usize) -> Vec<VoteReport> {
        self.wait("reports arrive", || {
            let reports = self.leader.reports.lock().unwrap();
            (reports.len() >= count).then(|| reports.clone())
        })
        .await
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.tasks.stopping().cancel();
    }
}
