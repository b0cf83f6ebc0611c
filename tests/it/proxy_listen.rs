//! `--proxy-listen`: real processes with a second port for old proxies.

use std::process::Command;

use crate::world::{Client, Cluster, Node, NodeOptions, SOON, Value, World, cfgserver, wait_until};

const CONFIRMED: [&str; 3] = ["psubscribe", "+switch-master", "1"];

/// A cluster of one, and its second port.
fn two_ports(world: &World) -> (Node, u16) {
    let (port, proxy) = (world.port(), world.port());
    let options = NodeOptions {
        id: 1,
        port,
        words: vec!["--proxy-listen".to_owned(), format!("127.0.0.1:{proxy}")],
    };
    let mut node = Node::new(world, options);
    node.start();
    node.wait_ready();
    (node, proxy)
}

fn output(command: &mut Command) -> (Option<i32>, String, String) {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_bad_second_port_is_refused_with_what_is_wrong() {
    let refused = |words: &[&str], code: i32, fault: &str| {
        for verb in ["serve", "check-config"] {
            let (got, _, said) = output(cfgserver().arg(verb).args(words));
            assert!(
                got == Some(code) && said.contains(fault),
                "{verb} {words:?}: {got:?} {said}"
            );
        }
    };
    refused(&["--proxy-listen", "localhost:26380"], 64, "is not IP:PORT");
    refused(&["--proxy-listen", "26380"], 64, "is not IP:PORT");
    refused(&["--proxy-listen", "127.0.0.1:65536"], 64, "is not IP:PORT");
    refused(
        &["--proxy-listen", "127.0.0.1:0"],
        1,
        "proxy-listen needs a port other than 0",
    );
    refused(
        &["--proxy-listen", "127.0.0.1:26379"],
        1,
        "proxy-listen 127.0.0.1:26379 needs another port than listen 127.0.0.1:26379",
    );
    refused(
        &["--listen", "0.0.0.0:7", "--proxy-listen", "127.0.0.1:7"],
        1,
        "needs another port",
    );
}

#[test]
fn the_second_port_is_read_from_every_source_and_shown() {
    let world = World::bare();
    let file = world.folder().join("cfgserver.toml");
    std::fs::write(&file, "proxy-listen = \"127.0.0.1:5\"\n").unwrap();
    let check = || {
        let mut command = cfgserver();
        command.args(["check-config", "--config", &file.to_string_lossy()]);
        command
    };
    let (_, shown, said) = output(&mut check());
    assert!(shown.contains("proxy-listen = \"127.0.0.1:5\"\n"), "{shown}{said}");
    let (_, shown, _) = output(check().env("CFGSERVER_PROXY_LISTEN", "[::1]:6"));
    assert!(shown.contains("proxy-listen = \"[::1]:6\"\n"), "{shown}");
    let flagged = &mut check();
    let (_, shown, _) = output(
        flagged
            .env("CFGSERVER_PROXY_LISTEN", "[::1]:6")
            .args(["--proxy-listen", "0.0.0.0:7"]),
    );
    assert!(shown.contains("proxy-listen = \"0.0.0.0:7\"\n"), "{shown}");
    assert!(shown.contains("advertise = \"127.0.0.1:26379\"\n"), "{shown}");
}

#[test]
fn a_second_port_that_is_taken_is_a_clear_refusal() {
    let world = World::bare();
    let node = Node::alone(&world);
    let taken = format!("127.0.0.1:{}", node.port);
    let other = World::bare();
    let options = NodeOptions {
        id: 1,
        port: other.port(),
        words: vec!["--proxy-listen".to_owned(), taken.clone()],
    };
    let (code, _, said) = output(&mut Node::new(&other, options).command());
    let told = said.contains(&format!("proxy-listen: cannot listen on {taken}"));
    assert!(code == Some(1) && told, "{code:?} {said}");
}

#[test]
fn both_ports_serve_and_the_second_changes_nothing() {
    let world = World::bare();
    let (mut node, proxy) = two_ports(&world);
    assert!(node.log_text().contains(&format!("proxy_listen=\"127.0.0.1:{proxy}\"")));
    for (name, port) in [("pool-1", "11"), ("plain", "12")] {
        assert!(
            node.call(&["SENTINEL", "MONITOR", name, "127.0.0.1", port, "1"])
                .is_ok()
        );
    }
    let mut old = Client::connect(proxy).unwrap();
    let refusal = old.call(&["SENTINEL", "REMOVE", "pool-1"]);
    assert!(
        refusal.is_error() && refusal.text().contains(&format!("port {} ", node.port)),
        "{refusal}"
    );
    let info = old.call(&["INFO", "sentinel"]);
    assert!(
        info.text().contains("sentinel_masters:1\r\n") && !info.text().contains("plain"),
        "{info}"
    );
    assert!(node.call(&["INFO", "sentinel"]).text().contains("master1:name=plain,"));
    for (client, port) in [(&mut old, proxy), (&mut node.client(), node.port)] {
        let line = client.call(&["CLIENT", "INFO"]);
        assert!(line.text().contains(&format!(" laddr=127.0.0.1:{port} ")), "{line}");
    }
    assert!(node.terminate().0.success());
    assert!(Client::connect(proxy).is_err());
}

#[test]
fn names_that_netease_cannot_tell_apart_are_warned_of_once() {
    let world = World::bare();
    let (node, proxy) = two_ports(&world);
    for (name, port) in [("shard1", "11"), ("shard10", "12"), ("shard2", "13")] {
        assert!(
            node.call(&["SENTINEL", "MONITOR", name, "127.0.0.1", port, "1"])
                .is_ok()
        );
    }
    let warnings = || {
        let log = node.log_text();
        log.lines()
            .filter(|line| line.contains("names of one length"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let heartbeats = |port: u16, names: &[&str]| {
        let mut client = Client::connect(port).unwrap();
        for name in names {
            assert_eq!(
                client
                    .call(&["sentinel", "get-master-addr-by-name", name])
                    .items()
                    .len(),
                2
            );
        }
        for _ in 0..3 {
            let confirmed = client.call(&["psubscribe", "+switch-master"]);
            let words: Vec<String> = confirmed.items().iter().map(Value::to_string).collect();
            assert_eq!(words, CONFIRMED);
        }
    };
    heartbeats(node.port, &["shard2", "shard10"]);
    assert_eq!(warnings(), Vec::<String>::new());
    for port in [node.port, proxy, node.port] {
        heartbeats(port, &["shard2", "shard10", "shard1"]);
    }
    wait_until("the warning is in the log", SOON, || !warnings().is_empty());
    // What is logged later is behind it: had it been said again, that would stand before this.
    node.call(&["SENTINEL", "REMOVE", "shard2"]);
    wait_until("the log goes on", SOON, || {
        node.log_text().contains("-monitor master shard2")
    });
    let warnings = warnings();
    assert!(
        warnings.len() == 1 && warnings[0].contains("short=shard1 long=shard10"),
        "{warnings:?}"
    );
}

/// What is read behind a write on the same connection is what the write made of it, on whichever node.
#[test]
fn reads_behind_forwarded_writes_are_answered_in_order_and_see_them() {
    let world = World::bare();
    let mut cluster = Cluster::start(&world, 3);
    let follower = cluster.followers()[0];
    let mut client = cluster.nodes[follower].client();
    let request = |words: &[&str]| {
        let mut text = format!("*{}\r\n", words.len());
        for word in words {
            text.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        text
    };
    let lookup = |name: &str| request(&["sentinel", "get-master-addr-by-name", name]);
    let mut batch = String::new();
    for number in 0..20 {
        let (name, port) = (format!("p-{number}"), (1000 + number).to_string());
        batch += &(lookup(&name) + &request(&["SENTINEL", "MONITOR", &name, "127.0.0.1", &port, "2"]) + &lookup(&name));
    }
    client.send_bytes(batch.as_bytes()).unwrap();
    for number in 0..20 {
        assert!(
            matches!(client.read().unwrap(), Value::Null),
            "there before it was made: {number}"
        );
        let made = client.read().unwrap();
        assert!(made.is_ok(), "{number}: {made}");
        let address = client.read().unwrap();
        assert_eq!(address.items()[1].text(), (1000 + number).to_string());
    }
}
