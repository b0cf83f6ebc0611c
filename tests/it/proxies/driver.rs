//! Drives doubles over TCP: connects, sends, keeps their timers, asks for roles, and writes their histories.
//!
//! ```text
//! sentinel ports --TCP--> double --actions--> the connection, timers, ROLE
//!                                     \-----> History, addresses, readiness
//! ```
//!
//! A task for each proxy, all on one small runtime: thousands fit into one test.
#![expect(clippy::disallowed_methods, reason = "real processes live in real time")]

use std::collections::BTreeMap;
use std::future::pending;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::double::{Action, Double};
use super::history::{Cause, Entry, Happening, History};
use super::roles::Roles;
use crate::world::now;

const READ_BYTES: usize = 4096;
/// How soon after its accept a server's close is one at once.
const AT_ONCE: Duration = Duration::from_millis(1);

/// How one proxy is driven.
pub(crate) struct Plan {
    /// For messages.
    pub(crate) name: String,
    pub(crate) double: Box<dyn Double>,
    /// Ports of 127.0.0.1, in the order of the proxy's list.
    pub(crate) sentinels: Vec<u16>,
    /// While false, answers to [`Action::AskRoles`] are asked for but not handed over.
    pub(crate) gate: Option<watch::Receiver<bool>>,
    /// Ask each new address for its role right after a move.
    pub(crate) verify: bool,
}

/// A driven proxy, seen from the test.
#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) name: String,
    book: Arc<Mutex<Book>>,
    cut: Arc<Notify>,
}

struct Book {
    history: History,
    addresses: BTreeMap<String, String>,
    ready: bool,
}

impl Proxy {
    pub(crate) fn history(&self) -> History {
        self.lock().history.clone()
    }

    /// Where each of its servers is, as `ip:port`.
    pub(crate) fn addresses(&self) -> BTreeMap<String, String> {
        self.lock().addresses.clone()
    }

    pub(crate) fn ready(&self) -> bool {
        self.lock().ready
    }

    /// Looks at the history without a copy.
    pub(crate) fn with_history<T>(&self, look: impl FnOnce(&History) -> T) -> T {
        look(&self.lock().history)
    }

    /// The sentinel's port that it is connected to now.
    pub(crate) fn port(&self) -> Option<u16> {
        let book = self.lock();
        book.history.entries.iter().rev().find_map(|entry| match entry.what {
            Happening::Connected(port) => Some(Some(port)),
            Happening::Refused(_) | Happening::Lost | Happening::Closed { .. } | Happening::Aborted(_) => Some(None),
            _ => None,
        })?
    }

    pub(crate) fn connected(&self) -> bool {
        self.port().is_some()
    }

    /// Whether it made a connection from that moment on. A cut is carried out later than it is asked for: until then
    /// the old connection looks as good as the next one.
    pub(crate) fn connected_since(&self, at: std::time::Instant) -> bool {
        let connected = |what: &Happening| matches!(what, Happening::Connected(_));
        self.with_history(|history| history.count_since(at, connected)) > 0
    }

    /// Cuts the connection as a broken network would; the next one comes after the retry time.
    pub(crate) fn cut(&self) {
        self.cut.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap()
    }

    fn note(&self, what: Happening) {
        let at = now();
        self.lock().history.entries.push(Entry { at, what });
    }
}

/// Where doubles are driven. Dropping it ends all their connections.
pub(crate) struct Driver {
    runtime: Runtime,
    roles: Arc<Roles>,
}

impl Driver {
    pub(crate) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("proxies")
            .enable_all()
            .build()
            .unwrap();
        Self {
            runtime,
            roles: Arc::new(Roles::Instances),
        }
    }

    /// The roles of these instances are asked for every so often from now on, and not by each proxy.
    pub(crate) fn ask_an_oracle(&mut self, instances: Vec<String>, pause: Duration) {
        self.roles = Arc::new(Roles::oracle(self.runtime.handle(), instances, pause));
    }

    pub(crate) fn drive(&self, plan: Plan) -> Proxy {
        let book = Book {
            history: History {
                started: now(),
                entries: Vec::new(),
            },
            addresses: plan.double.addresses(),
            ready: plan.double.ready(),
        };
        let proxy = Proxy {
            name: plan.name,
            book: Arc::new(Mutex::new(book)),
            cut: Arc::default(),
        };
        let drive = Drive {
            double: plan.double,
            sentinels: plan.sentinels,
            gate: plan.gate,
            verify: plan.verify,
            roles: Arc::clone(&self.roles),
            handle: self.runtime.handle().clone(),
            proxy: proxy.clone(),
        };
        self.runtime.spawn(drive.run());
        proxy
    }
}

/// What made a double speak; decides whose fault a close is.
enum Source<'b> {
    Connection,
    Bytes(&'b [u8]),
    Timer,
    Roles,
}

impl Source<'_> {
    fn cause(&self) -> Cause {
        let said =
            |text: &[u8]| matches!(self, Self::Bytes(bytes) if bytes.windows(text.len()).any(|part| part == text));
        match self {
            Self::Timer => Cause::Late,
            _ if said(b"-LOADING") => Cause::Loading,
            _ if said(b"*-1\r\n") => Cause::Unknown,
            _ => Cause::Sent,
        }
    }
}

/// What a batch of actions leads to.
#[derive(Default)]
struct Wanted {
    send: Vec<u8>,
    ask_roles: bool,
    close: bool,
    abort: bool,
}

type Answers = Pin<Box<dyn Future<Output = BTreeMap<String, bool>> + Send>>;

/// How a connection ended.
#[derive(PartialEq, Eq)]
enum End {
    /// The next one comes after the retry time.
    Retry,
    Aborted,
}

/// The task of one proxy.
struct Drive {
    double: Box<dyn Double>,
    sentinels: Vec<u16>,
    gate: Option<watch::Receiver<bool>>,
    verify: bool,
    roles: Arc<Roles>,
    handle: Handle,
    proxy: Proxy,
}

impl Drive {
    async fn run(mut self) {
        loop {
            let port = self.sentinels[self.double.sentinel() % self.sentinels.len()];
            let end = match TcpStream::connect(("127.0.0.1", port)).await {
                Ok(stream) if closed_at_once(&stream).await => {
                    self.proxy.note(Happening::Lost);
                    let actions = self.double.closed_at_once();
                    self.end(actions)
                }
                Ok(stream) => {
                    self.proxy.note(Happening::Connected(port));
                    self.converse(stream).await
                }
                Err(_) => {
                    self.proxy.note(Happening::Refused(port));
                    self.lost()
                }
            };
            if end == End::Aborted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(self.double.retry_ms())).await;
        }
    }

    /// One connection, from its first byte to its end.
    async fn converse(&mut self, mut stream: TcpStream) -> End {
        let _ = stream.set_nodelay(true);
        let cut = Arc::clone(&self.proxy.cut);
        let mut answers: Option<Answers> = None;
        let mut part = [0; READ_BYTES];
        let mut due = self.due();
        let actions = self.double.connected();
        let mut wanted = self.note_all(actions, &Source::Connection);
        loop {
            if wanted.abort {
                return End::Aborted;
            }
            if wanted.close {
                return End::Retry;
            }
            if wanted.ask_roles {
                answers = Some(self.ask_roles());
            }
            if !wanted.send.is_empty() && stream.write_all(&wanted.send).await.is_err() {
                self.proxy.note(Happening::Lost);
                return self.lost();
            }
            wanted = tokio::select! {
                read = stream.read(&mut part) => match read {
                    Ok(0) | Err(_) => {
                        self.proxy.note(Happening::Lost);
                        return self.lost();
                    }
                    Ok(count) => {
                        let bytes = &part[..count];
                        let actions = self.double.received(bytes);
                        self.note_all(actions, &Source::Bytes(bytes))
                    }
                },
                () = cut.notified() => {
                    self.proxy.note(Happening::Lost);
                    return self.lost();
                }
                masters = answered(&mut answers) => {
                    answers = None;
                    let actions = self.double.roles(&masters);
                    self.note_all(actions, &Source::Roles)
                }
                () = elapsed(due) => {
                    self.proxy.note(Happening::Beat);
                    let actions = self.double.timer();
                    due = self.due();
                    self.note_all(actions, &Source::Timer)
                }
            };
        }
    }

    /// The server ended the connection, or there was none.
    fn lost(&mut self) -> End {
        let actions = self.double.disconnected();
        self.end(actions)
    }

    fn end(&mut self, actions: Vec<Action>) -> End {
        if self.note_all(actions, &Source::Connection).abort {
            End::Aborted
        } else {
            End::Retry
        }
    }

    fn due(&self) -> Option<Instant> {
        let timer = self.double.timer_ms().map(Duration::from_millis);
        timer.map(|timer| Instant::now() + timer)
    }

    fn ask_roles(&self) -> Answers {
        let (roles, addresses, gate) = (Arc::clone(&self.roles), self.double.addresses(), self.gate.clone());
        let proxy = self.proxy.clone();
        Box::pin(async move {
            let masters = roles.masters(addresses).await;
            proxy.note(Happening::Asked(masters.values().all(|master| *master)));
            if let Some(mut gate) = gate {
                // A gate that is gone is open.
                let _ = gate.wait_for(|open| *open).await;
            }
            masters
        })
    }

    /// Writes down what the double did, and gathers what is left to do.
    fn note_all(&mut self, actions: Vec<Action>, source: &Source<'_>) -> Wanted {
        let mut wanted = Wanted::default();
        let moves = actions.iter().any(|action| matches!(action, Action::Moved { .. }));
        for action in actions {
            match action {
                Action::Send(bytes) => wanted.send.extend(bytes),
                Action::AskRoles => wanted.ask_roles = true,
                Action::Close(why) => {
                    wanted.close = true;
                    let cause = source.cause();
                    self.proxy.note(Happening::Closed { cause, why });
                }
                Action::Abort(why) => {
                    wanted.abort = true;
                    self.proxy.note(Happening::Aborted(why));
                }
                Action::Moved { group, from, to } => self.moved(group, from, to),
                Action::Warn(what) => self.proxy.note(Happening::Warned(what)),
            }
        }
        self.show(moves);
        wanted
    }

    fn moved(&self, group: String, from: String, to: String) {
        if self.verify {
            let (proxy, group, address) = (self.proxy.clone(), group.clone(), to.clone());
            let asked = now();
            self.handle.spawn(async move {
                let master = Roles::is_master(address.clone()).await;
                proxy.note(Happening::Role {
                    group,
                    address,
                    asked,
                    master,
                });
            });
        }
        self.proxy.note(Happening::Moved { group, from, to });
    }

    /// Shows the double's readiness, and its addresses when it moved, to the test.
    fn show(&self, moved: bool) {
        let ready = self.double.ready();
        let addresses = moved.then(|| self.double.addresses());
        let mut book = self.proxy.lock();
        if book.ready != ready {
            book.ready = ready;
            let what = Happening::Ready(ready);
            book.history.entries.push(Entry { at: now(), what });
        }
        if let Some(addresses) = addresses {
            book.addresses = addresses;
        }
    }
}

/// Whether the server accepted only to close: seen before a proxy's event loop comes round.
async fn closed_at_once(stream: &TcpStream) -> bool {
    let mut byte = [0];
    let peeked = tokio::time::timeout(AT_ONCE, stream.peek(&mut byte)).await;
    matches!(peeked, Ok(Ok(0)))
}

async fn answered(answers: &mut Option<Answers>) -> BTreeMap<String, bool> {
    match answers {
        Some(answers) => answers.await,
        None => pending().await,
    }
}

async fn elapsed(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => pending().await,
    }
}
