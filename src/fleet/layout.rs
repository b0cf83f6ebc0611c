//! Which instance listens where, and what its group is called.

use std::net::{IpAddr, Ipv4Addr};

use crate::model::Address;

/// Where the instances of a fleet are. Group `g`, member `m` listens on `127.<network + m>.<g / 250>.<g % 250 + 1>`:
/// every member of a group is on a host of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Number of the first group; a fleet that is too large for one process is split by it.
    pub first_group: u32,
    /// How many groups.
    pub groups: u32,
    /// Replicas of each group.
    pub replicas: u32,
    /// Second part of the addresses of the first members: `127.<network>.x.y`.
    pub network: u8,
    /// The port of every instance.
    pub port: u16,
    /// Names are this, `-`, and the number of the group.
    pub prefix: String,
}

/// Why a fleet cannot be laid out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// No group at all.
    #[error("a fleet has at least one group")]
    NoGroups,
    /// More groups than addresses.
    #[error("group numbers end at {}, and the last one here would be {last}", Layout::GROUPS_MAX - 1)]
    TooManyGroups {
        /// The number of the last group.
        last: u64,
    },
    /// More members than networks behind the first one.
    #[error("with network {network} a group has at most {most} replicas")]
    TooManyReplicas {
        /// Network of the first members.
        network: u8,
        /// How many replicas would do.
        most: u32,
    },
    /// Nobody can listen on port 0 of a known address.
    #[error("the port is 1 to 65535")]
    Port,
    /// What cannot be a group's name.
    #[error("a prefix is 1 to 64 letters, digits, '-', '_' or '.'")]
    Prefix,
}

impl Layout {
    const HOSTS_PER_NET: u32 = 250;
    /// How many groups have addresses.
    pub const GROUPS_MAX: u32 = Self::HOSTS_PER_NET * 256;
    const PREFIX_BYTES_MAX: usize = 64;

    /// Says what is wrong with it.
    pub fn check(&self) -> Result<(), LayoutError> {
        let last = u64::from(self.first_group) + u64::from(self.groups);
        let most = u32::from(u8::MAX - self.network);
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let named = 1..=Self::PREFIX_BYTES_MAX;
        match () {
            () if self.groups == 0 => Err(LayoutError::NoGroups),
            () if last > u64::from(Self::GROUPS_MAX) => Err(LayoutError::TooManyGroups { last: last - 1 }),
            () if self.replicas > most => Err(LayoutError::TooManyReplicas {
                network: self.network,
                most,
            }),
            () if self.port == 0 => Err(LayoutError::Port),
            () if !named.contains(&self.prefix.len()) || !self.prefix.bytes().all(letter) => Err(LayoutError::Prefix),
            () => Ok(()),
        }
    }

    /// Instances of one group.
    pub fn members(&self) -> usize {
        self.replicas as usize + 1
    }

    /// Instances of all groups.
    pub fn instances(&self) -> usize {
        self.groups as usize * self.members()
    }

    /// The numbers of the groups.
    pub fn numbers(&self) -> std::ops::Range<u32> {
        self.first_group..self.first_group + self.groups
    }

    /// The name of group `number`.
    pub fn name(&self, number: u32) -> String {
        format!("{}-{number:05}", self.prefix)
    }

    /// Where member `member` of group `number` listens; member 0 begins as the primary.
    pub fn address(&self, number: u32, member: usize) -> Address {
        let network = usize::from(self.network) + member;
        let [net, host] = [number / Self::HOSTS_PER_NET, number % Self::HOSTS_PER_NET + 1];
        Address {
            ip: IpAddr::V4(Ipv4Addr::new(127, network as u8, net as u8, host as u8)),
            port: self.port,
        }
    }

    /// One line per group that makes a Sentinel, or a node, monitor it: `SENTINEL MONITOR ...`.
    pub fn monitor_lines(&self, quorum: u32) -> String {
        let mut lines = String::new();
        for number in self.numbers() {
            let Address { ip, port } = self.address(number, 0);
            let name = self.name(number);
            lines.push_str(&format!("SENTINEL MONITOR {name} {ip} {port} {quorum}\n"));
        }
        lines
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
pub(super) mod tests {
    use super::*;

    pub(in crate::fleet) fn layout(groups: u32, replicas: u32) -> Layout {
        Layout {
            first_group: 0,
            groups,
            replicas,
            network: 100,
            port: 7000,
            prefix: "fleet".to_owned(),
        }
    }

    #[test]
    fn each_instance_has_an_address_of_its_own() {
        let layout = layout(600, 2);
        let mut seen = std::collections::BTreeSet::new();
        for number in layout.numbers() {
            for member in 0..layout.members() {
                assert!(seen.insert(layout.address(number, member)));
            }
        }
        assert_eq!(seen.len(), layout.instances());
        assert_eq!(layout.address(251, 1).to_string(), "127.101.1.2:7000");
        assert!(seen.iter().all(|address| address.ip.is_loopback()));
    }

    #[test]
    fn what_has_no_addresses_is_refused() {
        assert_eq!(layout(1, 1).check(), Ok(()));
        assert_eq!(layout(Layout::GROUPS_MAX, 155).check(), Ok(()));
        assert_eq!(layout(0, 1).check(), Err(LayoutError::NoGroups));
        let mut beyond = layout(Layout::GROUPS_MAX, 1);
        beyond.first_group = 1;
        assert_eq!(beyond.check(), Err(LayoutError::TooManyGroups { last: 64_000 }));
        assert!(matches!(
            layout(1, 156).check(),
            Err(LayoutError::TooManyReplicas { most: 155, .. })
        ));
        let named = |prefix: &str| Layout {
            prefix: prefix.to_owned(),
            ..layout(1, 1)
        };
        assert_eq!(named("").check(), Err(LayoutError::Prefix));
        assert_eq!(named("a b").check(), Err(LayoutError::Prefix));
        assert_eq!(
            Layout {
                port: 0,
                ..layout(1, 1)
            }
            .check(),
            Err(LayoutError::Port)
        );
    }

    #[test]
    fn the_lines_monitor_each_primary() {
        let lines = layout(2, 1).monitor_lines(2);
        assert_eq!(
            lines,
            "SENTINEL MONITOR fleet-00000 127.100.0.1 7000 2\nSENTINEL MONITOR fleet-00001 127.100.0.2 7000 2\n"
        );
    }
}
