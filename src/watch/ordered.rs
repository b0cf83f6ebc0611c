//! tokio's watched values, with the oldest receiver woken first: tokio itself draws lots among the receivers.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::watch;
use tokio::sync::watch::error::{RecvError, SendError};

/// Makes a value, with its first receiver.
pub fn channel<T>(value: T) -> (Sender<T>, Receiver<T>) {
    let sender = Sender::new(value);
    let receiver = sender.subscribe();
    (sender, receiver)
}

/// Who waits for a change.
#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    wakers: BTreeMap<u64, Waker>,
}

type Shared = Arc<Mutex<Waiting>>;

fn wake(waiting: &Shared) {
    let wakers = std::mem::take(&mut waiting.lock().unwrap_or_else(PoisonError::into_inner).wakers);
    wakers.into_values().for_each(Waker::wake);
}

/// Changes the value.
#[derive(Debug)]
pub struct Sender<T> {
    /// Dropped before the others are woken: they shall see that it is gone.
    inner: Option<watch::Sender<T>>,
    waiting: Shared,
}

impl<T> Sender<T> {
    /// A value that nobody watches yet.
    pub fn new(value: T) -> Self {
        Self {
            inner: Some(watch::Sender::new(value)),
            waiting: Arc::default(),
        }
    }

    fn inner(&self) -> &watch::Sender<T> {
        // It is there until the drop.
        self.inner.as_ref().unwrap_or_else(|| unreachable!())
    }

    /// A new receiver, which has seen the value as it is.
    pub fn subscribe(&self) -> Receiver<T> {
        Receiver::new(self.inner().subscribe(), self.waiting.clone())
    }

    /// The value.
    pub fn borrow(&self) -> watch::Ref<'_, T> {
        self.inner().borrow()
    }

    /// Changes the value, unless nobody watches.
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        self.inner().send(value)?;
        wake(&self.waiting);
        Ok(())
    }

    /// Changes the value.
    pub fn send_replace(&self, value: T) -> T {
        let before = self.inner().send_replace(value);
        wake(&self.waiting);
        before
    }

    /// Changes the value in place.
    pub fn send_modify(&self, modify: impl FnOnce(&mut T)) {
        self.inner().send_modify(modify);
        wake(&self.waiting);
    }

    /// Changes the value in place; `modify` says whether it did.
    pub fn send_if_modified(&self, modify: impl FnOnce(&mut T) -> bool) -> bool {
        let modified = self.inner().send_if_modified(modify);
        if modified {
            wake(&self.waiting);
        }
        modified
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            waiting: self.waiting.clone(),
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.inner = None;
        wake(&self.waiting);
    }
}

/// Watches the value.
#[derive(Debug)]
pub struct Receiver<T> {
    inner: watch::Receiver<T>,
    waiting: Shared,
    number: u64,
}

impl<T> Receiver<T> {
    fn new(inner: watch::Receiver<T>, waiting: Shared) -> Self {
        let number = {
            let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.next += 1;
            waiting.next
        };
        Self { inner, waiting, number }
    }

    /// The value.
    pub fn borrow(&self) -> watch::Ref<'_, T> {
        self.inner.borrow()
    }

    /// The value, which counts as seen.
    pub fn borrow_and_update(&mut self) -> watch::Ref<'_, T> {
        self.inner.borrow_and_update()
    }

    /// Resolves when there is a value that was not seen; it counts as seen then.
    pub async fn changed(&mut self) -> Result<(), RecvError> {
        poll_fn(|context| {
            if self.inner.borrow().has_changed() {
                self.inner.mark_unchanged();
                return Poll::Ready(Ok(()));
            }
            self.poll_open(context)
        })
        .await
    }

    /// Resolves when the value is as wished.
    pub async fn wait_for(&mut self, mut wished: impl FnMut(&T) -> bool) -> Result<watch::Ref<'_, T>, RecvError> {
        poll_fn(|context| {
            if wished(&self.inner.borrow_and_update()) {
                return Poll::Ready(Ok(()));
            }
            self.poll_open(context)
        })
        .await?;
        Ok(self.inner.borrow())
    }

    /// Waits, unless the last sender is gone.
    fn poll_open(&self, context: &mut Context<'_>) -> Poll<Result<(), RecvError>> {
        if let Err(closed) = self.inner.has_changed() {
            return Poll::Ready(Err(closed));
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.wakers.insert(self.number, context.waker().clone());
        Poll::Pending
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.waiting.clone())
    }
}
