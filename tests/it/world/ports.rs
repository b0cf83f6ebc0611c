//! Hands out ports of 127.0.0.1 that no two worlds share, not even in different processes.

use std::cell::RefCell;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the range that the kernel draws the ports of outgoing connections from.
const LOW: u16 = 20_000;
const COUNT: u16 = 10_000;

/// The ports of one world.
///
/// A port is held by listening on it at another address of the loopback network: that excludes every other world
/// in every process, ends with the process, and leaves 127.0.0.1 itself free for the program that gets the port.
#[derive(Default)]
pub(super) struct Ports {
    held: RefCell<Vec<TcpListener>>,
}

impl Ports {
    const HOLDER: &str = "127.77.77.77";

    pub(super) fn take(&self) -> u16 {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        for _ in 0..COUNT {
            let offset = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(start());
            let port = LOW + offset % COUNT;
            let Ok(holder) = TcpListener::bind((Self::HOLDER, port)) else {
                continue;
            };
            if TcpListener::bind(("127.0.0.1", port)).is_err() {
                continue;
            }
            self.held.borrow_mut().push(holder);
            return port;
        }
        panic!("no free port on 127.0.0.1");
    }
}

/// Processes start at different places, so that a port is not used again right after its process ended.
fn start() -> u16 {
    (std::process::id().wrapping_mul(7_919) % u32::from(COUNT)) as u16
}
