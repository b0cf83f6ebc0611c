//! The command line of a pretend fleet.

use std::net::SocketAddr;

use clap::Args;

use crate::cli::{Invocation, Refusal};
use crate::fleet::{Config, Layout};
use crate::telemetry::LogLevel;

pub(super) const HELP: &str = "\
Instance m (0: the first primary) of group g listens on 127.<NETWORK + m>.<g / 250>.<g % 250 + 1>:PORT.

    cfgserver fleet --groups 1000 --control 127.0.0.1:7999 &
    cfgserver fleet --groups 1000 --list 2 | redis-cli -p 26379
    redis-cli -p 7999 FLEET KILL primaries 0-99
    redis-cli -p 7999 FLEET STATUS
    redis-cli -p 7999 FLEET HELP

An instance needs a descriptor, and each connection to it one more: where a process may not have so many, start several
fleets, split with --first-group.";

#[derive(Debug, Args)]
pub(super) struct FleetLine {
    /// How many groups
    #[arg(long, value_name = "COUNT")]
    groups: u32,
    /// Replicas of each group
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    replicas: u32,
    /// Number of the first group
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    first_group: u32,
    /// Second part of the addresses of the first members, 127.NETWORK.x.y
    #[arg(long, value_name = "NETWORK", default_value_t = 100)]
    network: u8,
    /// Port of every instance
    #[arg(long, value_name = "PORT", default_value_t = 7000)]
    port: u16,
    /// Groups are called PREFIX-00000 and so on
    #[arg(long, value_name = "PREFIX", default_value = "fleet")]
    prefix: String,
    /// Where to take FLEET KILL, HANG, REVIVE, STATUS and STATS, on a loopback address
    #[arg(long, value_name = "IP:PORT")]
    control: Option<SocketAddr>,
    /// Only print the SENTINEL MONITOR lines of the groups, with this quorum
    #[arg(long, value_name = "QUORUM")]
    list: Option<u32>,
    /// How much to log
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: LogLevel,
}

/// A fleet to run.
#[derive(Debug)]
pub struct FleetInvocation {
    /// What it is made of.
    pub config: Config,
    /// How much to log.
    pub log_level: LogLevel,
}

pub(super) fn read(line: FleetLine) -> Result<Invocation, Refusal> {
    let layout = Layout {
        first_group: line.first_group,
        groups: line.groups,
        replicas: line.replicas,
        network: line.network,
        port: line.port,
        prefix: line.prefix,
    };
    layout.check().map_err(|fault| Refusal::misused(fault.to_string()))?;
    if let Some(quorum) = line.list {
        return Ok(Invocation::Print(layout.monitor_lines(quorum)));
    }
    let control = line.control;
    if let Some(address) = control.filter(|address| !address.ip().is_loopback()) {
        // Whoever reaches it may do anything.
        return Err(Refusal::misused(format!(
            "--control {address}: only on a loopback address"
        )));
    }
    Ok(Invocation::Fleet(FleetInvocation {
        config: Config { layout, control },
        log_level: line.log_level,
    }))
}
