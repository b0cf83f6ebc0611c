//! The one place that spawns: tasks have names, are traced, and are joined at shutdown.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug_span, warn};

/// The tasks of a node, and the word to stop. Cheap to clone.
///
/// A panic in a task ends the process (`panic = "abort"`): a node with a dead part is worse than a dead node.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    /// Spawns a task. It should end soon after [`Tasks::stopping`] resolves.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn(placed(task.instrument(debug_span!("task", name))));
    }

    /// Spawns a task on another runtime than the current one.
    pub fn spawn_on(
        &self,
        name: &'static str,
        runtime: &tokio::runtime::Handle,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        self.tracker
            .spawn_on(placed(task.instrument(debug_span!("task", name))), runtime);
    }

    /// A token that is cancelled when the node stops.
    pub fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Tasks of a part that can be stopped alone; stopping the parent stops them too.
    pub fn child(&self) -> Self {
        Self {
            tracker: TaskTracker::new(),
            stop: self.stop.child_token(),
        }
    }

    /// Asks all tasks to end and waits for them, at most `limit`.
    pub async fn shut_down(&self, limit: Duration) {
        self.stop.cancel();
        self.tracker.close();
        if tokio::time::timeout(limit, self.tracker.wait()).await.is_err() {
            warn!(target: "cfgserver::task", left = self.tracker.len(), "tasks still running at shutdown");
        }
    }
}

#[cfg(not(feature = "sim"))]
fn placed<F: Future>(task: F) -> F {
    task
}

#[cfg(feature = "sim")]
use crate::host::place as placed;

/// Spawns what the kernel of a simulated machine does: it goes on while the process stands still.
#[cfg(feature = "sim")]
pub(crate) fn spawn_in_kernel(task: impl Future<Output = ()> + Send + 'static) {
    // While a machine goes down there is nothing left to run on.
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(task);
    }
}
