//! Redis instances as hosts of the simulated network: RESP over its TCP, around the fleet that both simulators share.
//!
//! ```text
//! host::run    one host per instance: listens while its process runs, one task per connection
//! talk         one connection: bytes to requests, MULTI .. EXEC, subscriptions
//! commands     what an instance does with a request, word by word
//! stage        what all of them share: fleet, connections, what is planned, facts
//! faults       crash, restart, hang, host down, LOADING, a stranger at the address
//! ```
//!
//! What the caller owes: `tcp_capacity` of the simulation in the thousands (connections that a host that is down does
//! not take wait there), [`Instances::step`] after each step of the simulation, and [`Instances::know`] after each
//! committed change of a group's members. Cuts are the weather's ([`cfgserver::net::weather`]).

pub(crate) mod check;
mod commands;
mod faults;
mod host;
mod stage;
mod talk;

pub(crate) use stage::Stage;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use cfgserver::machine::State;
use turmoil::Sim;

use crate::core::START;
use crate::fact::Fact;
use crate::record::Coverage;
use crate::redis::{Fleet, Index};

/// All instances. Cheap to clone; every clone is the same fleet.
#[derive(Clone)]
pub(crate) struct Instances(Arc<Mutex<Stage>>);

impl Instances {
    pub(crate) fn new(fleet: Fleet) -> Self {
        Self(Arc::new(Mutex::new(Stage::new(fleet))))
    }

    /// Makes a host of each instance, at its own address.
    pub(crate) fn join(&self, sim: &mut Sim<'_>) {
        let addresses: Vec<IpAddr> = self.look(|fleet| fleet.servers.iter().map(|server| server.address.ip).collect());
        for (who, ip) in addresses.into_iter().enumerate() {
            let instances = self.clone();
            sim.host(ip, move || host::run(instances.clone(), who));
        }
    }

    /// To be called after each step of the simulation: what was planned happens.
    pub(crate) fn step(&self, elapsed: Duration) {
        self.stage().advance(START + elapsed.as_millis() as u64);
    }

    /// Orders are of a group: the one that has the address among its members.
    pub(crate) fn know(&self, state: &State) {
        self.stage().know(state);
    }

    /// What happened since the last call.
    pub(crate) fn take_facts(&self) -> Vec<Fact> {
        std::mem::take(&mut self.stage().facts)
    }

    /// What happened since the last call, for people: when, to whom, what.
    pub(crate) fn take_story(&self) -> Vec<(u64, Index, String)> {
        std::mem::take(&mut self.stage().story)
    }

    pub(crate) fn take_coverage(&self) -> Coverage {
        std::mem::take(&mut self.stage().coverage)
    }

    pub(crate) fn look<T>(&self, look: impl FnOnce(&Fleet) -> T) -> T {
        look(&self.stage().fleet)
    }

    /// A client of Redis writes; false when it is told to go elsewhere, or waits.
    pub(crate) fn write(&self, who: Index, bytes: u64) -> bool {
        let mut stage = self.stage();
        let now = stage.clock();
        stage.fleet.write(who, bytes, now)
    }

    pub(crate) fn stage(&self) -> MutexGuard<'_, Stage> {
        self.0.lock().expect("nobody panics while it is locked")
    }
}
