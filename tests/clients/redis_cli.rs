//! What redis-cli shows while somebody types comes from COMMAND DOCS.

use std::process::Command;

use crate::installed::program;
use crate::sentinel::Sentinel;
use crate::world::{Node, World, has_program};

/// Lines whose hints are the same from a Sentinel and from us.
const LINES: &[&str] = &[
    "PING ",
    "sentinel masters ",
    "SENTINEL MASTER ",
    "sentinel replicas ",
    "sentinel get-master-addr-by-name ",
    "sentinel ckquorum ",
    "SENTINEL FAILOVER ",
    "sentinel monitor ",
    "sentinel remove ",
    "sentinel reset ",
    "sentinel set ",
];

#[test]
fn hints_of_redis_cli_are_those_of_sentinel() {
    let Some(world) = World::open() else { return };
    if !has_program("python3") {
        return;
    }
    let node = Node::alone(&world);
    let sentinel = Sentinel::start(&world);
    let hints = |port: u16| {
        let mut command = Command::new("python3");
        command.arg(program("hints.py")).arg(port.to_string()).args(LINES);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let (ours, theirs) = (hints(node.port), hints(sentinel.port));
    assert_eq!(theirs.len(), LINES.len());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        // FAILOVER takes more here, behind what it takes there.
        let more = ours.replace(" [COORDINATED] [TO ip:port]", "");
        let ours = if theirs.contains("FAILOVER") { &more } else { ours };
        assert_eq!(ours, theirs);
    }
    assert_eq!(ours.len(), theirs.len());
    let failover = ours.iter().find(|line| line.contains("FAILOVER"));
    assert!(failover.is_some_and(|line| line.contains("master-name [COORDINATED] [TO ip:port]")));
}
