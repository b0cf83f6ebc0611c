//! The proxies of the twemproxy family that speak to a Sentinel: test doubles as strict as they are.

mod bdrp;
mod captures;
mod crowd;
mod double;
mod driver;
mod history;
mod host;
mod netease;
mod reply;
mod roles;
mod scenarios_face;
mod scenarios_foreign;
mod scenarios_nodes;
mod scenarios_start;
mod scenarios_switch;
mod stage;
