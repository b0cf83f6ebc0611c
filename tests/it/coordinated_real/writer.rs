//! A client that writes as fast as it can, and remembers what was acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::world::{Client, FAILOVER, Value, now, wait_until};

/// Writes that a connection has on their way at the same time.
pub(super) const PIPELINE: usize = 4;
/// How many keys are asked for at once.
const KEYS_AT_ONCE: usize = 1_000;

/// What a writer was told.
#[derive(Default)]
pub(super) struct Written {
    /// Keys that were acknowledged: `write:<number>`.
    pub(super) acknowledged: Vec<usize>,
    /// The longest time between two acknowledged writes.
    pub(super) longest_pause: Duration,
}

/// Writes as fast as it can to whatever the nodes call the primary.
pub(super) struct Writer {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<Written>>,
}

impl Writer {
    pub(super) fn start(nodes: &[u16], group: &str) -> Self {
        Self::with_connections(nodes, group, 1, PIPELINE)
    }

    pub(super) fn with_connections(nodes: &[u16], group: &str, connections: usize, pipeline: usize) -> Self {
        let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let next = Arc::new(AtomicUsize::new(0));
        let threads = (0..connections).map(|_| {
            let connection = Connection {
                nodes: nodes.to_vec(),
                group: group.to_owned(),
                stop: Arc::clone(&stop),
                count: Arc::clone(&count),
                next: Arc::clone(&next),
                pipeline,
            };
            std::thread::spawn(move || connection.write())
        });
        let threads = threads.collect();
        Self { stop, count, threads }
    }

    /// Waits until that many more writes were acknowledged.
    #[track_caller]
    pub(super) fn wait_more(&self, writes: usize) {
        let enough = self.count.load(Ordering::Relaxed) + writes;
        let what = format!("{writes} more writes are acknowledged");
        wait_until(&what, 3 * FAILOVER, || self.count.load(Ordering::Relaxed) >= enough);
    }

    pub(super) fn end(self) -> Written {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Written::default();
        for thread in self.threads {
            let one = thread.join().unwrap();
            all.acknowledged.extend(one.acknowledged);
            all.longest_pause = all.longest_pause.max(one.longest_pause);
        }
        all
    }
}

/// One connection of a writer, made anew when it breaks.
struct Connection {
    nodes: Vec<u16>,
    group: String,
    stop: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
    next: Arc<AtomicUsize>,
    pipeline: usize,
}

impl Connection {
    fn write(&self) -> Written {
        let mut written = Written::default();
        let mut connection: Option<Client> = None;
        let mut last: Option<Instant> = None;
        let mut lookups = 0;
        while !self.stop.load(Ordering::Relaxed) {
            let Some(client) = connection.as_mut() else {
                lookups += 1;
                let node = self.nodes[lookups % self.nodes.len()];
                connection = look_up(node, &self.group).and_then(|port| Client::connect(port).ok());
                continue;
            };
            let first = self.next.fetch_add(self.pipeline, Ordering::Relaxed);
            let batch = first..first + self.pipeline;
            let mut request = Vec::new();
            for number in batch.clone() {
                let key = format!("write:{number}");
                request.extend(format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n$1\r\nx\r\n", key.len()).bytes());
            }
            let mut well = client.send_bytes(&request).is_ok();
            for number in batch {
                match client.read() {
                    Ok(answer) if answer.is_ok() => {
                        let at = now();
                        let pause = last.map_or(Duration::ZERO, |last| at - last);
                        written.longest_pause = written.longest_pause.max(pause);
                        last = Some(at);
                        written.acknowledged.push(number);
                        self.count.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok(_) => well = false,
                    Err(_) => {
                        well = false;
                        break;
                    }
                }
            }
            if !well {
                connection = None;
            }
        }
        written
    }
}

fn look_up(node: u16, group: &str) -> Option<u16> {
    let mut client = Client::connect(node).ok()?;
    let answer = client.try_call(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", group]);
    answer.ok()?.items().get(1)?.text().parse().ok()
}

/// How many of the acknowledged writes the instance does not have.
pub(super) fn lost(port: u16, acknowledged: &[usize]) -> usize {
    let mut client = Client::connect(port).unwrap();
    let mut lost = 0;
    for part in acknowledged.chunks(KEYS_AT_ONCE) {
        let keys: Vec<String> = part.iter().map(|number| format!("write:{number}")).collect();
        let mut request = vec!["EXISTS"];
        request.extend(keys.iter().map(String::as_str));
        let Value::Integer(found) = client.call(&request) else {
            panic!("EXISTS is answered with a number");
        };
        lost += part.len() - usize::try_from(found).unwrap();
    }
    lost
}
