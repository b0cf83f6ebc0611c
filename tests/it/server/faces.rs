//! Two listeners of one server: the port for everyone, and the port for old proxies.

use cfgserver::model::{Event, EventKind, GroupId};
use cfgserver::requests::Face;
use cfgserver::server::ServerOptions;

use super::{Client, World, events::Switching};

const OPEN: usize = 0;
const PROXY: usize = 1;
const QUEUE_BYTES: usize = 1 << 20;
const ELSEWHERE: &str = "-ERR This port (proxy-listen) answers questions only. Send this request to port 26379 of \
                         this node\r\n";

fn both(options: ServerOptions) -> World {
    World::with_faces(options, QUEUE_BYTES, &[Face::Open, Face::Proxy])
}

fn new_epoch(epoch: u64) -> Event {
    Event {
        revision: None,
        group: Some(GroupId(1)),
        kind: EventKind::NewEpoch(epoch),
    }
}

#[tokio::test]
async fn nothing_is_written_and_no_peer_talks_on_the_port_of_old_proxies() {
    let mut world = both(ServerOptions::default());
    let mut client = world.connect_to(PROXY).await;
    for request in [
        "SENTINEL MONITOR shard-1 127.0.0.1 6379 2\r\n",
        "SENTINEL FAILOVER shard-1\r\n",
        "CFG NODE REMOVE 2\r\n",
        "RAFT.HELLO x\r\n",
    ] {
        client
            .ask(format!("{request}PING\r\n"), format!("{ELSEWHERE}+PONG\r\n"))
            .await;
    }
    assert!(world.writes.try_recv().is_err() && world.peers.try_recv().is_err());
    let mut client = world.connect_to(OPEN).await;
    client.send("RAFT.HELLO x\r\n").await;
    assert!(world.peers.recv().await.is_some());
}

#[tokio::test]
async fn everything_is_heard_on_one_port_and_only_switches_on_the_other() {
    let world = both(ServerOptions::default());
    let mut switching = Switching::new();
    world.hub.publish(switching.switch(1).0, vec![]);
    let (mut open, mut proxy) = (world.connect_to(OPEN).await, world.connect_to(PROXY).await);
    for client in [&mut open, &mut proxy] {
        client.send("PSUBSCRIBE *\r\n").await;
        assert_eq!(client.reply().await, "psubscribe * :1");
    }
    for revision in 2..100 {
        world.hub.publish_local(new_epoch(revision));
        let (state, events) = switching.switch(revision);
        world.hub.publish(state, events);
    }
    for revision in 2..100 {
        assert_eq!(open.reply().await, format!("pmessage * +new-epoch {revision}"));
        for client in [&mut open, &mut proxy] {
            let switch = format!("shard-1 10.0.0.1 {} 10.0.0.1 {}", 9_999 + revision, 10_000 + revision);
            assert_eq!(client.reply().await, format!("pmessage * +switch-master {switch}"));
        }
    }
}

/// Who listens to switches only is handed nothing else; who then asks for more gets all of it, from there on.
#[tokio::test]
async fn who_asks_for_more_than_switches_hears_it_at_once() {
    let world = both(ServerOptions::default());
    let mut client = world.connect_to(OPEN).await;
    client.send("HELLO 3\r\nSUBSCRIBE +switch-master\r\n").await;
    client.reply().await;
    client.reply().await;
    for epoch in 0..100 {
        world.hub.publish_local(new_epoch(epoch));
    }
    client.send("PING 1\r\nSUBSCRIBE +new-epoch\r\n").await;
    client.expect("$1\r\n1\r\n").await;
    assert_eq!(client.reply().await, "subscribe +new-epoch :2");
    world.hub.publish_local(new_epoch(100));
    assert_eq!(client.reply().await, "message +new-epoch 100");
    client.send("UNSUBSCRIBE +new-epoch\r\n").await;
    client.reply().await;
    world.hub.publish_local(new_epoch(101));
    client.ask("PING 2\r\n", "$1\r\n2\r\n").await;
}

#[tokio::test]
async fn both_ports_are_in_one_list_each_client_with_the_address_it_connected_to() {
    let world = both(ServerOptions::default());
    let mut clients = [world.connect_to(OPEN).await, world.connect_to(PROXY).await];
    for (client, address) in clients.iter_mut().zip(world.server.addresses()) {
        client.send("CLIENT INFO\r\n").await;
        let line = client.reply().await;
        assert!(line.contains(&format!(" laddr={address} ")), "{line}");
    }
    clients[PROXY].send("CLIENT LIST\r\n").await;
    let list = clients[PROXY].reply().await;
    let here = |line: &str, listener: usize| line.contains(&format!(" laddr={} ", world.server.addresses()[listener]));
    let lines: Vec<&str> = list.lines().collect();
    assert!(
        lines.len() == 2 && here(lines[0], OPEN) && here(lines[1], PROXY),
        "{list}"
    );
}

#[tokio::test]
async fn who_connects_to_every_interface_is_shown_with_the_one_it_met() {
    let world = World::at(
        "0.0.0.0:0",
        ServerOptions::default(),
        QUEUE_BYTES,
        &[Face::Open, Face::Proxy],
    );
    for address in world.server.addresses() {
        let address = format!("127.0.0.1:{}", address.port());
        let mut client = Client(cfgserver::net::connect(&address, super::LIMIT).await.unwrap());
        client.send("CLIENT INFO\r\n").await;
        let line = client.reply().await;
        assert!(line.contains(&format!(" laddr={address} ")), "{line}");
    }
}

#[tokio::test]
async fn the_ports_share_the_limit_and_old_proxies_get_nothing_of_the_reserve() {
    let world = both(ServerOptions {
        connections_max: 6,
        reserve: 4,
        ..ServerOptions::default()
    });
    let mut seated = Vec::new();
    for listener in [OPEN, PROXY] {
        let mut client = world.connect_to(listener).await;
        client.ask("PING\r\n", "+PONG\r\n").await;
        seated.push(client);
    }
    for request in [
        "INFO sentinel\r\n",
        "SENTINEL GET-MASTER-ADDR-BY-NAME x\r\n",
        "RAFT.HELLO x\r\n",
    ] {
        let mut client = world.connect_to(PROXY).await;
        client.ask(request, "-ERR max number of clients reached\r\n").await;
        client.expect_end().await;
    }
    world.connect_seated().await;
}

#[tokio::test]
async fn a_drain_closes_both_ports() {
    let world = both(ServerOptions::default());
    let mut clients = [world.connect_to(OPEN).await, world.connect_to(PROXY).await];
    for client in &mut clients {
        client.ask("PSUBSCRIBE +switch-master\r\n", CONFIRMED).await;
    }
    world.server.drain().await;
    for client in &mut clients {
        client.expect_end().await;
    }
    for address in world.server.addresses() {
        let late = cfgserver::net::connect(&address.to_string(), super::LIMIT).await;
        assert!(late.is_err(), "{address} still accepts");
    }
}

const CONFIRMED: &str = "*3\r\n$10\r\npsubscribe\r\n$14\r\n+switch-master\r\n:1\r\n";

/// Old proxies end themselves when a connection is ended that was just accepted; a reset they survive.
#[tokio::test]
async fn who_has_said_nothing_is_reset_by_a_drain_and_not_ended() {
    let world = both(ServerOptions::default());
    let mut silent = [world.connect_to(OPEN).await, world.connect_to(PROXY).await];
    // They are accepted: others are, after them.
    for listener in [OPEN, PROXY] {
        world.connect_to(listener).await.ask("PING\r\n", "+PONG\r\n").await;
    }
    world.server.drain().await;
    for client in &mut silent {
        assert_reset(client).await;
    }
}

#[tokio::test]
async fn who_is_turned_away_by_a_crowd_before_a_word_is_reset() {
    let world = both(ServerOptions {
        connections_max: 0,
        reserve: 0,
        lobby_max: 1,
        ..ServerOptions::default()
    });
    let mut first = world.connect_to(PROXY).await;
    let mut second = world.connect_to(PROXY).await;
    assert_reset(&mut first).await;
    second.ask("PING\r\n", "-ERR max number of clients reached\r\n").await;
}

async fn assert_reset(client: &mut Client) {
    use tokio::io::AsyncReadExt;
    let read = tokio::time::timeout(super::LIMIT, client.0.read_u8()).await;
    let error = read.expect("the connection is over").expect_err("nothing is said");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}
