//! The process: reads its configuration, opens its disk, runs a node until it is told to stop, and drains it.
//!
//! What does not live here: anything that a node does while it runs.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info, warn};

use crate::chance;
use crate::cli::{self, EXIT_CANNOT_START, EXIT_FATAL, EXIT_OK, Invocation, ServeConfig};
use crate::raft::{Failure, Tuning};
use crate::store::RocksStore;
use crate::telemetry;

use super::node::{Node, NodeParts};
use super::{agent, fleet, limits, moving};

/// Runs the program; the arguments begin with its own name.
pub fn run(
    argv: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> ExitCode {
    match cli::read(argv, environment) {
        Ok(Invocation::Print(text)) => {
            // A reader that had enough (`| head`) is no fault.
            _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::from(EXIT_OK)
        }
        Ok(Invocation::Serve(config)) => ExitCode::from(serve(&config)),
        Ok(Invocation::Agent(invocation)) => ExitCode::from(agent::run(&invocation)),
        Ok(Invocation::Move(invocation)) => ExitCode::from(moving::run(&invocation)),
        Ok(Invocation::Fleet(invocation)) => ExitCode::from(fleet::run(&invocation)),
        Err(refusal) => {
            eprintln!("{refusal}");
            ExitCode::from(refusal.code)
        }
    }
}

fn serve(config: &ServeConfig) -> u8 {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("cfgserver")
        .build();
    let started = telemetry::start(config.log_level.as_str(), config.log_format).map_err(anyhow::Error::from);
    match (started, runtime) {
        (Ok(()), Ok(runtime)) => {
            let code = runtime.block_on(serve_until_stopped(config));
            // A request that is stuck in a blocking call must not hold up the end.
            runtime.shutdown_background();
            code
        }
        (Err(fault), _) => cannot_start(&fault),
        (_, Err(fault)) => cannot_start(&fault.into()),
    }
}

pub(super) fn cannot_start(fault: &anyhow::Error) -> u8 {
    eprintln!("cfgserver: {fault:#}");
    EXIT_CANNOT_START
}

async fn serve_until_stopped(config: &ServeConfig) -> u8 {
    for warning in config.warnings() {
        warn!(target: "cfgserver::app", "{warning}");
    }
    limits::raise_open_files(config.limits.connections_max);
    let (mut terminate, mut interrupt) = match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
        (Err(fault), _) | (_, Err(fault)) => return cannot_start(&fault.into()),
    };
    let node = match start(config).await {
        Ok(node) => node,
        Err(fault) => return cannot_start(&fault),
    };
    let signal = tokio::select! {
        biased;
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
        () = node.asked_to_stop() => "SHUTDOWN",
        failure = node.failed() => {
            if failure == Failure::Removed {
                // Whoever had this node remove itself still waits for the answer.
                node.stop().await;
            }
            return ended_by(&failure);
        }
    };
    info!(target: "cfgserver::app", signal, "stopping");
    node.stop().await;
    EXIT_OK
}

async fn start(config: &ServeConfig) -> anyhow::Result<Node> {
    let store = RocksStore::open(&config.data_dir, &chance::hex::<16>()?)?;
    let incarnation = store.incarnation().to_owned();
    let parts = NodeParts {
        config: config.clone(),
        store: Arc::new(store),
        incarnation,
        tuning: Tuning::default(),
        witness: None,
    };
    Node::start(parts).await
}

/// What the end of the process is called. The disk or Raft is in an unknown state: nothing is drained.
fn ended_by(failure: &Failure) -> u8 {
    match failure {
        Failure::Refused(_) | Failure::Removed => {
            eprintln!("cfgserver: {failure}");
            EXIT_CANNOT_START
        }
        Failure::Fatal(reason) => {
            error!(target: "cfgserver::app", %reason, "fatal");
            EXIT_FATAL
        }
    }
}
