//! Our own request handling as the sentinel: the proxies of the captures connect, ask and subscribe as they did, and
//! are told of every switch.
//!
//! What the scripted sentinels did wrong does not happen here, so nothing may close: groups that a proxy cannot bear
//! (no dash in the name, IPv6, a name that begins with one of its own) are monitored and switched beside its own.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddrV4;

use bytes::BytesMut;
use cfgserver::resp::{Decoder, Limits};

use super::script::{self, Case, Kind, Line, Proxy};
use super::{Action, Double, Player};
use crate::transcripts::world::World;

/// Groups whose names or addresses a proxy may not see, each with another address.
const FOREIGN: [(&str, &str, &str, &str); 4] = [
    ("mymaster", "10.0.0.9", "6379", "10.0.0.8:6379"),
    ("v6-a", "fe80::1", "6379", "[fe80::2]:6379"),
    ("sigma", "10.0.0.7", "6379", "10.0.0.6:6379"),
    ("sigma-server10", "10.0.0.5", "6379", "10.0.0.4:6379"),
];
/// Groups of a proxy that are switched at the end of a case.
const SWITCHED_MAX: usize = 10;

/// A proxy at our node.
struct Site {
    place: String,
    world: World,
    player: Player,
    proxy: Proxy,
    connected: bool,
    /// What the proxy sent on this connection and the capture has not yet shown.
    sent: VecDeque<Vec<u8>>,
}

impl Site {
    fn new(place: &str, proxy: &Proxy) -> Self {
        let mut world = World::new();
        let mut proxy = proxy.clone();
        // Here an instance belongs to one group.
        let mut taken = BTreeSet::new();
        proxy.groups.retain(|(_, address)| taken.insert(address.clone()));
        for (group, address) in &proxy.groups {
            let (ip, port) = address.rsplit_once(':').expect("ip:port");
            world.change(&format!("monitor {group} {ip} {port} 2"));
        }
        for (group, ip, port, _) in FOREIGN {
            world.change(&format!("monitor {group} {ip} {port} 2"));
        }
        Self {
            place: place.to_owned(),
            world,
            player: Player::new(&proxy),
            proxy,
            connected: false,
            sent: VecDeque::new(),
        }
    }

    fn double(&mut self) -> &mut dyn Double {
        self.player.double()
    }

    fn leave(&mut self) {
        if self.connected {
            self.double().disconnected();
        }
        self.connected = false;
    }

    fn connect(&mut self) {
        self.leave();
        self.world.change("reconnect");
        self.sent.clear();
        self.connected = true;
        let actions = self.double().connected();
        self.converse(actions);
        assert!(self.double().ready(), "{}: it is ready", self.place);
    }

    /// Carries out what the proxy does, until it does nothing more; the rest is returned.
    fn converse(&mut self, actions: Vec<Action>) -> Vec<Action> {
        let mut queue = VecDeque::from(actions);
        let mut seen = Vec::new();
        while let Some(action) = queue.pop_front() {
            match action {
                Action::Send(bytes) => {
                    let back = self.ask(&bytes);
                    self.sent.push_back(bytes);
                    queue.extend(self.double().received(&back));
                }
                Action::AskRoles => {
                    let groups = self.double().addresses().into_keys();
                    let masters: BTreeMap<_, _> = groups.map(|group| (group, true)).collect();
                    queue.extend(self.double().roles(&masters));
                }
                other => seen.push(other),
            }
        }
        let fatal = |action: &&Action| matches!(action, Action::Close(_) | Action::Abort(_));
        assert_eq!(seen.iter().find(fatal), None, "{}: because of what we sent", self.place);
        seen
    }

    fn ask(&mut self, bytes: &[u8]) -> BytesMut {
        let mut buffer = BytesMut::from(bytes);
        let mut decoder = Decoder::new(Limits::CLIENT);
        while let Some(request) = decoder.decode(&mut buffer).expect("a proxy's request") {
            self.world.request(&request);
        }
        assert!(buffer.is_empty(), "{}: whole requests", self.place);
        self.world.take_output()
    }

    /// Commits a switch; what the proxy makes of what it is told.
    fn switch(&mut self, group: &str, to: &str) -> Vec<Action> {
        self.world.change(&format!("replica {group} {to}"));
        self.world.change(&format!("switch {group} {to}"));
        let told = self.world.take_output();
        self.double().received(&told)
    }

    fn switch_and_follow(&mut self, group: &str, to: &str) {
        let from = self
            .double()
            .addresses()
            .get(group)
            .cloned()
            .expect("a group of the proxy");
        if from == to {
            return;
        }
        let actions = self.switch(group, to);
        let (group, to) = (group.to_owned(), to.to_owned());
        assert_eq!(actions, [Action::Moved { group, from, to }], "{}", self.place);
    }

    /// The name of a group of this proxy that begins with another one's: NetEase's takes it for that one.
    fn is_mistaken(&self, group: &str) -> bool {
        let netease = matches!(self.proxy.kind, Kind::Netease { .. });
        netease
            && self
                .proxy
                .groups
                .iter()
                .any(|(other, _)| other != group && group.starts_with(other.as_str()))
    }

    fn step(&mut self, line: &Line) {
        match line {
            Line::Connect => self.connect(),
            Line::Lost | Line::ClosedAtOnce => self.leave(),
            Line::Timer if self.connected => {
                let actions = self.double().timer();
                let seen = self.converse(actions);
                assert_eq!(seen, [], "{}: a heartbeat", self.place);
            }
            Line::Sends(bytes) => {
                let sent = self.sent.pop_front();
                assert_eq!(
                    sent.as_ref(),
                    Some(bytes),
                    "{}: it sends what the capture shows",
                    self.place
                );
            }
            Line::Moved { group, from, to } if !from.is_empty() => {
                let usable = to.parse().is_ok_and(|address: SocketAddrV4| address.port() > 0);
                if usable {
                    self.switch_and_follow(group, to);
                }
            }
            _ => {}
        }
    }

    /// Every group moves once more, foreign ones between them.
    fn finish(&mut self) {
        if !self.connected {
            return;
        }
        for (group, _, _, to) in FOREIGN {
            let actions = self.switch(group, to);
            let harmless = actions.iter().all(|action| matches!(action, Action::Warn(_)));
            let silent = actions.is_empty() || (harmless && matches!(self.proxy.kind, Kind::Bdrp { .. }));
            assert!(silent, "{}: {group} is not its own: {actions:?}", self.place);
        }
        let groups: Vec<_> = self.proxy.groups.iter().map(|(group, _)| group.clone()).collect();
        for (index, group) in groups.iter().take(SWITCHED_MAX).enumerate() {
            let to = format!("10.1.0.{index}:7000");
            if !self.is_mistaken(group) {
                self.switch_and_follow(group, &to);
                continue;
            }
            let actions = self.switch(group, &to);
            assert!(
                matches!(actions.as_slice(), [Action::Close(_)]),
                "{}: {actions:?}",
                self.place
            );
            self.connect();
            assert_eq!(self.double().addresses().get(group), Some(&to), "{}", self.place);
        }
    }
}

fn play(case: &Case) {
    let mut site: Option<Site> = None;
    for step in &case.steps {
        match (&step.line, &mut site) {
            (Line::Proxy(proxy), _) => site = Some(Site::new(&step.place, proxy)),
            (line, Some(site)) => {
                site.place = step.place.clone();
                site.step(line);
            }
            (line, None) => panic!("{}: a case begins with a proxy: {line:?}", step.place),
        }
    }
    if let Some(mut site) = site {
        site.finish();
    }
}

#[test]
fn our_request_handling_serves_the_proxies_of_the_captures() {
    for script in script::all() {
        script.cases.iter().for_each(play);
    }
}

fn site(proxy: &str) -> Site {
    let script = script::parse("ours".to_owned(), &format!("proxy {proxy}\nready"));
    let Line::Proxy(proxy) = &script.cases[0].steps[0].line else {
        panic!("{script:?}");
    };
    Site::new("ours", proxy)
}

const BDRP: &str = "bdrp sigma-server1@127.0.0.1:21101 sigma-server2@127.0.0.1:21201";
const NETEASE: &str = "netease sigma-server1@127.0.0.1:21101 sigma-server2@127.0.0.1:21201 sentinels=3";

#[test]
fn a_switch_between_lookup_and_subscription_is_told_with_the_confirmation() {
    let mut site = site(NETEASE);
    site.world.change("reconnect");
    let mut actions = site.double().connected();
    let Some(Action::Send(lookups)) = actions.pop() else {
        panic!("no lookups");
    };
    let back = site.ask(&lookups);
    let actions = site.double().received(&back);
    assert_eq!(actions.last(), Some(&Action::AskRoles));
    assert_eq!(
        site.switch("sigma-server1", "127.0.0.1:21102"),
        [],
        "before it subscribes it is told nothing"
    );
    let seen = site.converse(vec![Action::AskRoles]);
    let (group, from, to) = (
        "sigma-server1".into(),
        "127.0.0.1:21101".into(),
        "127.0.0.1:21102".into(),
    );
    assert_eq!(seen, [Action::Moved { group, from, to }]);
    assert!(site.double().ready());
}

#[test]
fn a_switch_while_a_proxy_is_away_reaches_it_at_the_reconnect() {
    for proxy in [BDRP, NETEASE] {
        let mut site = site(proxy);
        site.connect();
        site.leave();
        site.switch("sigma-server2", "127.0.0.1:21202");
        site.connect();
        let addresses = site.double().addresses();
        assert_eq!(addresses["sigma-server2"], "127.0.0.1:21202", "{proxy}");
    }
}

#[test]
fn a_node_that_is_not_ready_sends_a_proxy_away_and_does_nothing_worse() {
    for (proxy, next) in [(BDRP, 0), (NETEASE, 1)] {
        let mut site = site(proxy);
        site.world.change("not-ready");
        let mut actions = site.double().connected();
        let Some(Action::Send(bytes)) = actions.pop() else {
            panic!("{proxy} asks nothing");
        };
        let back = site.ask(&bytes);
        let actions = site.double().received(&back);
        assert!(matches!(actions.as_slice(), [Action::Close(_)]), "{proxy}: {actions:?}");
        assert_eq!(site.double().sentinel(), next, "{proxy}");
        site.world.change("ready");
        site.connect();
    }
}
