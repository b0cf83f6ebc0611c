//! A thread with a runtime of its own.

use std::io;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::task::Tasks;

/// A current-thread runtime on a named thread. It ends when it is told to, or dropped.
pub(crate) struct Runtime {
    handle: Handle,
    stop: CancellationToken,
}

impl Runtime {
    /// Starts the thread.
    pub(crate) fn start(name: &str) -> io::Result<Self> {
        Self::build(name, &mut Builder::new_current_thread())
    }

    /// Starts a thread that dozes for a moment whenever it has nothing more to do, before it waits for more. What
    /// arrives meanwhile takes one awakening instead of one each, and waits for that long at most.
    pub(crate) fn start_drowsy(name: &str, doze: Duration) -> io::Result<Self> {
        let mut builder = Builder::new_current_thread();
        builder.on_thread_park(move || thread::sleep(doze));
        Self::build(name, &mut builder)
    }

    fn build(name: &str, builder: &mut Builder) -> io::Result<Self> {
        let runtime = builder.enable_all().build()?;
        let handle = runtime.handle().clone();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let body = move || {
            runtime.block_on(stopped.cancelled());
            runtime.shutdown_background();
        };
        thread::Builder::new().name(name.to_owned()).spawn(body)?;
        Ok(Self { handle, stop })
    }

    /// Where its tasks are spawned.
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Runs `task` there and waits for what it gives; `None` when the runtime ends first.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        tasks: &Tasks,
        name: &'static str,
        task: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let (done, result) = oneshot::channel();
        tasks.spawn_on(name, &self.handle, async move { _ = done.send(task.await) });
        result.await.ok()
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
