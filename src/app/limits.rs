//! The limit of open files.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// Descriptors beside those of clients: database files, peers, and two links per watched instance of a fleet of a
/// thousand groups.
const BESIDE_CLIENTS: u64 = 8_192;

/// Raises the soft limit of open files towards what the configuration may need, as far as the hard limit allows.
pub(super) fn raise_open_files(connections_max: usize) {
    let wanted = connections_max as u64 + BESIDE_CLIENTS;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= wanted) {
        return;
    }
    let reachable = maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let raised = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(reachable),
            maximum,
        },
    );
    if raised.is_err() || reachable < wanted {
        let limit = if raised.is_ok() { Some(reachable) } else { current };
        warn!(target: "cfgserver::app", limit, wanted, "few open files allowed: raise the limit (ulimit -n)");
    }
}
