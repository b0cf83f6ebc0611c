//! cfgserver: a Sentinel-compatible control plane for fleets of Redis replication groups.
//!
//! The modules stand in floors; imports go down only (`tests/it/floors.rs` holds that).
//!
//! ```text
//! F6  app, cli                                  wiring, configuration, argv, drain order
//! F5  server  control  probe  runner  agent  fleet   long-running services; they meet through F4
//! F4  raft  pubsub  board  store  peer  redis | net  task  clock  telemetry  chance  stop  watch  host
//! ============================ the line: no clock, socket, disk, task or chance below ============
//! F3  requests                                  one request -> one Effect
//! F2  import | failover | script | sentinel     moving over | the planner | scripts to run | Sentinel's surface
//! F1  machine | detect | resp | template        replicated state | failure detection | the RESP codec | proxy files
//! F0  model                                     the nouns; time as data | mutation (defects for tests)
//! ```

pub mod agent;
pub mod app;
pub mod board;
pub mod chance;
pub mod cli;
pub mod clock;
pub mod control;
pub mod detect;
pub mod failover;
pub mod fleet;
#[cfg(test)]
#[path = "../tests/golden/mod.rs"]
mod golden;
#[cfg(feature = "sim")]
pub mod host;
pub mod import;
pub mod machine;
pub mod model;
pub mod mutation;
pub mod net;
pub mod peer;
pub mod probe;
pub mod pubsub;
pub mod raft;
pub mod redis;
pub mod requests;
pub mod resp;
pub mod runner;
mod runtime;
pub mod script;
pub mod sentinel;
pub mod server;
pub mod stop;
pub mod store;
pub mod task;
pub mod telemetry;
pub mod template;
pub mod watch;
