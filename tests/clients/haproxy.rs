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

    /// The primary is whom two of the three nodes name.
    pub(crate) fn by_lookup(world: &World, members: &[u16], nodes: &[u16], group: &str) -> Self {
        let (primary, replica) = (world.port(), world.port());
        let mut text = DEFAULTS.to_owned();
        writeln!(text, "frontend primary\n  bind 127.0.0.1:{primary}").unwrap();
        for member in members {
            writeln!(text, "  use_backend redis-{member} if {{ nbsrv(named-{member}) ge 2 }}").unwrap();
        }
        for member in members {
            // A switch ends the sessions of the old primary by itself: the nodes see to it.
            writeln!(
                text,
                "backend redis-{member}\n  server redis 127.0.0.1:{member} no-check"
            )
            .unwrap();
            writeln!(
                text,
                "backend named-{member}\n  option tcp-check\n  tcp-check connect\n  tcp-check send PING\\r\\n\n  \
                 tcp-check expect string +PONG\n  tcp-check send SENTINEL\\ get-master-addr-by-name\\ {group}\\r\\n\n  \
                 tcp-check expect string {member}\n  tcp-check send QUIT\\r\\n\n  tcp-check expect string +OK"
            )
            .unwrap();
            for node in nodes {
                writeln!(text, "  server node-{node} 127.0.0.1:{node}").unwrap();
            }
        }
        listen_by_role(&mut text, replica, "slave", members);
        Self::start(world, &text, primary, replica)
    }

    fn start(world: &World, text: &str, primary: u16, replica: u16) -> Self {
        let file = world.folder().join(format!("haproxy-{primary}.cfg"));
        std::fs::write(&file, text).unwrap();
        let mut command = std::process::Command::new("haproxy");
        command.arg("-db").arg("-f").arg(&file);
        let process = Process::start(&mut command, &file.with_extension("log"));
        wait_until("HAProxy serves", SOON, || Client::connect(primary).is_ok());
        Self {
            primary,
            replica,
            _process: process,
        }
    }
}

fn listen_by_role(text: &mut String, port: u16, role: &str, members: &[u16]) {
    writeln!(
        text,
        "listen {role}\n  bind 127.0.0.1:{port}\n  option tcp-check\n  tcp-check connect\n  tcp-check send PING\\r\\n\n  \
         tcp-check expect string +PONG\n  tcp-check send info\\ replication\\r\\n\n  tcp-check expect string role:{role}\n  \
         tcp-check send QUIT\\r\\n\n  tcp-check expect string +OK"
    )
    .unwrap();
    for member in members {
        writeln!(text, "  server redis-{member} 127.0.0.1:{member}").unwrap();
    }
}
