//! The full simulator: whole nodes, openraft included, in a simulated network; a seed decides everything.
//!
//! ```text
//! runner   seeds: replay with a story, sweep, twice
//! world    one run: hosts, phases (calm, chaos, heal), what is checked after each step
//! node     a node as a host: its process starts, ends, is killed, stands still
//! ledger   what the nodes apply: one log, one state at each place of it
//! scene    the world as invariants look at it
//! faults   what goes wrong
//! disk     its disk: syncs late, is slow, fails, loses what it had not synced
//! story    what nodes log, with simulated time
//! ```
//!
//! One simulation per thread. Machines are [`cfgserver::host::Host`]s: whoever runs on one should be run by
//! `Host::run` (then chance, wall clock, name and standing still are the machine's) and use `cfgserver::net` for its
//! sockets (then [`cfgserver::net::weather`] cuts hold bytes back as TCP does, and do not lose them).

mod check;
pub(crate) mod clients;
mod disk;
mod faults;
pub(crate) mod instances;
mod ledger;
mod node;
mod panics;
mod runner;
mod scene;
mod story;
mod world;

#[cfg(feature = "mutations")]
pub(crate) use runner::hunt;
pub(crate) use runner::main;

/// The surroundings of the nodes, against themselves; the name of each check that fails.
pub(crate) fn checks() -> Vec<&'static str> {
    let crowd: (&str, fn()) = (
        "a dead primary is replaced, and everybody is told",
        clients::check::a_dead_primary_is_replaced,
    );
    let all = check::CHECKS
        .iter()
        .chain(instances::check::CHECKS)
        .copied()
        .chain([crowd]);
    let fails = |check: &fn()| std::panic::catch_unwind(check).is_err();
    all.filter(|(_, check)| fails(check)).map(|(name, _)| name).collect()
}
