//! The process of a pretend fleet.

use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

use super::limits;
use super::process::cannot_start;
use crate::cli::{EXIT_OK, FleetInvocation};
use crate::clock::Clock;
use crate::fleet::Fleet;
use crate::telemetry::{self, LogFormat};

/// What each instance may need: its listener, and the links of three Sentinels.
const DESCRIPTORS_PER_INSTANCE: usize = 7;

/// Runs the fleet until it is told to stop; answers the exit code. One thread, so that it takes one core at most.
pub(super) fn run(invocation: &FleetInvocation) -> u8 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let started = telemetry::start(invocation.log_level.as_str(), LogFormat::Text).map_err(anyhow::Error::from);
    let ended = match (started, runtime) {
        (Ok(()), Ok(runtime)) => runtime.block_on(run_until_stopped(invocation)),
        (Err(fault), _) => Err(fault),
        (_, Err(fault)) => Err(fault.into()),
    };
    ended.map_or_else(|fault| cannot_start(&fault), |()| EXIT_OK)
}

async fn run_until_stopped(invocation: &FleetInvocation) -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let layout = &invocation.config.layout;
    limits::raise_open_files(layout.instances() * DESCRIPTORS_PER_INSTANCE);
    let fleet = Fleet::start(&invocation.config, Clock::start())?;
    info!(
        target: "cfgserver::app", groups = layout.groups, instances = layout.instances(),
        first = %layout.address(layout.first_group, 0), "fleet"
    );
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    fleet.stop().await;
    Ok(())
}
