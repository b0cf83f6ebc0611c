//! A cluster of one.

use cfgserver::raft::{Formation, StartError};
use cfgserver::requests::WriteError;

use super::cluster::{Plan, TestNode, Told, listen_again, monitor, reserve, until_true};
use cfgserver::machine::{Outcome, Rejection};
use cfgserver::requests::{AdminRequest, Write, WriteReply};

async fn one() -> TestNode {
    let (listener, _) = reserve();
    let node = TestNode::start(Plan::new(1, Formation::Alone), listener).await.unwrap();
    until_true("it leads", || node.leadership().me && node.status().ready).await;
    node
}

#[tokio::test]
async fn a_node_alone_leads_and_takes_writes() {
    let node = one().await;
    let revision = node.monitor("orders", 6379).await;
    assert!(node.knows("orders"));
    assert_eq!(node.handle.state().revision(), revision);
    assert!(node.handle.holds_lease());
    let told = node.sink.told();
    assert_eq!(told.first(), Some(&Told::Replaced { before: 0, after: 0 }));
    assert!(told.contains(&Told::Applied { revision, events: 1 }), "{told:?}");
    until_true("the state machine knows the cluster", || {
        node.handle.state().header().cluster.is_some()
    })
    .await;
    node.kill().await;
}

#[tokio::test]
async fn a_rejection_is_an_answer() {
    let node = one().await;
    node.monitor("orders", 6379).await;
    let reply = node.write(Write::Command(monitor("orders", 6380))).await.unwrap();
    let WriteReply::Outcome { outcome, .. } = reply else {
        panic!("{reply:?}");
    };
    assert_eq!(outcome, Outcome::Rejected(Rejection::DuplicateName));
    node.kill().await;
}

#[tokio::test]
async fn a_restart_goes_on_where_it_was() {
    let node = one().await;
    let revision = node.monitor("orders", 6379).await;
    let before = node.handle.identity().await;
    let node = node.restart().await;
    assert_eq!(node.handle.identity().await, before);
    until_true("it leads again", || node.leadership().me && node.status().ready).await;
    assert!(node.knows("orders"));
    assert!(node.monitor("users", 6380).await > revision);
    node.kill().await;
}

#[tokio::test]
async fn a_data_directory_of_another_node_is_refused() {
    let node = one().await;
    let address = node.address.clone();
    let mut plan = node.kill().await;
    plan.id = 2;
    let refused = TestNode::start(plan, listen_again(&address).await).await;
    assert!(matches!(
        refused.err(),
        Some(StartError::OtherNode { found: 1, asked: 2 })
    ));
}

#[tokio::test]
async fn the_last_voter_cannot_be_removed() {
    let node = one().await;
    let refused = node.admin(AdminRequest::RemoveNode { id: 1 }).await;
    assert_eq!(
        refused,
        Err(WriteError::Refused("the last voter cannot be removed".to_owned()))
    );
    node.kill().await;
}
