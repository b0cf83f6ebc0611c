//! What is read, what is refused with its line, and that a change touches nothing else.

mod hostile;
mod refused;

use std::collections::BTreeMap;

use super::{Dialect, Placement, Server, Template};
use crate::model::Address;

const NUTCRACKER: &str = "\
# the fleet of Grünwald ÄÖÜ
alpha:
  listen: 127.0.0.1:22121   # clients
  hash: fnv1a_64
  distribution: ketama
  servers:
   - 10.0.0.1:6379:1 shard-a     # first
   - 'cache.example:6380:2 shard-b'
   - \"10.0.0.3:6379:1 shard-c\"
   - 10.0.0.4:6379:1
     shard-d
   - /run/redis.sock:1 local
   - fe80::1:6379:1 six
   - 10.0.0.5:6379:1

beta: {listen: \"127.0.0.1:22122\", servers: [10.0.0.6:6379:1 shard-a, '10.0.0.7:6379:1 shard-e']}
";

const BDRP: &str = "\
sigma:
  listen: 127.0.0.1:21121
  servers:
   - server1
     10.0.0.1:6379:1
     10.0.0.2:6379:1
     10.0.0.3:6379:1 # the far one
   - server2 10.0.0.4:6379:3   # alone
   - server3
     10.0.0.5:6379:2
  redis: true
";

fn nutcracker(text: &str) -> Template {
    Template::parse(text, Dialect::Nutcracker).unwrap()
}

fn bdrp(text: &str) -> Template {
    Template::parse(text, Dialect::Bdrp).unwrap()
}

fn at(text: &str) -> Address {
    text.parse().unwrap()
}

fn to(primary: &str) -> Placement {
    Placement {
        primary: at(primary),
        replicas: None,
    }
}

fn with(primary: &str, replicas: &[&str]) -> Placement {
    Placement {
        primary: at(primary),
        replicas: Some(replicas.iter().map(|text| at(text)).collect()),
    }
}

fn index(template: &Template, pool: &str, name: &str) -> usize {
    let is = |server: &Server| server.pool == pool && server.name.as_deref() == Some(name);
    template.servers().iter().position(is).unwrap()
}

fn render(template: &Template, placements: &[(&str, &str, Placement)]) -> String {
    let placements: BTreeMap<usize, Placement> = placements
        .iter()
        .map(|(pool, name, placement)| (index(template, pool, name), placement.clone()))
        .collect();
    template.render(&placements).unwrap()
}

/// The placements that the file has by itself.
fn own(template: &Template) -> BTreeMap<usize, Placement> {
    let placement = |server: &Server| {
        Some(Placement {
            primary: server.primary().filter(|_| server.fixed().is_none())?,
            replicas: Some(server.replica_addresses()),
        })
    };
    let servers = template.servers().iter().enumerate();
    servers
        .filter_map(|(index, server)| Some((index, placement(server)?)))
        .collect()
}

#[test]
fn servers_are_found_in_every_spelling_that_yaml_has_for_them() {
    let template = nutcracker(NUTCRACKER);
    let seen: Vec<String> = template
        .servers()
        .iter()
        .map(|server| {
            let name = server.name.as_deref().unwrap_or("-");
            format!(
                "{} {} {} {} {}",
                server.pool, name, server.address, server.weight, server.line
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            "alpha shard-a 10.0.0.1:6379 1 7",
            "alpha shard-b cache.example:6380 2 8",
            "alpha shard-c 10.0.0.3:6379 1 9",
            "alpha shard-d 10.0.0.4:6379 1 10",
            "alpha local /run/redis.sock 1 12",
            "alpha six fe80::1:6379 1 13",
            "alpha - 10.0.0.5:6379 1 14",
            "beta shard-a 10.0.0.6:6379 1 16",
            "beta shard-e 10.0.0.7:6379 1 16",
        ]
    );
}

#[test]
fn unchanged_addresses_leave_every_byte() {
    let windows = NUTCRACKER.replace('\n', "\r\n");
    let marked = format!("\u{feff}{NUTCRACKER}");
    for text in [NUTCRACKER, &windows, &marked, NUTCRACKER.trim_end()] {
        let template = nutcracker(text);
        assert_eq!(template.render(&BTreeMap::new()).unwrap(), text);
        assert_eq!(template.render(&own(&template)).unwrap(), text);
    }
    for text in [BDRP.to_owned(), BDRP.replace('\n', "\r\n"), BDRP.trim_end().to_owned()] {
        let template = bdrp(&text);
        assert_eq!(template.render(&own(&template)).unwrap(), text);
    }
}

#[test]
fn only_the_address_changes() {
    let windows = NUTCRACKER.replace('\n', "\r\n");
    let marked = format!("\u{feff}{NUTCRACKER}");
    for text in [NUTCRACKER, &windows, &marked] {
        let moved = render(
            &nutcracker(text),
            &[
                ("alpha", "shard-a", to("10.9.9.9:7000")),
                ("alpha", "shard-b", to("10.9.9.8:7000")),
                ("alpha", "shard-c", to("10.9.9.7:7000")),
                ("alpha", "shard-d", to("10.9.9.6:7000")),
                ("alpha", "six", to("[fe80::2]:6379")),
                ("beta", "shard-a", to("[::1]:6379")),
            ],
        );
        let by_hand = text
            .replace("10.0.0.1:6379:1 shard-a", "10.9.9.9:7000:1 shard-a")
            .replace("cache.example:6380", "10.9.9.8:7000")
            .replace("10.0.0.3:6379", "10.9.9.7:7000")
            .replace("10.0.0.4:6379", "10.9.9.6:7000")
            .replace("fe80::1:6379", "fe80::2:6379")
            .replace("10.0.0.6:6379", "0::1:6379");
        assert_eq!(moved, by_hand);
    }
}

#[test]
fn an_address_that_means_the_same_keeps_its_spelling() {
    let text = "a:\n  servers:\n   - 0:0::1:06379:1 x\n   - ::ffff:10.0.0.1:6379:1 y\n";
    let moved = render(
        &nutcracker(text),
        &[("a", "x", to("[::1]:6379")), ("a", "y", to("10.0.0.1:6379"))],
    );
    assert_eq!(moved, text);
}

#[test]
fn a_socket_and_a_server_without_a_name_stay_where_they_are() {
    let template = nutcracker(NUTCRACKER);
    for (place, why) in [(4, "it is a Unix socket"), (6, "it has no name")] {
        let error = template
            .render(&BTreeMap::from([(place, to("10.9.9.9:1"))]))
            .unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
        assert_eq!(error.line, template.servers()[place].line);
    }
    assert!(template.render(&BTreeMap::from([(99, to("10.9.9.9:1"))])).is_err());
}

#[test]
fn a_bdrp_switch_changes_lines_in_place() {
    let moved = render(
        &bdrp(BDRP),
        &[(
            "sigma",
            "server1",
            with("10.0.0.2:6379", &["10.0.0.1:6379", "10.0.0.3:6379"]),
        )],
    );
    let by_hand = BDRP
        .replace("10.0.0.1:6379:1", "#")
        .replace("10.0.0.2:6379:1", "10.0.0.1:6379:1")
        .replace("     #\n", "     10.0.0.2:6379:1\n");
    assert_eq!(moved, by_hand);
}

#[test]
fn bdrp_replicas_come_and_go_with_the_indentation_of_their_neighbours() {
    for line_end in ["\n", "\r\n"] {
        let text = BDRP.replace('\n', line_end);
        let moved = render(
            &bdrp(&text),
            &[
                ("sigma", "server1", with("10.0.0.1:6379", &["10.0.0.3:6379"])),
                ("sigma", "server2", with("10.0.0.4:6379", &["10.0.0.8:6379"])),
                ("sigma", "server3", with("10.0.0.5:6379", &["10.0.0.6:1", "10.0.0.7:2"])),
            ],
        );
        let by_hand = BDRP
            .replace("     10.0.0.2:6379:1\n", "")
            .replace("10.0.0.4:6379:3", "10.0.0.4:6379:3 10.0.0.8:6379:3")
            .replace(
                "10.0.0.5:6379:2",
                "10.0.0.5:6379:2\n     10.0.0.6:1:2\n     10.0.0.7:2:2",
            )
            .replace('\n', line_end);
        assert_eq!(moved, by_hand);
    }
}

#[test]
fn bdrp_replicas_that_eroded_come_back_and_doubles_go() {
    let eroded = "s:\n  servers:\n   - a\n     10.0.0.3:1:1\n     10.0.0.3:1:1\n     10.0.0.3:1:1\n";
    let wanted = [("s", "a", with("10.0.0.3:1", &["10.0.0.1:1", "10.0.0.2:1"]))];
    let whole = "s:\n  servers:\n   - a\n     10.0.0.3:1:1\n     10.0.0.1:1:1\n     10.0.0.2:1:1\n";
    assert_eq!(render(&bdrp(eroded), &wanted), whole);
    let none = render(&bdrp(eroded), &[("s", "a", with("10.0.0.3:1", &[]))]);
    assert_eq!(none, "s:\n  servers:\n   - a\n     10.0.0.3:1:1\n");
}

#[test]
fn bdrp_replicas_stay_when_nothing_is_said_of_them() {
    let moved = render(&bdrp(BDRP), &[("sigma", "server1", to("10.0.0.9:6379"))]);
    assert_eq!(moved, BDRP.replace("10.0.0.1:6379", "10.0.0.9:6379"));
}
