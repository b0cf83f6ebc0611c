//! HAProxy before a group, configured as its users do: inline commands in tcp-check.

use std::fmt::Write;

use crate::world::{Client, SOON};
use crate::world::{Process, World, has_program, wait_until};

/// A HAProxy with a port for the primary and one for the replicas.
pub(crate) struct HaProxy {
    pub(crate) primary: u16,
    pub(crate) replica: u16,
    _process: Process,
}

const DEFAULTS: &str = "
defaults
  mode tcp
  timeout connect 1s
  timeout client 60s
  timeout server 60s
  timeout check 1s
  default-server check inter 300ms fall 2 rise 2 on-marked-down shutdown-sessions
";

/// What the instances are asked, as HAProxy's configuration writes it.
const INFO: &str = "info\\ replication";

impl HaProxy {
    pub(crate) fn is_here() -> bool {
        has_program("haproxy")
    }

    /// The primary is who says that it is one.
    pub(crate) fn by_role(world: &World, members: &[u16]) -> Self {
        let (primary, replica) = (world.port(), world.port());
        let mut text = DEFAULTS.to_owned();
        listen_by_role(&mut text, primary, "master", members);
        listen_by_role(&mut text, replica, "slave", members);
        Self::start(world, &text, primary, replica)
    }

    /// The primary is who says that it is one, and whom two of the three nodes name.
    pub(crate) fn by_lookup(world: &World, members: &[u16], nodes: &[u16], group: &str) -> Self {
        let (primary, replica) = (world.port(), world.port());
        let mut text = DEFAULTS.to_owned();
        writeln!(text, "frontend primary\n  bind 127.0.0.1:{primary}").unwrap();
        for member in members {
            writeln!(
                text,
                "  use_backend is-{member} if {{ srv_is_up(is-{member}/redis-{member}) }} {{ nbsrv(named-{member}) ge 2 }}"
            )
            .unwrap();
        }
        let lookup = format!("SENTINEL\\ get-master-addr-by-name\\ {group}");
        for member in members {
            section(
                &mut text,
                &format!("backend is-{member}"),
                INFO,
                "string role:master",
                "redis",
                &[*member],
            );
            section(
                &mut text,
                &format!("backend named-{member}"),
                &lookup,
                &format!("rstring '{member}[^0-9]'"),
                "node",
                nodes,
            );
        }
        listen_by_role(&mut text, replica, "slave", members);
        Self::start(world, &text, primary, replica)
    }

    fn start(world: &World, text: &str, primary: u16, replica: u16) -> Self {
        let file = world.folder().join(format!("haproxy-{primary}.cfg"));
        std::fs::write(&file, text).unwrap();
        let mut command = std::process::Command::new("haproxy");
        command.arg("-db").arg("-f").arg(&file);
        let log = file.with_extension("log");
        let mut process = Process::start(&mut command, &log);
        wait_until("HAProxy serves", SOON, || {
            let ended = process.ended().map(|_| std::fs::read_to_string(&log));
            assert!(ended.is_none(), "HAProxy ended: {ended:?}\n{text}");
            Client::connect(primary).is_ok()
        });
        Self {
            primary,
            replica,
            _process: process,
        }
    }
}

fn listen_by_role(text: &mut String, port: u16, role: &str, members: &[u16]) {
    let head = format!("listen {role}\n  bind 127.0.0.1:{port}");
    section(text, &head, INFO, &format!("string role:{role}"), "redis", members);
}

/// A section whose servers are those that answer PING, and `request` with `answer` in it.
fn section(text: &mut String, head: &str, request: &str, answer: &str, kind: &str, ports: &[u16]) {
    writeln!(text, "{head}\n  option tcp-check\n  tcp-check connect").unwrap();
    for (request, answer) in [("PING", "string +PONG"), (request, answer), ("QUIT", "string +OK")] {
        writeln!(text, "  tcp-check send {request}\\r\\n\n  tcp-check expect {answer}").unwrap();
    }
    for port in ports {
        writeln!(text, "  server {kind}-{port} 127.0.0.1:{port}").unwrap();
    }
}
