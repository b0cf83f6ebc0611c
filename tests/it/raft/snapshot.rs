//! Catching up.

use super::cluster::{TestNode, Told, leader, listen_again, three, until_true};

#[tokio::test]
async fn a_node_that_was_down_catches_up_by_snapshot_and_tells_one_difference() {
    let mut nodes = three(|plan| {
        plan.tuning.snapshot_every = 20;
        plan.tuning.keep_entries = 5;
    })
    .await;
    let behind = (leader(&nodes).await + 1) % 3;
    nodes[behind].monitor("first", 7000).await;
    let before = nodes[behind].handle.state().revision();
    let behind = nodes.remove(behind);
    let address = behind.address.clone();
    let plan = behind.kill().await;
    for round in 0..100 {
        nodes[0].monitor(&format!("group-{round}"), 8000 + round).await;
    }
    let goal = nodes[0].handle.state().revision();
    // Once the leader counts it as down, no request from before these writes is under way to it any more.
    let leads = leader(&nodes).await;
    until_true("the leader counts it as down", || {
        nodes[leads].status().peers.iter().any(|peer| peer.down)
    })
    .await;
    let behind = TestNode::start(plan, listen_again(&address).await).await.unwrap();
    until_true("it has caught up", || behind.knows("group-99") && behind.status().ready).await;
    let told = behind.sink.told();
    let [on_disk, Told::Replaced { before: from, after }, rest @ ..] = told.as_slice() else {
        panic!("first what was on disk, then one difference: {told:?}");
    };
    assert_eq!(
        on_disk,
        &Told::Replaced {
            before: 0,
            after: before
        }
    );
    assert_eq!(*from, before);
    // What was committed in the moment of the leader's first word may follow as events; nothing twice, nothing lost.
    let mut revision = *after;
    assert!(revision > before + 50, "caught up by one difference: {told:?}");
    for told in rest {
        assert!(
            matches!(told, Told::Applied { revision: next, .. } if *next >= revision),
            "{told:?}"
        );
        if let Told::Applied { revision: next, .. } = told {
            revision = *next;
        }
    }
    assert!(revision >= goal);
    for node in nodes {
        node.kill().await;
    }
    behind.kill().await;
}

#[tokio::test]
async fn a_snapshot_survives_a_restart() {
    let mut nodes = three(|plan| {
        plan.tuning.snapshot_every = 20;
        plan.tuning.keep_entries = 5;
    })
    .await;
    for round in 0..60 {
        nodes[0].monitor(&format!("group-{round}"), 8000 + round).await;
    }
    let last = nodes.pop().unwrap();
    until_true("it has all", || last.knows("group-59")).await;
    let last = last.restart().await;
    assert!(last.knows("group-59"));
    until_true("it is ready", || last.status().ready).await;
    for node in nodes {
        node.kill().await;
    }
    last.kill().await;
}
