//! The runtime of a simulated machine.

use std::io;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::task::Tasks;

/// The current runtime.
pub(crate) struct Runtime(Handle);

impl Runtime {
    /// Takes the current runtime.
    pub(crate) fn start(_name: &str) -> io::Result<Self> {
        Handle::try_current().map(Self).map_err(io::Error::other)
    }

    /// Takes the current runtime, which never dozes.
    pub(crate) fn start_drowsy(name: &str, _doze: Duration) -> io::Result<Self> {
        Self::start(name)
    }

    /// Where its tasks are spawned.
    pub(crate) fn handle(&self) -> &Handle {
        &self.0
    }

    /// Runs `task` and waits for what it gives.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        _tasks: &Tasks,
        _name: &'static str,
        task: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        Some(task.await)
    }
}
