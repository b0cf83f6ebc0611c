//! What may be removed while another node is dead.

use cfgserver::model::NodeId;
use cfgserver::requests::{AdminRequest, WriteError, WriteReply};

use super::cluster::{TestNode, leader, three, until_true};

async fn remove(through: &TestNode, id: NodeId) -> Result<WriteReply, WriteError> {
    through.admin(AdminRequest::RemoveNode { id }).await
}

/// The removal of `id` is refused, for `dead` does not answer.
async fn is_kept(through: &TestNode, id: NodeId, dead: NodeId) {
    let answer = remove(through, id).await;
    let why = format!("cannot be reached: {dead};");
    let kept = matches!(&answer, Err(WriteError::Refused(text)) if text.contains(&why));
    assert!(kept, "{answer:?}");
}

/// Kills the node at `at`; its id.
async fn lose(nodes: &mut Vec<TestNode>, at: usize) -> NodeId {
    nodes.remove(at).kill().await.id
}

#[tokio::test]
async fn a_living_voter_stays_until_the_dead_one_is_removed() {
    let mut nodes = three(|_| {}).await;
    nodes[0].monitor("orders", 6379).await;
    let lead = leader(&nodes).await;
    let dead = lose(&mut nodes, (lead + 1) % 3).await;
    let lead = leader(&nodes).await;
    let (first, other) = (&nodes[lead], &nodes[1 - lead]);
    let term = first.leadership().term;
    // It was heard a moment ago; it is dead all the same.
    is_kept(other, other.plan.id, dead).await;
    is_kept(first, first.plan.id, dead).await;
    assert!(first.leadership().me && first.handle.holds_lease());
    assert_eq!(first.leadership().term, term, "leadership was not given away in vain");
    assert_eq!(first.voters().len(), 3);
    other.monitor("users", 6380).await;
    assert!(other.knows("orders") && other.knows("users"));

    let removed = remove(other, dead).await;
    assert!(removed.is_ok(), "{removed:?}");
    other.monitor("carts", 6381).await;
    // One of two.
    let removed = remove(first, other.plan.id).await;
    assert!(removed.is_ok(), "{removed:?}");
    first.monitor("bills", 6382).await;
    assert_eq!(first.voters().into_iter().collect::<Vec<_>>(), [first.plan.id]);
    for node in nodes {
        node.kill().await;
    }
}

#[tokio::test]
async fn a_new_leader_removes_the_dead_one_before_it() {
    let mut nodes = three(|_| {}).await;
    let lead = leader(&nodes).await;
    let dead = lose(&mut nodes, lead).await;
    let removed = remove(&nodes[0], dead).await;
    assert!(removed.is_ok(), "{removed:?}");
    nodes[1].monitor("orders", 6379).await;
    for node in nodes {
        until_true("two are left", || node.voters().len() == 2).await;
        node.kill().await;
    }
}

#[tokio::test]
async fn a_new_leader_removes_a_living_one_at_once() {
    let nodes = three(|_| {}).await;
    let lead = leader(&nodes).await;
    let heir = (lead + 1) % 3;
    nodes[lead].handle.hand_over(Some(nodes[heir].plan.id)).await.unwrap();
    until_true("the heir leads", || nodes[heir].leadership().me).await;
    let removed = remove(&nodes[heir], nodes[lead].plan.id).await;
    assert!(removed.is_ok(), "{removed:?}");
    nodes[heir].monitor("orders", 6379).await;
    for node in nodes {
        node.kill().await;
    }
}

#[tokio::test]
async fn leadership_goes_to_a_living_node() {
    let mut nodes = three(|_| {}).await;
    nodes[0].monitor("orders", 6379).await;
    let lead = leader(&nodes).await;
    // Of two that have the same log, the higher id was preferred.
    let followers = (0..3).filter(|at| *at != lead);
    let last = followers.max_by_key(|at| nodes[*at].plan.id).unwrap();
    let matched = |nodes: &[TestNode]| {
        let status = nodes[lead].status();
        status.peers.iter().all(|peer| peer.matched == Some(status.last_log))
    };
    until_true("all have the same log", || matched(&nodes)).await;
    let dead = lose(&mut nodes, last).await;
    let lead = leader(&nodes).await;
    until_true("it is missed", || {
        let status = nodes[lead].status();
        status.peers.iter().any(|peer| peer.id == dead && peer.down)
    })
    .await;
    nodes[lead].handle.hand_over(None).await.unwrap();
    until_true("the living one leads", || nodes[1 - lead].leadership().me).await;
    for node in nodes {
        node.kill().await;
    }
}
