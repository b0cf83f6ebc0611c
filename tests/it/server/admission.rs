//! The limit of connections: refused is who asked, never who was accepted.

use cfgserver::server::ServerOptions;
use tokio::io::AsyncReadExt;

use super::{Client, LIMIT, World};

const REFUSED: &str = "-ERR max number of clients reached\r\n";

fn crowded(connections_max: usize, reserve: usize) -> ServerOptions {
    ServerOptions {
        connections_max,
        reserve,
        lobby_max: 3,
        ..ServerOptions::default()
    }
}

async fn fill(world: &World, count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(world.connect_seated().await);
    }
    clients
}

async fn refused(world: &World, request: &str) {
    let mut client = world.connect().await;
    client.ask(request, REFUSED).await;
    client.expect_end().await;
}

#[tokio::test]
async fn beyond_the_limit_a_request_is_read_and_refused() {
    let world = World::with(crowded(3, 0));
    let mut seated = fill(&world, 3).await;
    refused(&world, "PING\r\n").await;
    refused(&world, "PSUBSCRIBE +switch-master\r\n").await;
    seated.pop();
    // The seat is free a moment later.
    let mut next = world.connect().await;
    loop {
        next.send("PING\r\n").await;
        if next.line().await == "+PONG" {
            break;
        }
        next = world.connect().await;
    }
    for client in &mut seated {
        client.ask("PING\r\n", "+PONG\r\n").await;
    }
}

#[tokio::test]
async fn nobody_is_closed_unread() {
    let world = World::with(crowded(0, 0));
    let mut client = world.connect().await;
    // Half a request: it is waited for.
    client.send("PI").await;
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    client.ask("NG\r\n", REFUSED).await;
    client.expect_end().await;
}

#[tokio::test]
async fn who_stays_silent_beyond_the_limit_is_told_in_the_end() {
    let world = World::with(ServerOptions {
        lobby_ms: 100,
        ..crowded(0, 0)
    });
    let mut client = world.connect().await;
    client.expect(REFUSED).await;
    client.expect_end().await;
}

#[tokio::test]
async fn a_crowd_of_silent_ones_does_not_keep_others_from_being_heard() {
    let world = World::with(crowded(0, 0));
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(world.connect().await);
    }
    refused(&world, "PING\r\n").await;
    // Reset, or told when it had been silent for long.
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(LIMIT, silent[0].0.read_to_end(&mut bytes)).await;
    let told = read.expect("the longest wait is over").is_ok();
    assert_eq!(bytes, if told { REFUSED.as_bytes() } else { b"" });
}

#[tokio::test]
async fn an_operator_on_this_machine_uses_half_of_the_reserve() {
    let world = World::with(crowded(5, 4));
    let mut seated = fill(&world, 1).await;
    for request in ["CLIENT ID\r\n", "PSUBSCRIBE x\r\n", "HELLO 3\r\n"] {
        refused(&world, request).await;
    }
    seated.extend(fill(&world, 2).await);
    refused(&world, "PING\r\n").await;
    for client in &mut seated {
        client.ask("PING\r\n", "+PONG\r\n").await;
    }
}

#[tokio::test]
async fn a_peer_uses_the_whole_reserve_and_keeps_its_seat() {
    let mut world = World::with(crowded(3, 3));
    let mut peers = Vec::new();
    for _ in 0..3 {
        let mut peer = world.connect().await;
        peer.send("RAFT.HELLO x\r\n").await;
        peers.push((peer, world.peers.recv().await.unwrap()));
    }
    refused(&world, "RAFT.HELLO x\r\n").await;
    assert!(world.peers.try_recv().is_err());
}

#[tokio::test]
async fn a_refusal_is_counted() {
    let world = World::with(crowded(2, 2));
    refused(&world, "CLIENT ID\r\n").await;
    let mut operator = world.connect().await;
    operator.send("INFO stats\r\n").await;
    let info = operator.reply().await;
    assert!(info.contains("rejected_connections:1\r\n"), "{info}");
    assert!(info.contains("total_connections_received:2\r\n"), "{info}");
}
