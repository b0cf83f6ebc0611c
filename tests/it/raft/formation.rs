//! Who may meet whom.

use std::collections::BTreeMap;
use std::sync::Arc;

use cfgserver::model::NodeId;
use cfgserver::raft::{Failure, Formation, StartError};
use cfgserver::requests::{AdminRequest, WriteError};
use cfgserver::store::MemoryStore;

use super::cluster::{Plan, TestNode, formed, leader, listen_again, reserve, three, until_true};

fn peers(nodes: &[(NodeId, &str)]) -> Formation {
    Formation::Peers(nodes.iter().map(|(id, address)| (*id, (*address).to_owned())).collect())
}

/// Why a node did not start.
fn reason(started: Result<TestNode, StartError>) -> String {
    started.err().expect("it should not start").to_string()
}

#[tokio::test]
async fn a_node_alone_waits_for_the_other_founders() {
    let (first, a) = reserve();
    let (second, b) = reserve();
    let formation = peers(&[(1, &a), (2, &b)]);
    let one = TestNode::start(Plan::new(1, formation.clone()), first).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(
        one.handle.identity().await.cluster,
        None,
        "no cluster without the other"
    );
    let two = TestNode::start(Plan::new(2, formation), second).await.unwrap();
    let nodes = [one, two];
    formed(&nodes).await;
    let cluster = nodes[0].handle.identity().await.cluster;
    assert!(cluster.is_some());
    assert_eq!(nodes[1].handle.identity().await.cluster, cluster);
    until_true("the state machine knows it", || {
        nodes[1].handle.state().header().cluster == cluster
    })
    .await;
    for node in nodes {
        node.kill().await;
    }
}

#[tokio::test]
async fn another_secret_is_refused() {
    let (first, a) = reserve();
    let (second, b) = reserve();
    let formation = peers(&[(1, &a), (2, &b)]);
    let mut plan = Plan::new(1, formation.clone());
    let one = TestNode::start(plan.clone(), first).await.unwrap();
    plan = Plan::new(2, formation);
    plan.secret = Some("another secret");
    let refused = reason(TestNode::start(plan, second).await);
    assert!(refused.contains("wrong cluster secret"), "{refused}");
    one.kill().await;
}

#[tokio::test]
async fn an_empty_node_under_a_known_id_is_refused() {
    let mut nodes = three(|_| {}).await;
    let lost = nodes.remove(2);
    let address = lost.address.clone();
    let mut plan = lost.kill().await;
    plan.store = Arc::new(MemoryStore::new());
    let refused = reason(TestNode::start(plan, listen_again(&address).await).await);
    assert!(refused.contains("known with another data directory"), "{refused}");
    for node in nodes {
        node.kill().await;
    }
}

#[tokio::test]
async fn an_empty_node_that_meets_data_does_not_found() {
    let (listener, a) = reserve();
    let one = TestNode::start(Plan::new(1, Formation::Alone), listener).await.unwrap();
    until_true("it leads", || one.leadership().me).await;
    let (listener, b) = reserve();
    let refused = reason(TestNode::start(Plan::new(2, peers(&[(1, &a), (2, &b)])), listener).await);
    assert!(refused.contains("already belongs to cluster"), "{refused}");
    one.kill().await;
}

#[tokio::test]
async fn an_empty_founder_that_meets_data_later_ends() {
    let (second, b) = reserve();
    let (first, a) = reserve();
    let two = TestNode::start(Plan::new(2, peers(&[(1, &a), (2, &b)])), second)
        .await
        .unwrap();
    let one = TestNode::start(Plan::new(1, Formation::Alone), first).await.unwrap();
    let failure = two.failure().await;
    assert!(
        matches!(&failure, Failure::Refused(text) if text.contains("already belongs to cluster")),
        "{failure}"
    );
    one.kill().await;
    two.kill().await;
}

#[tokio::test]
async fn a_node_of_another_cluster_is_refused() {
    let (listener, _) = reserve();
    let stray = TestNode::start(Plan::new(3, Formation::Alone), listener).await.unwrap();
    until_true("it leads", || stray.leadership().me).await;
    let mut plan = stray.kill().await;

    let mut nodes = three(|_| {}).await;
    let gone = nodes.remove(2);
    let address = gone.address.clone();
    plan.formation = gone.kill().await.formation;
    let refused = reason(TestNode::start(plan, listen_again(&address).await).await);
    assert!(refused.contains("another cluster"), "{refused}");
    for node in nodes {
        node.kill().await;
    }
}

#[tokio::test]
async fn peers_must_name_the_node_itself() {
    let (listener, a) = reserve();
    let refused = TestNode::start(Plan::new(2, peers(&[(1, &a)])), listener).await;
    assert!(matches!(refused.err(), Some(StartError::NotAPeer(2))));
}

#[tokio::test]
async fn peers_beyond_loopback_need_a_secret() {
    let (listener, a) = reserve();
    let mut plan = Plan::new(1, peers(&[(1, &a), (2, "10.0.0.2:26379")]));
    plan.secret = None;
    let refused = TestNode::start(plan, listener).await;
    assert!(matches!(refused.err(), Some(StartError::NoSecret(_))));
}

#[tokio::test]
async fn loopback_peers_need_no_secret() {
    let nodes = three(|plan| plan.secret = None).await;
    nodes[1].monitor("orders", 6379).await;
    for node in nodes {
        node.kill().await;
    }
}

#[tokio::test]
async fn all_nodes_restart_with_their_data() {
    let nodes = three(|_| {}).await;
    let revision = nodes[0].monitor("orders", 6379).await;
    let mut plans = Vec::new();
    for node in nodes {
        let address = node.address.clone();
        plans.push((node.kill().await, address));
    }
    let mut nodes = Vec::new();
    for (plan, address) in plans {
        nodes.push(TestNode::start(plan, listen_again(&address).await).await.unwrap());
    }
    formed(&nodes).await;
    for node in &nodes {
        assert!(node.knows("orders"));
    }
    assert!(nodes[2].monitor("users", 6380).await > revision);
    for node in nodes {
        node.kill().await;
    }
}

#[tokio::test]
async fn only_a_node_that_waits_is_added() {
    let (listener, _) = reserve();
    let one = TestNode::start(Plan::new(1, Formation::Alone), listener).await.unwrap();
    until_true("it leads", || one.leadership().me).await;

    let (_closed, nowhere) = reserve();
    drop(_closed);
    let request = |id, address: &str| AdminRequest::AddNode {
        id,
        address: address.to_owned(),
    };
    let refused = one.admin(request(2, &nowhere)).await;
    assert!(
        matches!(&refused, Err(WriteError::Refused(text)) if text.contains("unreachable")),
        "{refused:?}"
    );

    let (listener, b) = reserve();
    let other = TestNode::start(Plan::new(2, Formation::Alone), listener).await.unwrap();
    until_true("it leads its own", || other.leadership().me).await;
    let refused = one.admin(request(2, &b)).await;
    assert!(
        matches!(&refused, Err(WriteError::Refused(text)) if text.contains("another cluster")),
        "{refused:?}"
    );

    let refused = one.admin(request(1, &b)).await;
    assert_eq!(
        refused,
        Err(WriteError::Refused("node id 1 is already a member".to_owned()))
    );

    let (listener, c) = reserve();
    let founders = BTreeMap::from([(3, c.clone()), (4, nowhere)]);
    let founder = TestNode::start(Plan::new(3, Formation::Peers(founders)), listener)
        .await
        .unwrap();
    let refused = one.admin(request(3, &c)).await;
    assert!(
        matches!(&refused, Err(WriteError::Refused(text)) if text.contains("--join")),
        "{refused:?}"
    );
    for node in [one, other, founder] {
        node.kill().await;
    }
}

#[tokio::test]
async fn a_client_that_says_a_peer_request_is_refused() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (listener, a) = reserve();
    let one = TestNode::start(Plan::new(1, Formation::Alone), listener).await.unwrap();
    until_true("it leads", || one.leadership().me).await;
    let mut client = tokio::net::TcpStream::connect(&a).await.unwrap();
    client
        .write_all(b"*3\r\n$11\r\nRAFT.APPEND\r\n$1\r\n1\r\n$1\r\nx\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "-ERR RAFT requests need a RAFT.HELLO first\r\n");
    let mut client = tokio::net::TcpStream::connect(&a).await.unwrap();
    client
        .write_all(b"*3\r\n$10\r\nRAFT.HELLO\r\n$2\r\n99\r\n$1\r\nx\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "-REFUSED protocol: node 1 speaks version 1, not 99\r\n");
    _ = leader(std::slice::from_ref(&one)).await;
    one.kill().await;
}
