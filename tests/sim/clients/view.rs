//! What a node shows to one request.

use std::sync::Arc;

use cfgserver::model::Instant;
use cfgserver::requests::{NoFiles, Stats, View};

use crate::core::Core;
use crate::node::Node;

struct Nobody;

impl cfgserver::requests::Clients for Nobody {
    fn list(&self) -> String {
        String::new()
    }
    fn count(&self) -> u64 {
        1
    }
    fn subscribers(&self) -> u64 {
        0
    }
}

pub(super) fn with_view<T>(core: &Core, node: &Node, look: impl FnOnce(&View<'_>) -> T) -> T {
    look(&View {
        state: node.state.clone(),
        sightings: &node.seen,
        node: &node.status,
        clients: &Nobody,
        dials: Arc::default(),
        scripts: Arc::default(),
        files: &NoFiles,
        stats: &Stats::default(),
        now: Instant(core.now),
        wall: node.wall(core),
    })
}
