//! Debian's nutcracker behind the agent, in front of real groups.

use std::path::PathBuf;
use std::time::Duration;

use super::Agent;
use crate::world::{Client, Cluster, FAILOVER, Group, SOON, World, has_program, holds_for, now, wait_for, wait_until};

const KEYS: usize = 40;

/// Two groups, an agent that runs nutcracker for them, and keys that were written through it.
struct Shop {
    groups: Vec<Group>,
    port: u16,
    cluster: Cluster,
    agent: Agent,
}

impl Shop {
    fn open(world: &World, nodes: usize) -> Option<Self> {
        if !has_program("nutcracker") {
            return None;
        }
        let mut cluster = Cluster::start(world, nodes);
        let groups = vec![Group::start(world, "alpha", 1), Group::start(world, "beta", 1)];
        for group in &groups {
            cluster.monitor(group, 500);
        }
        let ports: Vec<u16> = cluster.nodes.iter().map(|node| node.port).collect();
        let rest = format!(
            "[proxy]\nkind = \"nutcracker\"\ntemplate = \"nutcracker.yml\"\n\
             run = [\"nutcracker\", \"-c\", \"{{file}}\", \"-a\", \"127.0.0.1\", \"-s\", \"{}\", \"-o\", \"nc.log\"]\n",
            world.port()
        );
        let mut shop = Self {
            port: world.port(),
            agent: Agent::new(world, &ports, &rest),
            groups,
            cluster,
        };
        std::fs::write(shop.file(), shop.template()).unwrap();
        shop.agent.start();
        wait_until("every shard takes writes", SOON, || {
            (0..KEYS).all(|key| shop.write(key, "first"))
        });
        Some(shop)
    }

    fn file(&self) -> PathBuf {
        self.agent.file("nutcracker.yml")
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.file()).unwrap()
    }

    /// As an operator writes it; the addresses are those of nobody.
    fn template(&self) -> String {
        format!(
            "# the shop\nshop:\n  listen: 127.0.0.1:{}   # where clients go\n  hash: fnv1a_64\n  distribution: ketama\n  \
             redis: true\n  auto_eject_hosts: false\n  server_retry_timeout: 100\n  servers:\n   \
             - 127.0.0.1:11:1 alpha\n   # the second\n   - 127.0.0.1:12:1 beta\n",
            self.port
        )
    }

    fn write(&self, key: usize, value: &str) -> bool {
        let answer = Client::connect(self.port).and_then(|mut client| client.try_call(&["SET", &key_name(key), value]));
        answer.is_ok_and(|answer| answer.is_ok())
    }

    fn read(&self, key: usize) -> String {
        let answer = Client::connect(self.port).and_then(|mut client| client.try_call(&["GET", &key_name(key)]));
        answer.map(|answer| answer.text().to_owned()).unwrap_or_default()
    }

    /// The keys that the member on a port has.
    fn keys_at(&mut self, group: usize, port: u16) -> Vec<usize> {
        let member = self.groups[group].at(port);
        let has = |key: &usize| !member.call(&["GET", &key_name(*key)]).text().is_empty();
        (0..KEYS).filter(has).collect()
    }

    fn primary(&self, group: &str) -> u16 {
        self.cluster.nodes[0].primary_of(group)
    }
}

fn key_name(key: usize) -> String {
    format!("key:{key}")
}

#[test]
fn a_killed_primary_is_replaced_in_the_file_and_behind_the_proxy_and_keys_stay_in_their_shard() {
    let Some(world) = World::open() else { return };
    let Some(mut shop) = Shop::open(&world, 3) else { return };
    shop.agent.wait_up_to_date();
    let (alpha, beta) = (shop.primary("alpha"), shop.primary("beta"));
    let (of_alpha, of_beta) = (shop.keys_at(0, alpha), shop.keys_at(1, beta));
    assert!(!of_alpha.is_empty() && !of_beta.is_empty(), "{of_alpha:?} {of_beta:?}");
    let before = shop.text();
    shop.groups[0].at(alpha).kill();
    wait_until("the shard takes writes again", FAILOVER, || {
        shop.write(of_alpha[0], "second")
    });
    let now = wait_for("the cluster tells the new primary", SOON, || {
        Some(shop.primary("alpha")).filter(|port| *port != alpha)
    });
    let status = shop.agent.wait_primary("alpha", now);
    let after = shop.text();
    let expected = before.replace(
        &format!("127.0.0.1:{alpha}:1 alpha"),
        &format!("127.0.0.1:{now}:1 alpha"),
    );
    assert_eq!(after, expected, "only one address changes");
    assert!(after.starts_with("# the shop\n") && after.contains("# where clients go"));
    wait_until("every key can be written", SOON, || {
        (0..KEYS).all(|key| shop.write(key, "third"))
    });
    assert_eq!(shop.keys_at(0, now), of_alpha, "ketama goes by names");
    assert_eq!(shop.keys_at(1, beta), of_beta);
    assert!((0..KEYS).all(|key| shop.read(key) == "third"));
    assert!(status["groups"]["alpha"]["moved"].is_u64(), "{status}");
    let status = shop.agent.wait_up_to_date();
    assert!(status["delivering"]["outlet"]["child"]["pid"].is_u64(), "{status}");
    assert_eq!(
        shop.agent
            .logged(&["moved group=", "alpha", &alpha.to_string(), &now.to_string()]),
        1
    );
    let text = String::from_utf8(shop.agent.run(&["status"]).stdout).unwrap();
    assert!(
        text.contains("up to date") && text.contains(&format!("127.0.0.1:{now}")),
        "{text}"
    );
}

/// Runs until it is ended, and says which process it is.
fn keeper(before: &str, pids: &str) -> String {
    let script = format!("{before} echo $$ >> {pids}; exec sleep 1000");
    format!(
        "[proxy]\nkind = \"nutcracker\"\ntemplate = \"n.yml\"\ncheck = []\nrun = [\"sh\", \"-c\", {}]\n",
        serde_json::to_string(&script).unwrap()
    )
}

#[test]
fn a_proxy_whose_agent_was_killed_before_it_could_note_it_is_ended_by_the_next_agent() {
    let world = World::bare();
    let mut agent = Agent::new(&world, &[11], &keeper("kill -9 $PPID;", "first"));
    std::fs::write(
        agent.file("n.yml"),
        "p:\n  listen: 127.0.0.1:1\n  servers:\n   - 127.0.0.1:1:1 alpha\n",
    )
    .unwrap();
    agent.start();
    agent.wait_ended();
    let pid = |name: &str| {
        std::fs::read_to_string(agent.file(name))
            .ok()?
            .trim()
            .parse::<u32>()
            .ok()
    };
    let first = wait_for("the proxy lives on", SOON, || pid("first"));
    // As after a start of the proxy on a full disk.
    let _ = std::fs::remove_file(agent.file("cfgserver-agent/child.json"));
    let lives = |pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
        stat.is_ok_and(|stat| !stat.contains(") Z "))
    };
    assert!(lives(first));
    agent.configure(&[11], &keeper("", "second"));
    agent.start();
    wait_until("there is another proxy", SOON, || agent.file("second").exists());
    assert!(!lives(first));
    agent.terminate();
}

#[test]
fn the_proxy_serves_while_all_nodes_are_down_and_follows_when_they_are_back() {
    let Some(world) = World::open() else { return };
    let Some(mut shop) = Shop::open(&world, 1) else { return };
    shop.agent.wait_up_to_date();
    shop.cluster.nodes[0].kill();
    wait_until("the agent is alone", SOON, || !shop.agent.status().1);
    assert!((0..KEYS).all(|key| shop.write(key, "alone")));
    // The agent is killed too: the proxy goes on, and the next agent takes it over or starts it anew.
    shop.agent.kill();
    assert!(
        (0..KEYS).all(|key| shop.write(key, "orphan")),
        "the proxy outlives its agent"
    );
    shop.agent.start();
    wait_until("the proxy serves with an agent that knows no node", SOON, || {
        shop.agent.status().0["delivering"]["begun"] == true && (0..KEYS).all(|key| shop.write(key, "again"))
    });
    shop.cluster.start_all();
    let old = wait_for("the node tells the primary", SOON, || {
        Some(shop.primary("beta")).filter(|port| *port > 0)
    });
    shop.cluster.wait_healthy(&shop.groups[1]);
    assert!(shop.cluster.nodes[0].call(&["SENTINEL", "FAILOVER", "beta"]).is_ok());
    let now = wait_for("beta moves", FAILOVER, || {
        Some(shop.primary("beta")).filter(|port| *port != old)
    });
    shop.agent.wait_primary("beta", now);
    wait_until("every shard takes writes", SOON, || {
        (0..KEYS).all(|key| shop.write(key, "last"))
    });
    assert!(shop.text().contains(&format!("127.0.0.1:{now}:1 beta")));
    assert!(shop.agent.terminate().success());
    wait_until("the proxy ends with its agent", SOON, || {
        Client::connect(shop.port).is_err()
    });
}

#[test]
fn an_agent_without_nodes_and_state_starts_the_proxy_as_the_operator_wrote_it() {
    let Some(world) = World::open() else { return };
    if !has_program("nutcracker") {
        return;
    }
    let redis = crate::world::Redis::start(&world, &[]);
    let (port, stats) = (world.port(), world.port());
    let rest = format!(
        "[proxy]\nkind = \"nutcracker\"\ntemplate = \"n.yml\"\noutput = \"live.yml\"\n\
         run = [\"nutcracker\", \"-c\", \"{{file}}\", \"-a\", \"127.0.0.1\", \"-s\", \"{stats}\", \"-o\", \"nc.log\"]\n"
    );
    let mut agent = Agent::new(&world, &[world.port()], &rest);
    let template = format!(
        "p:\n  listen: 127.0.0.1:{port}\n  redis: true\n  servers:\n  - 127.0.0.1:{}:1 alpha\n",
        redis.port
    );
    std::fs::write(agent.file("n.yml"), &template).unwrap();
    agent.start();
    wait_until("the proxy serves", SOON, || {
        let answer = Client::connect(port).and_then(|mut client| client.try_call(&["SET", "a", "b"]));
        answer.is_ok_and(|answer| answer.is_ok())
    });
    assert_eq!(std::fs::read_to_string(agent.file("n.yml")).unwrap(), template);
}

#[test]
fn a_burst_of_planned_switches_is_few_restarts_and_ends_right() {
    let Some(world) = World::open() else { return };
    if !has_program("nutcracker") {
        return;
    }
    let mut cluster = Cluster::start(&world, 1);
    let names: Vec<String> = (0..10).map(|at| format!("group-{at}")).collect();
    let groups: Vec<Group> = names.iter().map(|name| Group::start(&world, name, 1)).collect();
    for group in &groups {
        cluster.monitor(group, 2_000);
    }
    let rest =
        "[proxy]\nkind = \"nutcracker\"\ntemplate = \"n.yml\"\nrestart = [\"sh\", \"-c\", \"echo once >> restarts\"]\n";
    let mut agent = Agent::new(&world, &[cluster.nodes[0].port], rest);
    let servers: Vec<String> = names
        .iter()
        .map(|name| format!("   - 127.0.0.1:11:1 {name}\n"))
        .collect();
    let pool = format!("p:\n  listen: 127.0.0.1:{}\n  redis: true\n  servers:\n", world.port());
    std::fs::write(agent.file("n.yml"), pool + &servers.concat()).unwrap();
    agent.start();
    agent.wait_up_to_date();
    let restarts = || {
        std::fs::read_to_string(agent.file("restarts"))
            .unwrap_or_default()
            .lines()
            .count()
    };
    let (before, begun) = (restarts(), now());
    // All there, all back, and one there again: the end differs from the beginning.
    for switched in [&names[..], &names, &names[..1]] {
        let old: Vec<u16> = switched.iter().map(|name| cluster.nodes[0].primary_of(name)).collect();
        let mut client = cluster.nodes[0].client();
        for name in switched {
            client.send(&["SENTINEL", "FAILOVER", name]).unwrap();
        }
        for name in switched {
            let answer = client.read().unwrap();
            assert!(answer.is_ok(), "{name}: {answer}");
        }
        for (name, old) in switched.iter().zip(old) {
            wait_until(&format!("{name} moves"), FAILOVER, || {
                cluster.nodes[0].primary_of(name) != old
            });
        }
        for group in &groups {
            cluster.wait_healthy(group);
        }
    }
    agent.wait_up_to_date();
    let right = || {
        let text = std::fs::read_to_string(agent.file("n.yml")).unwrap();
        names
            .iter()
            .all(|name| text.contains(&format!(":{}:1 {name}\n", cluster.nodes[0].primary_of(name))))
    };
    wait_until("the file is right", SOON, right);
    // The file is there before the restart is done.
    agent.wait_up_to_date();
    let count = restarts() - before;
    // A second apart; on a machine where the switches take long, there may be more of them.
    let most = begun.elapsed().as_secs().max(8) as usize;
    assert!((1..=most).contains(&count), "21 switches, {count} restarts");
    holds_for("nothing goes on afterwards", Duration::from_millis(2_500), || {
        restarts() - before == count && right()
    });
}

#[test]
fn a_server_that_the_operator_adds_is_followed_and_a_broken_edit_stops_nothing() {
    let world = World::bare();
    if !has_program("nutcracker") {
        return;
    }
    let node = crate::world::Node::alone(&world);
    for (name, port) in [("alpha", "11"), ("beta", "12")] {
        assert!(
            node.call(&["SENTINEL", "MONITOR", name, "127.0.0.1", port, "1"])
                .is_ok()
        );
    }
    let rest =
        "[proxy]\nkind = \"nutcracker\"\ntemplate = \"n.yml\"\nrestart = [\"true\"]\n[groups]\nsecond = \"beta\"\n";
    let mut agent = Agent::new(&world, &[node.port], rest);
    let pool = format!("p:\n  listen: 127.0.0.1:{}\n  redis: true\n  servers:\n", world.port());
    let first = format!("{pool}   - 127.0.0.1:1:1 alpha\n");
    std::fs::write(agent.file("n.yml"), &first).unwrap();
    agent.start();
    let text = || std::fs::read_to_string(agent.file("n.yml")).unwrap();
    wait_until("alpha is put in place", SOON, || {
        text().contains("127.0.0.1:11:1 alpha")
    });
    std::fs::write(agent.file("n.yml"), text() + "   - 127.0.0.1:2:1 second  # new\n").unwrap();
    wait_until("so is the new one", SOON, || {
        text().contains("127.0.0.1:12:1 second  # new\n")
    });
    agent.wait_up_to_date();
    let good = text();
    std::fs::write(agent.file("n.yml"), good.replace("servers:", "servers: [")).unwrap();
    wait_until("the fault is told", SOON, || {
        let (status, good) = agent.status();
        !good && status["delivering"]["outlet"]["fault"].is_string()
    });
    let broken = text();
    assert!(node.call(&["SENTINEL", "REMOVE", "alpha"]).is_ok());
    assert!(
        node.call(&["SENTINEL", "MONITOR", "alpha", "127.0.0.1", "13", "1"])
            .is_ok()
    );
    agent.wait_primary("alpha", 13);
    assert_eq!(text(), broken, "an edit is not written over");
    std::fs::write(agent.file("n.yml"), good).unwrap();
    wait_until("after the next edit it is", SOON, || {
        text().contains("127.0.0.1:13:1 alpha")
    });
    agent.wait_up_to_date();
}
