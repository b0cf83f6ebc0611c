//! What a simulated network does to its hosts: which ways are cut, and which machines refuse connections.
//!
//! One network per thread. A cut loses nothing: bytes wait where they are, as TCP would send them again, and arrive
//! when the way is open, also those of a connection that has ended meanwhile.
//! What does not live here: how long bytes travel (turmoil's links), and machines that lose their power (turmoil's
//! partitions lose bytes).

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::future::poll_fn;
use std::net::IpAddr;
use std::task::{Context, Poll, Waker};

/// A way that can be cut: from one machine to another.
pub type Way = (IpAddr, IpAddr);

#[derive(Default)]
struct Weather {
    cuts: BTreeSet<Way>,
    refusing: BTreeSet<IpAddr>,
    dying: Option<IpAddr>,
    waiting: Vec<Waker>,
}

thread_local! {
    static WEATHER: RefCell<Weather> = RefCell::default();
}

/// Good weather: before a run, and after it.
pub fn clear() {
    change(|weather| {
        weather.cuts.clear();
        weather.refusing.clear();
        weather.dying = None;
    });
}

/// Nothing gets from the first to the second any more.
pub fn cut(way: Way) {
    change(|weather| _ = weather.cuts.insert(way));
}

/// What was held on this way goes on.
pub fn mend(way: Way) {
    change(|weather| _ = weather.cuts.remove(&way));
}

/// No process listens on this machine, but its kernel answers: connections are refused.
pub fn refuse(machine: IpAddr, refuses: bool) {
    change(|weather| {
        if refuses {
            weather.refusing.insert(machine);
        } else {
            weather.refusing.remove(&machine);
        }
    });
}

/// The process of this machine is being ended: its connections end in the order in which they began, and not in that
/// in which tokio drops its tasks, which differs from run to run.
pub fn dies(machine: Option<IpAddr>) {
    change(|weather| weather.dying = machine);
}

pub(super) fn is_dying(machine: IpAddr) -> bool {
    WEATHER.with_borrow(|weather| weather.dying == Some(machine))
}

/// Bytes travel this way.
pub fn is_open(way: Way) -> bool {
    WEATHER.with_borrow(|weather| !weather.cuts.contains(&way))
}

/// All ways that are cut.
pub fn cuts() -> Vec<Way> {
    WEATHER.with_borrow(|weather| weather.cuts.iter().copied().collect())
}

/// Connections to this machine are refused.
pub fn refuses(machine: IpAddr) -> bool {
    WEATHER.with_borrow(|weather| weather.refusing.contains(&machine))
}

/// Resolves when bytes travel this way.
pub(super) async fn open(way: Way) {
    poll_fn(|context| poll_open(way, context)).await;
}

pub(super) fn poll_open(way: Way, context: &mut Context<'_>) -> Poll<()> {
    if is_open(way) {
        return Poll::Ready(());
    }
    WEATHER.with_borrow_mut(|weather| weather.waiting.push(context.waker().clone()));
    Poll::Pending
}

fn change(what: impl FnOnce(&mut Weather)) {
    let waiting = WEATHER.with_borrow_mut(|weather| {
        what(weather);
        std::mem::take(&mut weather.waiting)
    });
    waiting.into_iter().for_each(Waker::wake);
}
