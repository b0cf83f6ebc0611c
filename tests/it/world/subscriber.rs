//! A connection that listens to events and remembers when each arrived.

use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Client, now, wait_for};

/// One event as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) at: Instant,
    pub(crate) channel: String,
    pub(crate) payload: String,
}

/// A subscribed connection with its own thread.
pub(crate) struct Subscriber {
    heard: Arc<Mutex<Vec<Heard>>>,
    stream: TcpStream,
    thread: Option<JoinHandle<()>>,
}

impl Subscriber {
    /// Subscribes to everything.
    pub(crate) fn everything(port: u16) -> Self {
        Self::open(Client::connect(port).unwrap(), "*")
    }

    /// Subscribes an existing connection to a pattern; what it asked before is part of its history.
    #[track_caller]
    pub(crate) fn open(mut client: Client, pattern: &str) -> Self {
        let confirmed = client.call(&["PSUBSCRIBE", pattern]);
        assert_eq!(confirmed.items()[0].text(), "psubscribe", "{confirmed}");
        client.patience(Duration::from_secs(3600));
        let stream = client.stream();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let book = Arc::clone(&heard);
        let thread = std::thread::spawn(move || {
            while let Ok(message) = client.read() {
                if let [kind, _, channel, payload] = message.items() {
                    assert_eq!(kind.text(), "pmessage");
                    book.lock().unwrap().push(Heard {
                        at: now(),
                        channel: channel.text().to_owned(),
                        payload: payload.text().to_owned(),
                    });
                }
            }
        });
        Self {
            heard,
            stream,
            thread: Some(thread),
        }
    }

    /// Everything heard so far.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    /// How many events of this channel were heard whose payload starts so.
    pub(crate) fn count(&self, channel: &str, start: &str) -> usize {
        let heard = self.heard.lock().unwrap();
        heard.iter().filter(|one| one.is(channel, start)).count()
    }

    /// Waits for an event of this channel whose payload starts so.
    #[track_caller]
    pub(crate) fn wait(&self, channel: &str, start: &str, limit: Duration) -> Heard {
        wait_for(&format!("the event {channel} {start}"), limit, || {
            let heard = self.heard.lock().unwrap();
            heard.iter().find(|one| one.is(channel, start)).cloned()
        })
    }

    /// The channels of the events that tell about `group`, in the order of arrival.
    pub(crate) fn channels_about(&self, group: &str) -> Vec<String> {
        let about = |one: &&Heard| one.payload.split(' ').any(|word| word == group);
        self.heard()
            .iter()
            .filter(about)
            .map(|one| one.channel.clone())
            .collect()
    }
}

impl Heard {
    fn is(&self, channel: &str, start: &str) -> bool {
        self.channel == channel && self.payload.starts_with(start)
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
