//! The steps of scenario files.
//!
//! ```text
//! nodes N | redis A [of B] [keys N] [offset N] [priority N] [version V] | monitor G A quorum N | set G OPTION VALUE
//! set G failover on|off | set G failover off for MS |
//! tick MS | kill A | hang A | resume A | restart A [empty] [of B | alone] | write A N [keys N] | flush A
//! stuck A yes|no | loading A yes|no | priority A N | refuse A TEXT | drop A | slaveof A B|none [by-name]
//! held-up-for A B |
//! names | name A HOST | announce A HOST | dns HOST A|none | move A PLACE: host names, and another address for A
//! cut NODE A | heal NODE A | lease yes|no | crash leader | crash nodes | crash at POINT | failover G | reset G | show G
//! ```

use cfgserver::failover::{self, Wish};
use cfgserver::machine::{Command, Outcome, ResetGroup, SharedSetting};
use cfgserver::model::{Address, Automatic, GroupName, HostName, Identity, Mode, Setting, Stage, Timestamp};

use super::server::Server;
use super::world::World;

pub(super) fn run(world: &mut World, line: &str) {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        ["nodes", count] => world.set_nodes(number(count)),
        ["redis", name, options @ ..] => redis(world, name, options),
        ["monitor", name, primary, "quorum", quorum] => monitor(world, name, primary, quorum),
        ["names"] => resolve_names(world),
        ["name" | "announce", name, host] => {
            let server = world.server(name);
            server.announces = words[0] == "announce";
            server.host = Some(HostName::new(host).unwrap());
            let ip = server.address.ip;
            world.hosts.insert(HostName::new(host).unwrap(), ip);
        }
        ["dns", host, "none"] => _ = world.hosts.remove(&HostName::new(host).unwrap()),
        ["dns", host, name] => {
            let ip = world.server(name).address.ip;
            world.hosts.insert(HostName::new(host).unwrap(), ip);
        }
        ["move", name, place] => move_server(world, name, address(place)),
        ["set", name, "failover", "off", "for", ms] => {
            let end = Timestamp(world.wall().0 + number::<u64>(ms));
            put(world, name, Setting::Automatic(Automatic::OffUntil(end)));
        }
        ["set", name, option, value] => set(world, name, option, value),
        ["tick", ms] => world.tick(number(ms)),
        ["failover", name] => world.operator(name, Wish::default()),
        ["failover", name, wish @ ..] => world.operator(name, parse_wish(wish)),
        ["reset", name] => reset(world, name),
        ["show", name] => show(world, name),
        ["crash", "leader"] => world.crash_leader(),
        ["crash", "nodes"] => world.crash_nodes(),
        ["crash", "at", point @ ..] => world.stop_at = Some(point.join(" ")),
        ["lease", value] => world.lease = *value == "yes",
        ["cut", node, name] => {
            let address = world.server(name).address;
            world.cut.insert((number(node), address));
        }
        ["heal", node, name] => {
            let address = world.server(name).address;
            world.cut.remove(&(number(node), address));
        }
        [change, name, options @ ..] => change_server(world, change, name, options),
        _ => panic!("what is {line:?}?"),
    }
}

fn number<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is no number"))
}

/// A, B, C, ... live at 10.0.0.1, 10.0.0.2, 10.0.0.3, ...
fn address(name: &str) -> Address {
    let place = u32::from(name.bytes().next().unwrap() - b'A') + 1;
    Address::parse(&format!("10.0.0.{place}"), "6379").unwrap()
}

fn redis(world: &mut World, name: &str, options: &[&str]) {
    let mut server = Server::new(name, address(name));
    server.keys = 10;
    server.offset = 1_000;
    for pair in options.chunks(2) {
        match pair {
            ["of", primary] => server.follows = Some(address(primary)),
            ["keys", count] => server.keys = number(count),
            ["offset", offset] => server.offset = number(offset),
            ["priority", priority] => server.priority = number(priority),
            ["version", version] => server.version = (*version).to_owned(),
            _ => panic!("what is {pair:?}?"),
        }
    }
    world.servers.insert(server.address, server);
}

fn monitor(world: &mut World, name: &str, primary: &str, quorum: &str) {
    let primary = world.server(primary);
    let command = Command::Monitor {
        host: primary.host.clone(),
        name: GroupName::new(name).unwrap(),
        primary: primary.address,
        quorum: number(quorum),
        settings: Vec::new(),
    };
    assert!(matches!(world.commit(&command), Outcome::Done { .. }));
}

/// Host names are resolved.
fn resolve_names(world: &mut World) {
    let settings = vec![SharedSetting::ResolveHostnames(true)];
    assert!(matches!(
        world.commit(&Command::Share { settings }),
        Outcome::Done { .. }
    ));
}

/// Takes an instance to another address. Who follows it by name goes with it.
fn move_server(world: &mut World, name: &str, to: Address) {
    let from = world.server(name).address;
    let mut server = world.servers.remove(&from).unwrap();
    server.address = to;
    world.servers.insert(to, server);
    for other in world.servers.values_mut() {
        if other.by_name && other.follows == Some(from) {
            other.follows = Some(to);
        }
    }
}

fn set(world: &mut World, name: &str, option: &str, value: &str) {
    let setting = match (option, value) {
        ("quorum", value) => Setting::Quorum(number(value)),
        ("down-after", value) => Setting::DownAfterMs(number(value)),
        ("failover-timeout", value) => Setting::FailoverTimeoutMs(number(value)),
        ("parallel-syncs", value) => Setting::ParallelSyncs(number(value)),
        ("failover", "off") => Setting::Automatic(Automatic::Off),
        ("failover", _) => Setting::Automatic(Automatic::On),
        ("mode", "observe") => Setting::Mode(Mode::Observe),
        ("mode", _) => Setting::Mode(Mode::Manage),
        ("identity", "strict") => Setting::Identity(Identity::Strict),
        ("identity", _) => Setting::Identity(Identity::Open),
        _ => panic!("what is {option:?}?"),
    };
    put(world, name, setting);
}

fn put(world: &mut World, name: &str, setting: Setting) {
    let command = Command::Set {
        name: GroupName::new(name).unwrap(),
        settings: vec![setting],
    };
    assert!(matches!(world.commit(&command), Outcome::Done { .. }));
}

fn reset(world: &mut World, name: &str) {
    let group = world.group(name);
    let forget = world.with_scene(&group, failover::unreachable);
    let outcome = world.commit(&Command::Reset {
        groups: vec![ResetGroup {
            group: group.id,
            on: group.version,
            forget,
        }],
    });
    if let Outcome::Rejected(rejection) = outcome {
        world.say(format!("rejected: {rejection}"));
    }
}

fn change_server(world: &mut World, change: &str, name: &str, options: &[&str]) {
    let now = world.now;
    let server = world.server(name);
    let yes = options.first() == Some(&"yes");
    match (change, options) {
        ("kill", []) => server.alive = false,
        ("hang", []) => server.hung = true,
        ("resume", []) => server.hung = false,
        ("restart", options) => {
            server.restart(!options.contains(&"empty"));
            match options.iter().position(|option| *option == "of") {
                Some(at) => server.become_replica(address(options[at + 1]), now),
                None if options.contains(&"alone") => server.follows = None,
                None => {}
            }
        }
        ("write", [count, keys @ ..]) => {
            server.offset += number::<u64>(count);
            if let ["keys", keys] = keys {
                server.keys = number(keys);
            }
        }
        ("flush", []) => {
            server.keys = 0;
            server.offset += 20;
        }
        ("stuck", [_]) => server.stuck = yes,
        ("loading", [_]) => server.loading = yes,
        ("priority", [priority]) => server.priority = number(priority),
        ("refuse", text) => server.refuses = Some(text.join(" ")),
        ("drop", []) => server.drops = true,
        // Its own FAILOVER has come so far that only the target can end it.
        ("held-up-for", [target]) => {
            server.become_replica(address(target), now);
            server.failing_over = Some((address(target), u64::MAX));
        }
        ("slaveof", ["none"]) => server.become_primary(),
        ("slaveof", [primary, by_name @ ..]) => {
            server.become_replica(address(primary), now);
            server.by_name = by_name == ["by-name"];
        }
        _ => panic!("what is {change:?}?"),
    }
}

/// `coordinated`, `to <name>`, or both.
fn parse_wish(words: &[&str]) -> Wish {
    let to = words
        .iter()
        .position(|word| *word == "to")
        .map(|at| address(words[at + 1]));
    Wish {
        coordinated: words.first() == Some(&"coordinated"),
        to,
    }
}

fn show(world: &mut World, name: &str) {
    let group = world.group(name);
    let failover = group.failover.as_ref().map(|failover| match &failover.stage {
        Stage::Promote => format!(", promoting {}", failover.candidate),
        Stage::Undo { fault } => format!(", undoing: {fault:?}"),
        Stage::Reconfigure { steps } => {
            let each = steps.iter().map(|(address, step)| format!("{address} {step:?}"));
            format!(", reconfiguring {}", each.collect::<Vec<_>>().join(", "))
        }
    });
    world.say(format!(
        "primary {}, epoch {}, config epoch {}{}{}",
        group.primary,
        group.epoch,
        group.config_epoch,
        if group.outage.is_some() { ", outage" } else { "" },
        failover.unwrap_or_default(),
    ));
    for (address, member) in &group.members {
        let server = world.servers.get(address).cloned();
        let real = server.map_or_else(String::new, |server| {
            let role = match server.follows {
                Some(primary) => format!("follows {primary}"),
                None => "is master".to_owned(),
            };
            let alive = if server.alive { "" } else { ", dead" };
            format!("{role}{alive}, offset {}, keys {}", server.offset, server.keys)
        });
        let synced = if member.synced { "" } else { ", unsynced" };
        let quarantine = member.quarantine.as_ref().map(|why| format!(", quarantined: {why}"));
        let quarantine = quarantine.unwrap_or_default();
        world.say(format!("  {address} {real}{synced}{quarantine}"));
    }
}
