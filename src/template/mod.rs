//! The configuration file of a proxy of the twemproxy family: finds its servers, and changes addresses only.
//!
//! ```text
//! text --parse--> servers (pool, name, address, place in the text) --render with placements--> text
//! ```
//!
//! Comments, order, quoting and every other byte stay as they are.
//! What does not live here: files, the proxy's process, and which address is the right one.

mod edit;
mod error;
mod scan;
mod server;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use error::{Fault, TemplateError};

use crate::model::Address;

/// Which proxy reads the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// twemproxy 0.5.0: `- host:port:weight name`.
    Nutcracker,
    /// BDRP's nutcracker 0.2.4: `- name`, and below it `ip:port:weight` of the primary and of its replicas.
    Bdrp,
}

/// One server of a pool, as the file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// The pool in which it stands.
    pub pool: String,
    /// Its name. Without one a ring hashes the address, and a move would move its keys.
    pub name: Option<String>,
    /// `host:port`, or the path of a Unix socket.
    pub address: String,
    /// Its weight.
    pub weight: String,
    /// `host:port` of the replicas that serve reads (BDRP).
    pub replicas: Vec<String>,
    /// Where it begins, counted from 1.
    pub line: usize,
}

impl Server {
    /// The address, when the file has an IP address and not a host name or a socket's path.
    pub fn primary(&self) -> Option<Address> {
        server::meaning(&self.address)
    }

    /// The replicas that have IP addresses.
    pub fn replica_addresses(&self) -> Vec<Address> {
        self.replicas.iter().filter_map(|text| server::meaning(text)).collect()
    }

    /// Why this server cannot be moved, if so.
    pub fn fixed(&self) -> Option<&'static str> {
        if self.address.starts_with('/') {
            Some("it is a Unix socket")
        } else if self.name.is_none() {
            Some("it has no name, so that a move would move its keys")
        } else {
            None
        }
    }
}

/// Where a server should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The primary.
    pub primary: Address,
    /// The replicas for reading (BDRP); `None` leaves them as they are.
    pub replicas: Option<Vec<Address>>,
}

/// A file that was read and understood.
#[derive(Debug)]
pub struct Template {
    text: String,
    dialect: Dialect,
    scan: scan::Scan,
    servers: Vec<Server>,
}

impl Template {
    /// Reads a file. Anything that could not be changed safely later is refused now, with its line.
    pub fn parse(text: &str, dialect: Dialect) -> Result<Self, TemplateError> {
        let scan = scan::scan(text)?;
        let mut servers: Vec<Server> = Vec::with_capacity(scan.entries.len());
        let mut lines: BTreeMap<(String, String), usize> = BTreeMap::new();
        for entry in &scan.entries {
            let server = server::read(entry, dialect)?;
            if let Some(name) = server.name.clone() {
                let pool = server.pool.clone();
                let first = lines.insert((pool.clone(), name.clone()), server.line);
                if let Some(first) = first {
                    return Err(Fault::ServerTwice { pool, name, first }.on(server.line));
                }
            }
            servers.push(server);
        }
        Ok(Self {
            text: text.to_owned(),
            dialect,
            scan,
            servers,
        })
    }

    /// The servers, in the order of the file.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// The file as it was read.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The file with its servers (by their index) where they should be. Every other byte stays.
    ///
    /// An address that already means the same keeps its spelling. The result is read again, and is refused if
    /// it says anything but what was asked for.
    pub fn render(&self, placements: &BTreeMap<usize, Placement>) -> Result<String, TemplateError> {
        let mut edits = Vec::new();
        for (index, placement) in placements {
            let (Some(server), Some(entry)) = (self.servers.get(*index), self.scan.entries.get(*index)) else {
                return Err(Fault::NoSuchServer(*index).on(1));
            };
            let found = match (server.fixed(), self.dialect) {
                (Some(why), _) => Err(Fault::Fixed(server.address.clone(), why)),
                (None, Dialect::Nutcracker) => Ok(edit::nutcracker(entry, server, placement).into_iter().collect()),
                (None, Dialect::Bdrp) => edit::bdrp(&self.text, entry, server, placement),
            };
            edits.extend(found.map_err(|fault| fault.on(server.line))?);
        }
        let text = edit::apply(&self.text, edits);
        self.verify(&text, placements)?;
        Ok(text)
    }

    fn verify(&self, text: &str, placements: &BTreeMap<usize, Placement>) -> Result<(), TemplateError> {
        let wrong = |line, what: String| Err(Fault::Changed(what).on(line));
        let result = match Self::parse(text, self.dialect) {
            Ok(result) => result,
            Err(error) => return wrong(error.line, error.to_string()),
        };
        if result.scan.rest != self.scan.rest || result.servers.len() != self.servers.len() {
            return wrong(1, "more than servers has changed".to_owned());
        }
        for (index, (before, after)) in self.servers.iter().zip(&result.servers).enumerate() {
            let same_server = (&before.pool, &before.name, &before.weight) == (&after.pool, &after.name, &after.weight);
            let placed = match placements.get(&index) {
                None => (&before.address, &before.replicas) == (&after.address, &after.replicas),
                Some(wanted) => edit::is_placed(before, after, wanted, self.dialect),
            };
            if !same_server || !placed {
                return wrong(after.line, format!("server {index} of pool '{}'", after.pool));
            }
        }
        Ok(())
    }
}
