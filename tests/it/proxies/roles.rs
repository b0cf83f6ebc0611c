//! Asks instances for their role, as a proxy does before it serves clients.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use crate::world::now;

/// The real instances, or for a crowd an oracle that asks each of them once in a while.
pub(crate) struct Roles {
    /// How long `master` is believed without asking again; a crowd would drown the instances.
    fresh_for: Duration,
    masters: Mutex<BTreeMap<String, Instant>>,
}

impl Roles {
    pub(crate) fn new(fresh_for: Duration) -> Self {
        Self {
            fresh_for,
            masters: Mutex::default(),
        }
    }

    /// For each group, whether the instance at its address (`ip:port`) says `master`.
    pub(crate) async fn masters(&self, addresses: BTreeMap<String, String>) -> BTreeMap<String, bool> {
        let mut said = BTreeMap::new();
        for (group, address) in addresses {
            said.insert(group, self.is_master(&address).await);
        }
        said
    }

    pub(crate) async fn is_master(&self, address: &str) -> bool {
        if self.fresh_for.is_zero() {
            return ask(address).await;
        }
        // Held while asking: those that wait for the same answer take it.
        let mut masters = self.masters.lock().await;
        if masters.get(address).is_some_and(|at| now() < *at + self.fresh_for) {
            return true;
        }
        let master = ask(address).await;
        if master {
            masters.insert(address.to_owned(), now());
        } else {
            masters.remove(address);
        }
        master
    }
}

/// A promotion closes the clients of an instance: then it is asked once more.
async fn ask(address: &str) -> bool {
    match role(address).await {
        Err(error) if error.kind() != io::ErrorKind::ConnectionRefused => role(address).await.unwrap_or(false),
        answer => answer.unwrap_or(false),
    }
}

async fn role(address: &str) -> io::Result<bool> {
    let (ip, port) = address.rsplit_once(':').ok_or(io::ErrorKind::InvalidInput)?;
    let port: u16 = port.parse().map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut stream = TcpStream::connect((ip, port)).await?;
    stream.write_all(b"*1\r\n$4\r\nROLE\r\n").await?;
    let mut answer = Vec::new();
    while answer.iter().filter(|byte| **byte == b'\n').count() < 3 {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(answer.split(|byte| *byte == b'\n').nth(2) == Some(b"master\r"))
}
