//! The agent's process. It opens no database and serves nobody.

use std::io::Write;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use super::process::cannot_start;
use crate::agent::outlet::{absent, listing};
use crate::agent::state::{is_running, read_status};
use crate::agent::status::Status;
use crate::agent::{Agent, Config, open_state};
use crate::cli::{AgentInvocation, EXIT_CANNOT_START, EXIT_OK};
use crate::clock::Clock;
use crate::telemetry;

/// Does what is asked of the agent; answers the exit code.
pub(super) fn run(invocation: &AgentInvocation) -> u8 {
    match invocation {
        AgentInvocation::Run(config) => follow(config),
        AgentInvocation::Check(config) => print(check(config)),
        AgentInvocation::Status { config, json } => print(status(config, *json)),
    }
}

/// Prints what was found out.
fn print(found: anyhow::Result<(String, u8)>) -> u8 {
    match found {
        Ok((text, code)) => {
            // A reader that had enough is no fault.
            _ = std::io::stdout().write_all(text.as_bytes());
            code
        }
        Err(fault) => cannot_start(&fault),
    }
}

fn follow(config: &Config) -> u8 {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .thread_name("cfgserver-agent")
        .build();
    let started = telemetry::start(config.log_level.as_str(), config.log_format).map_err(anyhow::Error::from);
    match (started, runtime) {
        (Ok(()), Ok(runtime)) => {
            let ended = runtime.block_on(follow_until_stopped(config));
            runtime.shutdown_background();
            match ended {
                Ok(()) => EXIT_OK,
                Err(fault) => cannot_start(&fault),
            }
        }
        (Err(fault), _) => cannot_start(&fault),
        (_, Err(fault)) => cannot_start(&fault.into()),
    }
}

async fn follow_until_stopped(config: &Config) -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let clock = Clock::start();
    let state = open_state(config)?;
    info!(
        target: "cfgserver::app", config = %config.file.display(), state_dir = %config.state_dir.display(),
        nodes = config.nodes.len(), version = env!("CARGO_PKG_VERSION"), "agent"
    );
    for fault in absent(config) {
        warn!(target: "cfgserver::app", fault, "it will fail when it is needed");
    }
    let agent = Agent::start(config, state, clock).await?;
    let signal = tokio::select! {
        biased;
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    info!(target: "cfgserver::app", signal, "stopping");
    agent.stop().await;
    Ok(())
}

fn check(config: &Config) -> anyhow::Result<(String, u8)> {
    let mut text = config.to_toml();
    text.push_str("\n# What is followed:\n");
    let listed = listing(config)?;
    for line in listed {
        text.push_str(&format!("# {line}\n"));
    }
    let absent = absent(config);
    anyhow::ensure!(absent.is_empty(), "{}: {}", config.file.display(), absent.join("; "));
    Ok((text, EXIT_OK))
}

fn status(config: &Config, json: bool) -> anyhow::Result<(String, u8)> {
    let running = is_running(&config.state_dir)?;
    let Some(text) = read_status(&config.state_dir)? else {
        let folder = config.state_dir.display();
        anyhow::bail!("no agent has run yet with state-dir {folder}");
    };
    let mut status: Status =
        serde_json::from_str(&text).context("the status was written by another version of the agent")?;
    status.reconfigured = status.config_digest != config.digest();
    let now = Clock::start().wall();
    let code = match status.faults(running, now).is_empty() {
        true => EXIT_OK,
        false => EXIT_CANNOT_START,
    };
    let shown = match json {
        true => status.to_json(running, now),
        false => status.to_text(running, now),
    };
    Ok((shown, code))
}
