//! A subscriber of one node: hears switches, and holds that each connection is told one chain of addresses.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::client::{Client, Value};
use crate::crew::Stop;
use crate::moment::{last, ms};
use crate::writer::{Told, primary_of};

const PATIENCE: Duration = Duration::from_secs(1);

/// One +switch-master as one node told it.
#[derive(Clone, Debug)]
pub(crate) struct Switch {
    pub(crate) at: u64,
    pub(crate) group: String,
    pub(crate) old: SocketAddr,
    pub(crate) new: SocketAddr,
}

/// What all subscribers heard.
#[derive(Clone, Default)]
pub(crate) struct Heard {
    switches: Arc<Mutex<Vec<Switch>>>,
    breaks: Arc<Mutex<Vec<String>>>,
}

impl Heard {
    /// The primary at a time: the chain from `first`, each link as soon as any node told it.
    pub(crate) fn primary_at(&self, group: &str, first: Ipv4Addr, at: u64) -> Ipv4Addr {
        let switches = self.switches.lock().unwrap();
        let about = switches.iter().filter(|one| one.group == group && one.at <= at);
        let mut current = first;
        for switch in about {
            if let (SocketAddr::V4(old), SocketAddr::V4(new)) = (switch.old, switch.new)
                && *old.ip() == current
            {
                current = *new.ip();
            }
        }
        current
    }

    /// Switches of a group that any node told first, from `from` on.
    pub(crate) fn switches_since(&self, group: &str, first: Ipv4Addr, from: u64) -> usize {
        let switches = self.switches.lock().unwrap();
        let times: Vec<u64> = switches.iter().map(|one| one.at).filter(|at| *at >= from).collect();
        drop(switches);
        let mut current = self.primary_at(group, first, from.saturating_sub(1));
        let mut count = 0;
        for at in times {
            let next = self.primary_at(group, first, at);
            count += usize::from(next != current);
            current = next;
        }
        count
    }

    /// Takes what broke a chain.
    pub(crate) fn take_breaks(&self) -> Vec<String> {
        std::mem::take(&mut self.breaks.lock().unwrap())
    }
}

pub(crate) struct Subscriber {
    pub(crate) node: SocketAddr,
    pub(crate) groups: Vec<String>,
    pub(crate) heard: Heard,
    /// Where writers look for news.
    pub(crate) told: Told,
    pub(crate) stop: Stop,
}

impl Subscriber {
    pub(crate) fn run(self) {
        while !self.stop.is_set() {
            // A new connection begins a new chain.
            let _ = self.listen();
            last(20);
        }
    }

    fn listen(&self) -> Option<()> {
        let mut client = Client::reach(self.node, PATIENCE).ok()?;
        let mut chain = BTreeMap::new();
        for group in &self.groups {
            chain.insert(group.clone(), primary_of(&mut client, group)?);
        }
        client.send(&["SUBSCRIBE", "+switch-master"]).ok()?;
        let mut asked = false;
        while !self.stop.is_set() {
            match client.read() {
                Ok(message) => {
                    asked = false;
                    self.hear(&message, &mut chain);
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) && !asked => {
                    asked = true;
                    client.send(&["PING"]).ok()?;
                }
                Err(_) => return None,
            }
        }
        Some(())
    }

    fn hear(&self, message: &Value, chain: &mut BTreeMap<String, SocketAddr>) -> Option<()> {
        let [kind, _, payload] = message.items() else {
            return None;
        };
        if kind.text() != "message" {
            return None;
        }
        let words: Vec<&str> = payload.text().split(' ').collect();
        let &[group, old_ip, old_port, new_ip, new_port] = words.as_slice() else {
            return None;
        };
        let address = |ip: &str, port: &str| Some(SocketAddr::new(ip.parse().ok()?, port.parse().ok()?));
        let (old, new) = (address(old_ip, old_port)?, address(new_ip, new_port)?);
        let known = chain.insert(group.to_owned(), new)?;
        if known != old || new == old {
            let text = format!("{}: {} after {known}", self.node, payload.text());
            self.heard.breaks.lock().unwrap().push(text);
        }
        self.heard.switches.lock().unwrap().push(Switch {
            at: ms(),
            group: group.to_owned(),
            old,
            new,
        });
        self.told.tell(group, new);
        Some(())
    }
}
