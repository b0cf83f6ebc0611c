//! The machine that a task runs on, in a simulation that has several of them on one thread.
//!
//! A task belongs to the machine of whoever spawned it. The machine has what a process asks of its surroundings: an
//! address, a wall clock that can be wrong, chance that the seed decides, and it can stop the process for a while as
//! SIGSTOP does: time goes on, bytes arrive, nothing of the process runs.
//! What does not live here: sockets (`net`), and anything outside of simulations.

use std::cell::RefCell;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// What the wall clocks of all machines show when a simulation begins, in milliseconds.
pub const EPOCH_MS: u64 = 1_700_000_000_000;

thread_local! {
    static CURRENT: RefCell<Option<Host>> = const { RefCell::new(None) };
}

/// A machine. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Host(Arc<Machine>);

#[derive(Debug)]
struct Machine {
    name: String,
    address: IpAddr,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    chance: u64,
    /// How wrong the wall clock is.
    wall_offset_ms: i64,
    stopped: bool,
    /// Tasks that would have run.
    waiting: Vec<Waker>,
}

impl Host {
    /// A machine whose chance is decided by `seed`.
    pub fn new(name: impl Into<String>, address: IpAddr, seed: u64) -> Self {
        Self(Arc::new(Machine {
            name: name.into(),
            address,
            state: Mutex::new(State {
                chance: seed,
                wall_offset_ms: 0,
                stopped: false,
                waiting: Vec::new(),
            }),
        }))
    }

    /// The machine of the task that asks.
    pub fn current() -> Option<Self> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Its address.
    pub fn address(&self) -> IpAddr {
        self.0.address
    }

    /// Runs `task` on this machine, and with it all that it spawns.
    pub fn run<F: Future>(&self, task: F) -> Placed<F> {
        Placed {
            host: Some(self.clone()),
            task: Box::pin(task),
        }
    }

    /// Stops the process: none of its tasks runs.
    pub fn stop(&self) {
        self.state().stopped = true;
    }

    /// Lets the process go on.
    pub fn go_on(&self) {
        let waiting = {
            let mut state = self.state();
            state.stopped = false;
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// The process stands still.
    pub fn is_stopped(&self) -> bool {
        self.state().stopped
    }

    /// Sets how wrong the wall clock is.
    pub fn set_wall_offset(&self, ms: i64) {
        self.state().wall_offset_ms = ms;
    }

    /// What the wall clock shows, in milliseconds.
    pub fn wall_ms(&self) -> u64 {
        let elapsed = turmoil::sim_elapsed().unwrap_or_default().as_millis() as u64;
        (EPOCH_MS + elapsed).saturating_add_signed(self.state().wall_offset_ms)
    }

    /// The next number of its chance (SplitMix64).
    pub fn draw(&self) -> u64 {
        let mut state = self.state();
        state.chance = state.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state.chance;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task on the machine of whoever makes it.
pub(crate) fn place<F: Future>(task: F) -> Placed<F> {
    Placed {
        host: Host::current(),
        task: Box::pin(task),
    }
}

/// A task on a machine.
pub struct Placed<F> {
    host: Option<Host>,
    task: Pin<Box<F>>,
}

impl<F: Future> Future for Placed<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        if let Some(host) = &self.host {
            let mut state = host.state();
            if state.stopped {
                state.waiting.push(context.waker().clone());
                return Poll::Pending;
            }
        }
        let _on = On(CURRENT.replace(self.host.clone()));
        self.task.as_mut().poll(context)
    }
}

/// Goes back to the machine that was current before, also when a task panics.
struct On(Option<Host>);

impl Drop for On {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}
