//! CLIENT requests that reach other connections: KILL, PAUSE; and SHUTDOWN.

use std::sync::Arc;
use std::time::Duration;

use cfgserver::machine::{Command, Entry, State, apply};
use cfgserver::model::{GroupName, Timestamp};
use cfgserver::requests::Face;
use cfgserver::server::ServerOptions;

use super::{Client, LIMIT, World};

/// Long enough that what does not come in it is held.
const HELD: Duration = Duration::from_millis(150);

impl Client {
    /// The number of the connection.
    async fn id(&mut self) -> String {
        self.send("CLIENT ID\r\n").await;
        self.line().await.trim_start_matches(':').to_owned()
    }

    /// Nothing comes for a while.
    async fn expect_silence(&mut self) {
        let line = tokio::time::timeout(HELD, self.try_line()).await;
        assert!(line.is_err(), "{line:?}");
    }
}

#[tokio::test]
async fn kill_closes_who_is_meant_and_answers_how_many() {
    let world = World::start();
    let (mut one, mut subscriber, mut me) = (
        world.connect_seated().await,
        world.connect_seated().await,
        world.connect_seated().await,
    );
    subscriber
        .ask("SUBSCRIBE a\r\n", "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n")
        .await;
    me.ask("CLIENT KILL TYPE pubsub\r\n", ":1\r\n").await;
    subscriber.expect_gone().await;
    // It is gone for whoever asks next, not only when its task has heard of it.
    me.ask("CLIENT KILL TYPE pubsub\r\n", ":0\r\n").await;
    let id = one.id().await;
    me.ask(
        format!("CLIENT KILL ID {id}\r\nCLIENT KILL ID {id}\r\n"),
        ":1\r\n:0\r\n",
    )
    .await;
    one.expect_gone().await;
    me.ask("PING\r\n", "+PONG\r\n").await;
    // Itself last: the answer arrives before the end.
    me.ask("CLIENT KILL USER default SKIPME no\r\n", ":1\r\n").await;
    me.expect_end().await;
}

#[tokio::test]
async fn a_connection_of_another_node_is_a_replica_to_kill() {
    let mut world = World::start();
    let mut peer = world.connect().await;
    peer.send("RAFT.HELLO\r\n").await;
    let (_, _, _talk) = world.peers.recv().await.expect("the peer talks");
    let mut me = world.connect_seated().await;
    me.ask("CLIENT KILL TYPE normal\r\n", ":0\r\n").await;
    me.send("CLIENT LIST TYPE replica\r\n").await;
    let listed = me.reply().await;
    assert!(listed.contains(" flags=S ") && listed.lines().count() == 1, "{listed}");
    me.ask("CLIENT KILL TYPE replica\r\n", ":1\r\n").await;
    me.ask("CLIENT KILL TYPE replica\r\n", ":0\r\n").await;
}

#[tokio::test]
async fn a_write_that_is_waited_for_does_not_save_its_connection_from_a_kill() {
    let mut world = World::start();
    let (mut one, mut me) = (world.connect_seated().await, world.connect_seated().await);
    let id = one.id().await;
    one.send("SENTINEL REMOVE x\r\n").await;
    let _unanswered = world.writes.recv().await.expect("the write");
    me.ask(format!("CLIENT KILL ID {id}\r\n"), ":1\r\n").await;
    one.expect_gone().await;
}

#[tokio::test]
async fn a_pause_of_all_holds_every_request_until_it_is_over() {
    let world = World::start();
    let (mut me, mut other) = (world.connect_seated().await, world.connect_seated().await);
    me.ask("CLIENT PAUSE 600\r\n", "+OK\r\n").await;
    other.send("PING\r\nPING x\r\n").await;
    other.expect_silence().await;
    // Both in the end, in their order. UNPAUSE waits as well, as it does in Redis.
    me.send("CLIENT UNPAUSE\r\n").await;
    me.expect_silence().await;
    other.expect("+PONG\r\n$1\r\nx\r\n").await;
    me.expect("+OK\r\n").await;
}

#[tokio::test]
async fn a_pause_of_writes_holds_publish_and_ends_with_unpause() {
    let world = World::start();
    let (mut me, mut other) = (world.connect_seated().await, world.connect_seated().await);
    me.ask("CLIENT PAUSE 60000 WRITE\r\n", "+OK\r\n").await;
    other.ask("PING\r\n", "+PONG\r\n").await;
    other.send("PUBLISH __sentinel__:hello x\r\nPING\r\n").await;
    other.expect_silence().await;
    // A connection that waits is as good as any: it can be closed.
    let mut third = world.connect_seated().await;
    let id = third.id().await;
    third.send("PUBLISH __sentinel__:hello x\r\n").await;
    me.ask(format!("CLIENT KILL ID {id}\r\n"), ":1\r\n").await;
    third.expect_gone().await;
    me.ask("CLIENT UNPAUSE\r\n", "+OK\r\n").await;
    other.expect(":1\r\n+PONG\r\n").await;
}

#[tokio::test]
async fn nothing_is_held_at_the_end_of_the_node() {
    let world = World::start();
    let (mut me, mut other) = (world.connect_seated().await, world.connect_seated().await);
    me.ask("CLIENT PAUSE 60000\r\n", "+OK\r\n").await;
    other.send("PING\r\n").await;
    other.expect_silence().await;
    world.server.drain().await;
    other.expect("+PONG\r\n").await;
}

#[tokio::test]
async fn shutdown_is_not_answered_and_asks_for_the_end_of_the_node() {
    let world = World::with_faces(ServerOptions::default(), 1 << 20, &[Face::Open, Face::Proxy]);
    // Not on the port of old proxies.
    let mut proxy = world.connect_to(1).await;
    proxy.send("SHUTDOWN\r\n").await;
    assert!(proxy.line().await.starts_with("-ERR This port"));
    let asked = world.server.asked_to_stop();
    tokio::pin!(asked);
    assert!(tokio::time::timeout(HELD, &mut asked).await.is_err());
    let mut me = world.connect_seated().await;
    me.ask("SHUTDOWN ABORT\r\n", "-ERR No shutdown in progress.\r\n").await;
    me.send("SHUTDOWN NOSAVE NOW\r\n").await;
    me.expect_end().await;
    tokio::time::timeout(LIMIT, asked).await.expect("it is asked for");
}

#[tokio::test]
async fn a_foreign_sentinel_is_noted_on_the_board() {
    let world = World::start();
    let mut state = State::default();
    let command = Command::Monitor {
        host: None,
        name: GroupName::new("orders").unwrap(),
        primary: "127.0.0.1:6379".parse().unwrap(),
        quorum: 1,
        settings: Vec::new(),
    };
    let at = Timestamp(1);
    let applied = apply(&mut state, &Entry { command, at });
    world.hub.publish(Arc::new(state), applied.events);
    let mut me = world.connect_seated().await;
    let hello = "10.0.9.9,26379,abcdefabcdefabcdefabcdefabcdefabcdefabcd,7,orders,127.0.0.1,6379,9";
    me.ask(format!("PUBLISH __sentinel__:hello {hello}\r\n"), ":1\r\n")
        .await;
    me.send("SENTINEL MASTER orders\r\n").await;
    let master = me.reply().await;
    assert!(master.contains(" foreign-sentinels 10.0.9.9:26379 "), "{master}");
}
