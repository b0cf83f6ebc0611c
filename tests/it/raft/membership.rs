//! Growing, replacing, handing over.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cfgserver::detect::{VoteAck, VoteReport};
use cfgserver::failover::Wish;
use cfgserver::model::{GroupName, NodeId};
use cfgserver::raft::{Desk, Failure, Formation, Working};
use cfgserver::requests::{AdminRequest, WriteError, WriteReply};
use cfgserver::store::MemoryStore;

use super::cluster::{Plan, TestNode, leader, listen_again, reserve, three, until_true};

/// Starts a node that waits, and has `through` add it.
async fn add(through: &TestNode, id: NodeId) -> TestNode {
    let (listener, address) = reserve();
    let plan = Plan::new(id, Formation::Join(through.address.clone()));
    let node = TestNode::start(plan, listener).await.unwrap();
    let request = AdminRequest::AddNode { id, address };
    let added = through.admin(request).await;
    assert!(matches!(added, Ok(WriteReply::Outcome { .. })), "{added:?}");
    node
}

#[tokio::test]
async fn a_cluster_grows_from_one_to_three() {
    let (listener, _) = reserve();
    let one = TestNode::start(Plan::new(1, Formation::Alone), listener).await.unwrap();
    until_true("it leads", || one.leadership().me).await;
    one.monitor("orders", 6379).await;
    let two = add(&one, 2).await;
    let three = add(&two, 3).await;
    let nodes = [one, two, three];
    for node in &nodes {
        until_true("it has caught up", || node.knows("orders") && node.status().ready).await;
        until_true("all vote", || node.voters() == BTreeSet::from([1, 2, 3])).await;
    }
    nodes[2].monitor("users", 6380).await;
    let [one, two, three] = nodes;
    one.kill().await;
    two.monitor("carts", 6381).await;
    for node in [two, three] {
        node.kill().await;
    }
}

#[tokio::test]
async fn an_addition_that_was_lost_with_its_leader_is_asked_for_again() {
    let mut nodes = three(|_| {}).await;
    let lead = leader(&nodes).await;
    let lead = nodes.remove(lead);
    let (listener, address) = reserve();
    let plan = Plan::new(4, Formation::Join(lead.address.clone()));
    let new = TestNode::start(plan, listener).await.unwrap();
    let request = || AdminRequest::AddNode {
        id: 4,
        address: address.clone(),
    };
    let mut others = Vec::new();
    for node in nodes {
        others.push((node.address.clone(), node.kill().await));
    }
    // The new node gets the log before anybody else knows of it.
    let has_data = || !new.plan.store.read(0, u64::MAX, 1).unwrap().is_empty();
    tokio::select! {
        answer = lead.admin(request()) => panic!("without a majority: {answer:?}"),
        () = until_true("the new node has data", has_data) => {}
    }
    lead.kill().await;

    let mut nodes = Vec::new();
    for (address, plan) in others {
        nodes.push(TestNode::start(plan, listen_again(&address).await).await.unwrap());
    }
    let lead = leader(&nodes).await;
    assert!(!nodes[lead].voters().contains(&4));
    let added = nodes[lead].admin(request()).await;
    assert!(matches!(added, Ok(WriteReply::Outcome { .. })), "{added:?}");
    nodes[lead].monitor("orders", 6379).await;
    until_true("the new node goes on", || {
        new.knows("orders") && new.voters().len() == 4
    })
    .await;
    // Asked for once more, because the answer was lost.
    let again = nodes[lead].admin(request()).await;
    assert!(matches!(again, Ok(WriteReply::Outcome { .. })), "{again:?}");
    nodes.push(new);
    for node in nodes {
        node.kill().await;
    }
}

#[tokio::test]
async fn an_addition_that_is_given_up_at_any_moment_is_asked_for_again() {
    let (listener, _) = reserve();
    let one = TestNode::start(Plan::new(1, Formation::Alone), listener).await.unwrap();
    until_true("it leads", || one.leadership().me).await;
    let mut nodes = vec![one];
    for (id, given_up_after_ms) in (2..).zip([1, 2, 4, 6, 9, 13]) {
        let (listener, address) = reserve();
        let plan = Plan::new(id, Formation::Join(nodes[0].address.clone()));
        nodes.push(TestNode::start(plan, listener).await.unwrap());
        let request = || AdminRequest::AddNode {
            id,
            address: address.clone(),
        };
        // Perhaps between the entry by which old and new voters decide and the one by which the new ones do.
        let limit = Duration::from_millis(given_up_after_ms);
        _ = tokio::time::timeout(limit, nodes[0].admin(request())).await;
        let added = nodes[0].admin(request()).await;
        assert!(matches!(added, Ok(WriteReply::Outcome { .. })), "{id}: {added:?}");
        let all: BTreeSet<NodeId> = (1..=id).collect();
        until_true("all vote", || nodes.iter().all(|node| node.voters() == all)).await;
    }
    for node in nodes {
        node.kill().await;
    }
}

#[tokio::test]
async fn a_dead_node_is_replaced_under_a_new_id() {
    let mut nodes = three(|_| {}).await;
    nodes[0].monitor("orders", 6379).await;
    let dead = (leader(&nodes).await + 1) % 3;
    let dead_id = nodes[dead].plan.id;
    let dead_plan = nodes.remove(dead).kill().await;
    let lead = leader(&nodes).await;
    let removed = nodes[1 - lead].admin(AdminRequest::RemoveNode { id: dead_id }).await;
    assert!(removed.is_ok(), "{removed:?}");
    nodes.push(add(&nodes[lead], 4).await);
    until_true("the new node has the data", || nodes[2].knows("orders")).await;

    let (_listener, address) = reserve();
    let refused = nodes[lead].admin(AdminRequest::AddNode { id: dead_id, address }).await;
    assert!(
        matches!(&refused, Err(WriteError::Refused(text)) if text.contains("was removed")),
        "{refused:?}"
    );

    // The old node learns from its peers that it is out, with its data and without.
    let (listener, _) = reserve();
    let refused = TestNode::start(dead_plan.clone(), listener)
        .await
        .err()
        .expect("it is out")
        .to_string();
    assert!(refused.contains("was removed"), "{refused}");
    let (listener, _) = reserve();
    let mut empty = dead_plan;
    empty.store = Arc::new(MemoryStore::new());
    empty.formation = Formation::Join(nodes[0].address.clone());
    let refused = TestNode::start(empty, listener)
        .await
        .err()
        .expect("its id is used up")
        .to_string();
    assert!(refused.contains("was removed"), "{refused}");
    for node in nodes {
        node.kill().await;
    }
}

#[tokio::test]
async fn a_removed_leader_hands_over_and_is_told() {
    let mut nodes = three(|_| {}).await;
    let lead = leader(&nodes).await;
    let id = nodes[lead].plan.id;
    let asked = nodes[(lead + 1) % 3].admin(AdminRequest::RemoveNode { id });
    let removed = asked.await;
    assert!(removed.is_ok(), "{removed:?}");
    assert_eq!(nodes[lead].failure().await, Failure::Removed);
    assert!(!nodes[lead].handle.holds_lease());
    nodes.remove(lead).kill().await;
    nodes[0].monitor("orders", 6379).await;
    for node in nodes {
        until_true("two are left", || {
            node.voters().len() == 2 && !node.voters().contains(&id)
        })
        .await;
        node.kill().await;
    }
}

#[tokio::test]
async fn leadership_is_handed_to_the_node_that_was_named() {
    let nodes = three(|_| {}).await;
    let lead = leader(&nodes).await;
    let heir = (lead + 1) % 3;
    let to = Some(nodes[heir].plan.id);
    // Asked for on the third node: forwarded.
    let moved = nodes[(lead + 2) % 3].admin(AdminRequest::TransferLeader { to }).await;
    assert_eq!(moved, Ok(WriteReply::Accepted));
    until_true("the heir leads", || {
        nodes[heir].leadership().me && nodes[heir].handle.holds_lease()
    })
    .await;
    assert!(!nodes[lead].handle.holds_lease());
    nodes[lead].monitor("orders", 6379).await;
    let refused = nodes[heir].admin(AdminRequest::TransferLeader { to: Some(9) }).await;
    assert_eq!(refused, Err(WriteError::Refused("node 9 is not a voter".to_owned())));
    nodes[heir].handle.hand_over(None).await.unwrap();
    until_true("somebody else leads", || !nodes[heir].leadership().me).await;
    for node in nodes {
        node.kill().await;
    }
}

#[tokio::test]
async fn leadership_is_not_handed_to_a_dead_node() {
    let mut nodes = three(|_| {}).await;
    let lead = leader(&nodes).await;
    let (me, term) = (nodes[lead].plan.id, nodes[lead].status().term);
    let dead = nodes.remove((lead + 1) % 3);
    let (id, address) = (dead.plan.id, dead.address.clone());
    dead.kill().await;
    for node in &nodes {
        let refused = node.admin(AdminRequest::TransferLeader { to: Some(id) }).await;
        let Err(WriteError::Refused(text)) = refused else {
            panic!("{refused:?}");
        };
        let start = format!("node {id} at {address} cannot take over: unreachable: ");
        assert!(text.starts_with(&start), "{text}");
    }
    let lead = nodes.iter().position(|node| node.plan.id == me).unwrap();
    nodes[lead].monitor("orders", 6379).await;
    assert!(nodes[lead].handle.holds_lease(), "nobody was asked to take over");
    assert_eq!(nodes[lead].status().term, term);
    // Whom to hand it to is this node's choice: the one that lives.
    nodes[lead].handle.hand_over(None).await.unwrap();
    until_true("the other one leads", || nodes[1 - lead].leadership().me).await;
    for node in nodes {
        node.kill().await;
    }
}

/// A desk with orders on their way.
struct Busy(AtomicUsize);

impl Desk for Busy {
    fn failover(&self, _: GroupName, _: Wish) -> Working {
        Box::pin(async { Err(WriteError::NoLeader) })
    }

    fn explain(&self, _: GroupName) -> Working {
        Box::pin(async { Err(WriteError::NoLeader) })
    }

    fn reset(&self, _: Vec<u8>) -> Working {
        Box::pin(async { Err(WriteError::NoLeader) })
    }

    fn votes(&self, _: NodeId, _: VoteReport) -> VoteAck {
        VoteAck::NotLeader
    }

    fn orders_under_way(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn leadership_is_handed_over_when_no_order_is_on_its_way() {
    let nodes = three(|_| {}).await;
    let lead = leader(&nodes).await;
    let busy = Arc::new(Busy(AtomicUsize::new(1)));
    nodes[lead].handle.set_desk(busy.clone());
    let handing = nodes[lead].handle.hand_over(None);
    let answered = async {
        until_true("no new orders", || !nodes[lead].handle.holds_lease()).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(nodes[lead].leadership().me, "handed over under an order");
        busy.0.store(0, Ordering::SeqCst);
    };
    let (handed, ()) = tokio::join!(handing, answered);
    handed.unwrap();
    until_true("another leads", || !nodes[lead].leadership().me).await;
    for node in nodes {
        node.kill().await;
    }
}
