//! The rules by which a run on hosts (`tests/hosts`) is judged, on literal histories: a judge that sees nothing proves
//! nothing.
#![allow(dead_code, reason = "shared with the runner")]

#[path = "../hosts/reach.rs"]
mod reach;
mod reach_rules;
#[path = "../hosts/register.rs"]
mod register;
mod register_rules;
#[path = "../hosts/two_primaries.rs"]
mod two_primaries;
mod two_primaries_rules;
#[path = "../hosts/writes.rs"]
mod writes;
mod writes_rules;
