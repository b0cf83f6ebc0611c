//! Moving over from Redis Sentinel: what it says, against what the cluster has, and what there is to do.
//!
//! ```text
//! sentinel.conf ------------- conf --> Source \
//! replies of a live Sentinel  live --> Source  > plan --> Plan --> text for people, requests for a node
//! replies of a node ------ present --> Present /
//! ```
//!
//! Pure: the same input gives the same plan, and a plan that was carried out plans nothing.
//! What does not live here: files, sockets, and the way from a plan to the cluster (`app`).

mod conf;
mod export;
mod fields;
mod live;
mod ordinary;
mod plan;
mod present;
mod show;
mod source;
#[cfg(test)]
mod tests;

pub use conf::{ConfError, parse_conf};
pub use export::export;
pub use fields::Useless;
pub use live::{Live, LiveGroup};
pub use plan::{Change, Deed, Elsewhere, GroupPlan, Plan, Secrets, Wish};
pub use present::{Present, Standing};
pub use source::{Note, Place, Source, Value, Wanted};
