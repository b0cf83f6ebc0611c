//! A panic anywhere in a simulation fails it: tokio would keep it to the task.

use std::cell::RefCell;
use std::panic::set_hook;

thread_local! {
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Panics of all threads are noted from now on, each for its own thread.
pub(super) fn note_all() {
    set_hook(Box::new(|panic| {
        LAST.with_borrow_mut(|last| _ = last.get_or_insert_with(|| panic.to_string()));
    }));
}

/// The first panic of this thread since the last call.
pub(super) fn take() -> Option<String> {
    LAST.take()
}
