//! What a request wants done on this node alone.

use tracing::{info, warn};

use crate::requests::{Dial, Files, Local};
use crate::telemetry;

use super::Shared;

impl Shared {
    /// Carries it out, for the client `peer`.
    pub(super) fn act(&self, act: Local, peer: &str) {
        let now = self.clock.now();
        match act {
            Local::Disconnect(ids) => {
                let count = self.registry.disconnect(&ids);
                info!(target: "cfgserver::server", client = peer, count, "connections closed by CLIENT KILL");
            }
            Local::Pause { until, held } => {
                info!(target: "cfgserver::server", client = peer, ms = until.since(now), ?held, "clients are paused");
                self.pauses.begin(until, held, now);
            }
            Local::Unpause => self.pauses.end(),
            Local::ShutDown => {
                info!(target: "cfgserver::server", client = peer, "asked to shut down");
                self.stop_asked.cancel();
            }
            Local::Hello(hello) => {
                let (id, address) = (hello.id.clone(), hello.address);
                let state = self.board.state();
                let group = state.group(hello.group).map(|group| group.name.clone());
                if self.board.note_hello(hello, now)
                    && let Some(group) = group
                {
                    warn!(
                        target: "cfgserver::server", %group, sentinel = %address, id,
                        "a Sentinel that is not ours watches this group and may fail it over: nothing is adopted from it"
                    );
                }
            }
            Local::Turn(dials) => {
                self.board.turn(&dials);
                for dial in dials {
                    info!(target: "cfgserver::server", client = peer, ?dial, "turned");
                    if let Dial::Log(word) = dial {
                        telemetry::set(word);
                    }
                }
            }
        }
    }
}

/// The files of this node.
pub(super) struct Disk;

impl Files for Disk {
    fn is_executable(&self, path: &str) -> bool {
        let may = rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok();
        may && std::fs::metadata(path).is_ok_and(|found| found.is_file())
    }
}
