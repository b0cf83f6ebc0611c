//! Hosts: one network namespace each, joined by a bridge, with faults on what a host hears and sends.
//!
//! Packets are dropped where they arrive, so that a lost direction looks to the sender as it does in the world: it
//! hears nothing. Delay comes from narrow links (tbf) and chance from nft, since not every kernel has netem. The runner's own address is never blocked: it sees all hosts during every fault.

use std::net::Ipv4Addr;
use std::process::Command;

use crate::enclosure::run;

/// The runner's address on the bridge.
pub(crate) const RUNNER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

/// Makes the bridge on which all hosts are.
pub(crate) fn open() {
    run("ip link set lo up");
    run("ip link add hosts type bridge");
    run(&format!("ip addr add {RUNNER}/16 dev hosts"));
    run("ip link set hosts up");
}

/// One host with one address.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) ip: Ipv4Addr,
}

impl Host {
    /// A host that hears all others. `name` has at most ten letters.
    pub(crate) fn new(name: &str, ip: Ipv4Addr) -> Self {
        run(&format!("ip netns add {name}"));
        run(&format!("ip link add on-{name} type veth peer name eth0 netns {name}"));
        run(&format!("ip link set on-{name} master hosts up"));
        run(&format!("ip -n {name} link set lo up"));
        run(&format!("ip -n {name} addr add {ip}/16 dev eth0"));
        run(&format!("ip -n {name} link set eth0 up"));
        let host = Self {
            name: name.to_owned(),
            ip,
        };
        host.nft("add table ip faults");
        host.nft("add set ip faults deaf { type ipv4_addr ; }");
        host.nft("add chain ip faults lossy");
        host.nft("add chain ip faults input { type filter hook input priority 0 ; policy accept ; }");
        host.nft("add rule ip faults input ip saddr @deaf drop");
        host.nft(&format!("add rule ip faults input ip saddr != {RUNNER} jump lossy"));
        host
    }

    /// A command that runs on this host; the process id is the program's own.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// From now on nothing arrives from those addresses.
    pub(crate) fn deafen(&self, from: &[Ipv4Addr]) {
        let from: Vec<String> = from.iter().map(Ipv4Addr::to_string).collect();
        self.nft(&format!("add element ip faults deaf {{ {} }}", from.join(" , ")));
    }

    /// Loses this share of the packets that arrive from other hosts.
    pub(crate) fn lose(&self, permille: u64) {
        self.nft(&format!(
            "add rule ip faults lossy numgen random mod 1000 < {permille} drop"
        ));
    }

    /// A narrow link: what the host sends waits in a queue, and what does not fit into it is lost.
    pub(crate) fn narrow(&self, kbit: u64, queue_ms: u64) {
        let name = &self.name;
        run(&format!(
            "tc -n {name} qdisc replace dev eth0 root tbf rate {kbit}kbit burst 3000 latency {queue_ms}ms"
        ));
    }

    /// Ends every fault of this host's network.
    pub(crate) fn mend(&self) {
        self.nft("flush set ip faults deaf ; flush chain ip faults lossy");
    }

    /// Ends a narrow link.
    pub(crate) fn widen(&self) {
        run(&format!("tc -n {} qdisc del dev eth0 root", self.name));
    }

    fn nft(&self, line: &str) {
        run(&format!("ip netns exec {} nft {line}", self.name));
    }
}
