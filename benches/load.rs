//! A load for `scripts/bench`: many subscribers of one node, and when each of them heard of an event.
//!
//! `load fanout PORT SUBSCRIBERS EVENTS GROUP` prints a JSON document: for each event the milliseconds from the request
//! that caused it until the first and the last subscriber had read it, and how many never did.
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![expect(
    clippy::disallowed_methods,
    reason = "a load measures from outside: it has no clock or tasks of a node"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use cfgserver::resp::encode_request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};

/// How long an event may take to the last subscriber before those that are missing count as lost.
const LOST_AFTER: Duration = Duration::from_secs(10);
/// Connections that are being made at the same time.
const DIALS: usize = 64;

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    // `cargo bench` adds --bench.
    let words: Vec<&str> = words.iter().copied().filter(|word| *word != "--bench").collect();
    let [_, "fanout", port, subscribers, events, group] = words.as_slice() else {
        eprintln!("usage: load fanout PORT SUBSCRIBERS EVENTS GROUP    (scripts/bench calls it)");
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let load = Load {
        port: port.parse().expect("a port"),
        subscribers: subscribers.parse().expect("a count"),
        events: events.parse().expect("a count"),
        group: (*group).to_owned(),
    };
    runtime.unwrap().block_on(load.fan_out());
}

struct Load {
    port: u16,
    subscribers: usize,
    events: usize,
    group: String,
}

impl Load {
    async fn fan_out(&self) {
        let (told, mut hear) = mpsc::unbounded_channel();
        let dials = Arc::new(Semaphore::new(DIALS));
        for _ in 0..self.subscribers {
            let (told, dials, port) = (told.clone(), dials.clone(), self.port);
            tokio::spawn(async move {
                let permit = dials.acquire_owned().await.unwrap();
                let mut stream = subscribed(port).await;
                drop(permit);
                told.send(None).unwrap();
                let mut input = [0; 4096];
                while matches!(stream.read(&mut input).await, Ok(1..)) {
                    told.send(Some(Instant::now())).unwrap();
                }
            });
        }
        for _ in 0..self.subscribers {
            let ready = tokio::time::timeout(Duration::from_secs(60), hear.recv()).await;
            ready.expect("all subscribers within a minute");
        }
        let mut writer = connected(self.port).await;
        let (mut first, mut last, mut lost) = (Vec::new(), Vec::new(), 0);
        for event in 0..self.events {
            // What is set already may be no event.
            let value = (event % 2 + 1).to_string();
            let started = Instant::now();
            say(&mut writer, &["SENTINEL", "SET", &self.group, "parallel-syncs", &value]).await;
            let mut times = Vec::with_capacity(self.subscribers);
            while times.len() < self.subscribers {
                match tokio::time::timeout(LOST_AFTER, hear.recv()).await {
                    Ok(Some(Some(at))) => times.push(ms(at - started)),
                    _ => break,
                }
            }
            lost += self.subscribers - times.len();
            first.extend(times.iter().copied().min());
            last.extend(times.iter().copied().max());
            let mut answer = [0; 256];
            let count = writer.read(&mut answer).await.unwrap();
            assert!(
                answer[..count].starts_with(b"+OK"),
                "{}",
                answer[..count].escape_ascii()
            );
        }
        let list = |times: &[u64]| {
            let texts = times.iter().map(|us| format!("{}.{:03}", us / 1_000, us % 1_000));
            texts.collect::<Vec<_>>().join(", ")
        };
        println!(
            "{{\"first ms\": [{}], \"last ms\": [{}], \"lost\": {lost}}}",
            list(&first),
            list(&last)
        );
    }
}

/// Microseconds: whole numbers sort.
fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap()
}

async fn connected(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("the node accepts");
    stream.set_nodelay(true).unwrap();
    stream
}

async fn say(stream: &mut TcpStream, words: &[&str]) {
    let mut out = BytesMut::new();
    encode_request(words, &mut out);
    stream.write_all(&out).await.expect("the node reads");
}

async fn subscribed(port: u16) -> TcpStream {
    let mut stream = connected(port).await;
    say(&mut stream, &["SUBSCRIBE", "+set"]).await;
    let mut confirmation = [0; 256];
    let count = stream.read(&mut confirmation).await.expect("a confirmation");
    assert!(count > 0, "the node closed a subscriber");
    stream
}
