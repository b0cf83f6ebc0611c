//! The nouns: what a group, an instance, a node and a failover are, and time as data.
//!
//! Nothing here reads a clock, opens a socket or draws a random number.
//! What does not live here: behaviour that needs the world, and rules (they are in `machine` and `failover`).

mod address;
mod automatic;
mod event;
mod group;
mod host_name;
mod host_port;
mod ids;
mod node;
mod password;
mod place;
mod sighting;
mod time;

pub use address::{Address, AddressError};
pub use automatic::Automatic;
pub use event::{Event, EventKind, InstanceRef};
pub use group::{
    Abort, Failover, FailoverKind, Fault, Group, GroupConfig, Identity, Lineage, Member, Mode, Monitored, Outage,
    ReconfStep, Setting, Stage, Switch,
};
pub use host_name::{HostName, HostNameError};
pub use host_port::{HostPort, HostPortError};
pub use ids::{ClusterId, Epoch, GroupId, GroupName, MyId, NameError, NodeId, Revision, RunId, Term};
pub use node::{Node, NodeRole};
pub use password::Password;
pub use place::{Naming, Place};
pub use sighting::{Facts, LinkState, NamedReplica, ReplicaLine, Role, Sighting, Verdict, VoteKey};
pub use time::{Age, Instant, Timestamp};
