//! One run: the hosts of a simulation, and its phases.

use std::sync::Arc;
use std::time::Duration;

use cfgserver::machine::State;
use cfgserver::model::Event;
use cfgserver::net::weather;
use cfgserver::raft::{ApplySink, Tuning};
use turmoil::Sim;

use super::disk::Disk;
use super::node::{self, Machine, Parts};
use super::story::Story;
use crate::chance::Chance;

struct Nobody;

impl ApplySink for Nobody {
    fn applied(&self, _: Arc<State>, _: Vec<Event>) {}
    fn replaced(&self, _: Arc<State>, _: Arc<State>) {}
}

pub(crate) struct World {
    sim: Sim<'static>,
    pub(crate) story: Story,
    chance: Chance,
    machines: Vec<Machine>,
}

impl World {
    pub(crate) fn new(seed: u64, story: Story) -> Self {
        weather::clear();
        let mut chance = Chance::new(seed);
        let mut sim = turmoil::Builder::new()
            .rng_seed(chance.next())
            .epoch(std::time::UNIX_EPOCH)
            .simulation_duration(Duration::from_secs(86_400))
            .tick_duration(Duration::from_millis(1))
            .min_message_latency(Duration::from_millis(1))
            .max_message_latency(Duration::from_millis(3))
            .tcp_capacity(4_096)
            .build();
        let count = *chance.pick(&[1, 3, 3, 3, 3, 3, 5]);
        let mut machines = Vec::new();
        for id in 1..=count {
            let parts = Parts {
                founding: node::founders(count),
                tuning: Tuning::default(),
                witness: Arc::new(|_| Arc::new(Nobody)),
            };
            let machine = Machine::new(id, chance.next(), Disk::new(3), parts);
            machines.push(machine.clone());
            sim.host(node::address(id), move || {
                let machine = machine.clone();
                machine.host.clone().run(machine.run())
            });
        }
        Self {
            sim,
            story,
            chance,
            machines,
        }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.sim.elapsed().as_millis() as u64
    }

    pub(crate) fn run(&mut self) -> Result<(), String> {
        while self.now_ms() < 30_000 {
            self.step()?;
            let now = self.now_ms();
            if now == 10_000 || now == 20_000 {
                self.kill_leader();
            }
        }
        let leaders = self.machines.iter().filter(|machine| leads(machine)).count();
        if leaders == 1 {
            Ok(())
        } else {
            Err(format!("{leaders} leaders"))
        }
    }

    fn kill_leader(&mut self) {
        let Some(machine) = self.machines.iter().find(|machine| leads(machine)) else {
            return;
        };
        let at = node::address(machine.id);
        self.story
            .tell(self.now_ms(), "world", &format!("node {} is killed", machine.id));
        self.sim.crash(at);
        let kept = self.chance.index(machine.disk.volatile() + 1);
        machine.disk.cut(kept);
        machine.killed();
        self.sim.bounce(at);
    }

    fn step(&mut self) -> Result<(), String> {
        self.sim.step().map_err(|error| error.to_string())?;
        for machine in &self.machines {
            if let Some(why) = machine.take_ended() {
                self.sim.crash(node::address(machine.id));
                self.story
                    .tell(self.sim.elapsed().as_millis() as u64, machine.host.name(), &why);
            }
        }
        Ok(())
    }
}

fn leads(machine: &Machine) -> bool {
    machine
        .running()
        .is_some_and(|running| running.handle.leadership().borrow().me)
}
