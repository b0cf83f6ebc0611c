//! The doubles of both proxy forks, as the real-process tests have them: pure, bytes in and actions out.
#![allow(
    dead_code,
    unused_imports,
    reason = "the tests beside them need more of them than a simulator does"
)]

#[path = "../it/proxies/bdrp.rs"]
mod bdrp;
#[path = "../it/proxies/double.rs"]
mod double;
#[path = "../it/proxies/host.rs"]
mod host;
#[path = "../it/proxies/netease.rs"]
mod netease;
#[path = "../it/proxies/reply.rs"]
mod reply;

pub(crate) use bdrp::Bdrp;
pub(crate) use double::{Action, Double};
pub(crate) use netease::Netease;
