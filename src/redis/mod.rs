//! The outgoing client: links to Redis instances, and the orders that are given over them.
//!
//! ```text
//! Link       one connection: pipelined requests and their answers         (probe)
//! OrderLink  a link of the leader: identity, fence, order, facts after it (control)
//! ```
//!
//! What does not live here: what to order, and what an answer means for a group.

mod clients;
mod error;
mod link;
mod order;
mod order_link;

pub use crate::failover::Order;
pub use clients::links_of_the_past;
pub use error::{LinkError, OrderError};
pub(crate) use link::explained;
pub use link::{Answer, Link, Target, request};
pub use order::{Form, LeaderName, OrderReply, Reading};
pub use order_link::OrderLink;
