//! The proxies of the twemproxy family that speak to a Sentinel: test doubles as strict as they are.

mod bdrp;
mod captures;
mod double;
mod host;
mod netease;
mod reply;
