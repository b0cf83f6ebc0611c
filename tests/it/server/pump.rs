//! One connection: order, waiting, slowness, the end.

use std::time::Duration;

use cfgserver::requests::{Write, WriteReply};
use cfgserver::resp::encode_request;
use cfgserver::server::ServerOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{LIMIT, World};

const MONITOR: &str = "SENTINEL MONITOR shard-1 127.0.0.1 6379 2\r\n";

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let world = World::start();
    let mut client = world.connect().await;
    let requests: String = (1000..4000).map(|number| format!("PING {number}\r\n")).collect();
    let replies: String = (1000..4000).map(|number| format!("$4\r\n{number}\r\n")).collect();
    client.ask(requests, replies).await;
}

#[tokio::test]
async fn a_batch_is_answered_with_one_write() {
    let world = World::start();
    let mut client = world.connect().await;
    client.send("PING\r\n".repeat(100)).await;
    client.0.readable().await.unwrap();
    let mut bytes = [0; 4096];
    assert_eq!(client.0.try_read(&mut bytes).unwrap(), 700);
}

#[tokio::test]
async fn later_requests_wait_for_a_write() {
    let mut world = World::start();
    let mut client = world.connect().await;
    client.send(format!("PING 1\r\n{MONITOR}PING 2\r\n")).await;
    client.expect("$1\r\n1\r\n").await;
    let (write, answer) = world.writes.recv().await.unwrap();
    assert!(matches!(write, Write::Command(_)));
    // Others do not wait.
    world.connect_seated().await;
    let mut early = [0];
    let nothing = tokio::time::timeout(Duration::from_millis(50), client.0.read(&mut early)).await;
    assert!(nothing.is_err(), "answered before the write");
    answer.send(Ok(WriteReply::Accepted)).unwrap();
    client.line().await;
    client.expect("$1\r\n2\r\n").await;
}

#[tokio::test]
async fn writes_of_one_connection_are_made_one_after_the_other() {
    let mut world = World::start();
    let mut client = world.connect().await;
    client.send(MONITOR.repeat(3)).await;
    for _ in 0..3 {
        let (_, answer) = world.writes.recv().await.unwrap();
        assert!(world.writes.try_recv().is_err(), "the next write was made already");
        answer.send(Ok(WriteReply::Accepted)).unwrap();
        client.line().await;
    }
}

#[tokio::test]
async fn quit_answers_and_closes() {
    let world = World::start();
    let mut client = world.connect().await;
    client.ask("PING\r\nQUIT\r\nPING\r\n", "+PONG\r\n+OK\r\n").await;
    client.expect_end().await;
}

#[tokio::test]
async fn who_says_no_more_is_answered_and_closed() {
    let mut world = World::start();
    let mut client = world.connect().await;
    client
        .send(format!("PING 1\r\n{MONITOR}{}", "PING 2\r\n".repeat(500)))
        .await;
    client.0.shutdown().await.unwrap();
    client.expect("$1\r\n1\r\n").await;
    let (_, answer) = world.writes.recv().await.unwrap();
    answer.send(Ok(WriteReply::Accepted)).unwrap();
    client.line().await;
    client.expect("$1\r\n2\r\n".repeat(500)).await;
    client.expect_end().await;
}

#[tokio::test]
async fn a_slow_reader_is_slowed_down_and_misses_nothing() {
    let world = World::start();
    let client = world.connect().await;
    let payload = vec![b'x'; 200_000];
    let mut request = bytes::BytesMut::new();
    encode_request(&[b"PING".as_slice(), &payload], &mut request);
    let (mut reader, mut writer) = client.0.into_split();
    let sends = async move {
        for _ in 0..200 {
            writer.write_all(&request).await.unwrap();
        }
        writer
    };
    let reads = async {
        // 40 MB are more than two kernels hold: the sender must stand still.
        let read = tokio::time::timeout(LIMIT, standstill(&world))
            .await
            .expect("a standstill");
        assert!(
            read < 30_000_000,
            "{read} bytes were read from somebody who does not read"
        );
        let mut reply = format!("${}\r\n", payload.len()).into_bytes();
        reply.extend_from_slice(&payload);
        reply.extend_from_slice(b"\r\n");
        for _ in 0..200 {
            let mut got = vec![0; reply.len()];
            let read = tokio::time::timeout(LIMIT, reader.read_exact(&mut got)).await;
            read.unwrap().unwrap();
            assert!(got == reply);
        }
    };
    tokio::join!(sends, reads);
}

/// Waits until the server reads no more, and gives how much it has read.
async fn standstill(world: &World) -> u64 {
    let mut before = None;
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let mut probe = world.connect_seated().await;
        probe.send("INFO stats\r\n").await;
        let info = probe.reply().await;
        let line = info
            .lines()
            .find_map(|line| line.strip_prefix("total_net_input_bytes:"));
        let read: u64 = line.unwrap().parse().unwrap();
        // A probe costs a few bytes itself.
        if before.is_some_and(|before| read < before + 1000) {
            return read;
        }
        before = Some(read);
    }
}

#[tokio::test]
async fn a_drain_answers_what_was_read_and_closes() {
    let mut world = World::start();
    let mut idle = world.connect_seated().await;
    let mut subscriber = world.connect().await;
    subscriber
        .ask("PSUBSCRIBE x\r\n", "*3\r\n$10\r\npsubscribe\r\n$1\r\nx\r\n:1\r\n")
        .await;
    let mut busy = world.connect().await;
    busy.send(format!("{MONITOR}PING\r\n")).await;
    let (_, answer) = world.writes.recv().await.unwrap();
    let drained = tokio::time::timeout(Duration::from_secs(2), world.server.drain());
    let served = async {
        idle.expect_end().await;
        subscriber.expect_end().await;
        answer.send(Ok(WriteReply::Accepted)).unwrap();
        busy.line().await;
        busy.expect("+PONG\r\n").await;
        busy.expect_end().await;
    };
    let (drained, ()) = tokio::join!(drained, served);
    assert!(drained.is_ok(), "the drain takes too long");
    let late = cfgserver::net::connect(&world.server.addresses()[0].to_string(), LIMIT).await;
    assert!(late.is_err(), "somebody was accepted after the drain");
}

#[tokio::test]
async fn a_drain_does_not_wait_for_ever() {
    let mut world = World::start();
    let mut stuck = world.connect().await;
    stuck.send(MONITOR).await;
    let unanswered = world.writes.recv().await.unwrap();
    let drained = tokio::time::timeout(Duration::from_millis(1500), world.server.drain()).await;
    assert!(drained.is_ok());
    stuck.expect_gone().await;
    drop(unanswered);
}

#[tokio::test]
async fn the_list_of_clients_is_up_to_date() {
    let world = World::start();
    let mut first = world.connect_seated().await;
    let mut second = world.connect_seated().await;
    second.ask("CLIENT SETNAME two\r\n", "+OK\r\n").await;
    first.send("CLIENT SETNAME one\r\nCLIENT LIST\r\n").await;
    first.expect("+OK\r\n").await;
    let list = first.reply().await;
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(lines.len(), 2, "{list}");
    assert!(
        lines[0].starts_with("id=1 ") && lines[0].contains(" name=one "),
        "{list}"
    );
    assert!(
        lines[1].starts_with("id=2 ") && lines[1].contains(" name=two "),
        "{list}"
    );
    drop(second);
    let asks = async {
        loop {
            first.send("CLIENT LIST\r\n").await;
            if first.reply().await.lines().count() == 1 {
                return;
            }
        }
    };
    tokio::time::timeout(LIMIT, asks)
        .await
        .expect("who is gone is not listed");
}

#[tokio::test]
async fn a_peer_gets_its_connection_with_every_byte() {
    let mut world = World::start();
    let mut client = world.connect().await;
    let behind = format!("*1\r\n${}\r\nhalf of something large", 32 << 20);
    client
        .send(format!("PING\r\n*2\r\n$10\r\nRAFT.HELLO\r\n$1\r\nx\r\n{behind}"))
        .await;
    client.expect("+PONG\r\n").await;
    let (first, buffered, mut stream) = world.peers.recv().await.unwrap();
    assert_eq!(first.0, ["RAFT.HELLO", "x"]);
    let mut got = buffered.to_vec();
    while got.len() < behind.len() {
        let read = tokio::time::timeout(LIMIT, stream.read_buf(&mut got)).await;
        assert!(read.unwrap().unwrap() > 0);
    }
    assert_eq!(String::from_utf8(got).unwrap(), behind);
    stream.write_all(b"+HI\r\n").await.unwrap();
    client.expect("+HI\r\n").await;
}

#[tokio::test]
async fn an_idle_connection_is_not_closed() {
    let world = World::with(ServerOptions {
        half_frame_ms: 20,
        lobby_ms: 20,
        ..ServerOptions::default()
    });
    let mut client = world.connect().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    client.ask("PING\r\n", "+PONG\r\n").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    client.ask("PING\r\n", "+PONG\r\n").await;
}
