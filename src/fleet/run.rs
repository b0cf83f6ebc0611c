//! A fleet that runs.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::chance;
use crate::clock::Clock;
use crate::fleet::client::Floor;
use crate::fleet::control;
use crate::fleet::layout::Layout;
use crate::fleet::listener::{self, Shared};
use crate::fleet::world::World;
use crate::net::{self, TcpListener};
use crate::task::Tasks;

/// What a fleet is made of.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who listens where.
    pub layout: Layout,
    /// Where KILL, HANG and REVIVE are taken; nowhere by default.
    pub control: Option<SocketAddr>,
}

/// Why a fleet cannot start.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// No identities for its processes.
    #[error(transparent)]
    Chance(io::Error),
    /// An address is taken, or there are too few descriptors.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

/// A fleet that runs; it ends when stopped.
pub struct Fleet {
    tasks: Tasks,
}

impl Fleet {
    const STOP_LIMIT: Duration = Duration::from_secs(5);

    /// Starts every instance, or none.
    pub fn start(config: &Config, clock: Clock) -> Result<Self, FleetError> {
        let seed: Arc<str> = chance::hex::<12>().map_err(FleetError::Chance)?.into();
        let mut count = 0_u64;
        // 40 digits: those of this run, and a number that is never used twice.
        let identities = Box::new(move || {
            count += 1;
            Arc::from(format!("{seed}{count:016x}"))
        });
        let world = World::new(config.layout.clone(), identities, clock.now());
        let addresses: Vec<SocketAddr> = world.instances.iter().map(|one| one.address.into()).collect();
        let tasks = Tasks::default();
        let shared = Shared::new(Floor::new(world), clock, tasks.clone());
        let mut listeners = Vec::with_capacity(addresses.len());
        for address in addresses {
            let listener = listen(address)?;
            listeners.push((address, listener));
        }
        if let Some(address) = config.control {
            let listener = listen(address)?;
            tasks.spawn("fleet-control", control::listen(shared.clone(), listener));
        }
        for (place, (address, listener)) in listeners.into_iter().enumerate() {
            tasks.spawn(
                "fleet-instance",
                listener::instance(shared.clone(), place, address, listener),
            );
        }
        Ok(Self { tasks })
    }

    /// Ends it.
    pub async fn stop(&self) {
        self.tasks.shut_down(Self::STOP_LIMIT).await;
    }
}

fn listen(address: SocketAddr) -> Result<TcpListener, FleetError> {
    net::listen(address).map_err(|source| FleetError::Listen { address, source })
}
