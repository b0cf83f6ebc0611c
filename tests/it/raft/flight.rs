//! Bytes that are changed on their way between nodes: refused, and sent again.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use cfgserver::model::NodeId;
use cfgserver::net::{TcpListener, TcpStream};
use cfgserver::raft::Formation;
use cfgserver::requests::AdminRequest;
use cfgserver::store::Store;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::cluster::{Plan, TestNode, formed, leader, listen_again, reserve, until, until_true};

/// Changes what comes by: in each request of one kind, the byte behind the first `needle` gets another bit.
struct Tamper {
    on: AtomicBool,
    call: &'static [u8],
    needle: &'static [u8],
    changed: AtomicUsize,
    tasks: Mutex<Vec<tokio::task::JoinHandle<()>>>,
}

impl Tamper {
    fn new(call: &'static [u8], needle: &'static [u8]) -> Arc<Self> {
        Arc::new(Self {
            on: AtomicBool::new(false),
            call,
            needle,
            changed: AtomicUsize::new(0),
            tasks: Mutex::default(),
        })
    }

    fn changed(&self) -> usize {
        self.changed.load(Ordering::SeqCst)
    }

    fn switch(&self, on: bool) {
        self.on.store(on, Ordering::SeqCst);
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.lock().unwrap().push(tokio::spawn(task));
    }

    /// Forwards connections to `target`.
    fn serve(self: &Arc<Self>, listener: TcpListener, target: String) {
        let tamper = self.clone();
        self.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (connection, target) = (tamper.clone(), target.clone());
                tamper.spawn(async move { connection.forward(stream, target).await });
            }
        });
    }

    async fn forward(&self, mut caller: TcpStream, target: String) {
        let Ok(mut callee) = TcpStream::connect(target).await else {
            return;
        };
        let (mut from_caller, mut to_caller) = caller.split();
        let (mut from_callee, mut to_callee) = callee.split();
        let requests = async {
            let (mut chunk, mut due) = (vec![0; 1 << 16], false);
            while let Ok(length @ 1..) = from_caller.read(&mut chunk).await {
                let bytes = &mut chunk[..length];
                due |= position(bytes, self.call).is_some();
                if due && self.on.load(Ordering::SeqCst) {
                    due = !self.change(bytes);
                }
                if to_callee.write_all(bytes).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = requests => {}
            _ = tokio::io::copy(&mut from_callee, &mut to_caller) => {}
        }
    }

    fn change(&self, bytes: &mut [u8]) -> bool {
        let place = position(bytes, self.needle).map(|place| place + self.needle.len());
        let Some(byte) = place.and_then(|place| bytes.get_mut(place)) else {
            return false;
        };
        *byte ^= 1;
        self.changed.fetch_add(1, Ordering::SeqCst);
        true
    }

    fn end(&self) {
        self.tasks.lock().unwrap().drain(..).for_each(|task| task.abort());
    }
}

fn position(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

/// Three nodes; the others reach the third one through `tamper` only. It does not lead.
async fn three_through(tamper: &Arc<Tamper>) -> Vec<TestNode> {
    let ports: Vec<_> = (1..=3).map(|id| (id as NodeId, reserve())).collect();
    let (tampering, third) = reserve();
    tamper.serve(tampering, ports[2].1.1.clone());
    let address = |id: NodeId, own: &String| if id == 3 { third.clone() } else { own.clone() };
    let peers: BTreeMap<_, _> = ports.iter().map(|(id, (_, own))| (*id, address(*id, own))).collect();
    let mut nodes = Vec::new();
    for (id, (listener, _)) in ports {
        let mut plan = Plan::new(id, Formation::Peers(peers.clone()));
        plan.tuning.snapshot_every = 20;
        plan.tuning.keep_entries = 5;
        nodes.push(TestNode::start(plan, listener).await.unwrap());
    }
    formed(&nodes).await;
    if leader(&nodes).await == 2 {
        let transfer = AdminRequest::TransferLeader { to: Some(1) };
        nodes[2].admin(transfer).await.unwrap();
        until_true("another one leads", || nodes[0].leadership().me).await;
    }
    nodes
}

async fn end(nodes: Vec<TestNode>, tamper: &Tamper) {
    for node in nodes {
        node.kill().await;
    }
    tamper.end();
}

fn last_index(store: &dyn Store) -> u64 {
    store.last().unwrap().map_or(0, |(index, _)| index)
}

fn first_index(store: &dyn Store) -> u64 {
    let first = store.read(0, u64::MAX, 1).unwrap();
    first.first().map_or(0, |(index, _)| *index)
}

#[tokio::test]
async fn a_snapshot_that_is_changed_on_its_way_is_refused() {
    // A changed letter in the name of a group decodes as well as the right one.
    let tamper = Tamper::new(b"RAFT.SNAPSHOT", b"group-");
    let mut nodes = three_through(&tamper).await;
    nodes[0].monitor("first", 7000).await;
    until_true("all have it", || nodes.iter().all(|node| node.knows("first"))).await;
    let third = nodes.pop().unwrap();
    let before = third.handle.state().revision();
    let address = third.address.clone();
    let plan = third.kill().await;
    // A leader that still has the entries that the third one lacks sends those, however many they are, and how soon
    // it purges them is its own affair.
    let goal = last_index(&*plan.store);
    let mut written = 0;
    while !nodes.iter().all(|node| first_index(&*node.plan.store) > goal + 1) {
        assert!(written < 10_000, "the log is never purged");
        nodes[0].monitor(&format!("group-{written}"), 8000 + written).await;
        written += 1;
    }
    tamper.switch(true);
    let third = TestNode::start(plan, listen_again(&address).await).await.unwrap();
    until_true("the snapshot was sent and sent again", || tamper.changed() >= 3).await;
    assert_eq!(third.handle.state().revision(), before, "nothing of it was taken");
    tamper.switch(false);
    let last = format!("group-{}", written - 1);
    until_true("it has caught up", || third.knows(&last)).await;
    nodes.push(third);
    until("all have the same", || {
        let (ours, theirs) = (nodes[0].handle.state(), nodes[2].handle.state());
        (ours.revision() == theirs.revision()).then(|| assert_eq!(ours, theirs))
    })
    .await;
    end(nodes, &tamper).await;
}

#[tokio::test]
async fn entries_that_do_not_decode_are_refused_and_not_applied() {
    let tamper = Tamper::new(b"RAFT.APPEND", b"\xa7payload\x81\xa6");
    let nodes = three_through(&tamper).await;
    tamper.switch(true);
    nodes[0].monitor("orders", 7000).await;
    until_true("the entry was sent and sent again", || tamper.changed() >= 3).await;
    assert!(!nodes[2].knows("orders"));
    tamper.switch(false);
    until_true("it has the entry", || nodes[2].knows("orders")).await;
    end(nodes, &tamper).await;
}
