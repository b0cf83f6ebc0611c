//! Links and orders against real redis-servers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use cfgserver::model::{Address, Facts, MyId, Role, RunId, Term};
use cfgserver::redis::{Answer, LeaderName, Link, LinkError, Order, OrderError, OrderLink, request};

use crate::fake_redis::{Deed, FakeRedis, healthy, info};
use crate::servers::{SOON, Server, redis_is_missing};

const PATIENCE: Duration = Duration::from_millis(300);

fn leader(node: &str, term: Term) -> LeaderName {
    LeaderName {
        node: MyId(node.into()),
        term,
        instance: "10.0.0.1:6379".parse().unwrap(),
    }
}

async fn open(server: &Server) -> OrderLink {
    OrderLink::open(&server.target(), leader("0123456789", 7), SOON)
        .await
        .unwrap()
}

async fn give(link: &mut OrderLink, order: Order) -> Result<Option<Role>, OrderError> {
    let expected = link.facts().run_id.clone();
    let reply = link.execute(&order, &expected, &|_: &Facts| true, SOON).await?;
    Ok(reply.facts.map(|facts| facts.role))
}

fn follow(primary: Address) -> Order {
    Order::Follow {
        host: None,
        primary,
        disconnect_clients: false,
    }
}

/// A server with a replica whose configuration has these lines.
async fn pair(options: &[&str]) -> (Server, Server) {
    let primary = Server::start(&[]).await;
    let replica = Server::replica_of(&primary, options).await;
    (primary, replica)
}

#[tokio::test]
async fn a_replica_is_promoted_and_remembers_it() {
    if redis_is_missing() {
        return;
    }
    let (_primary, replica) = pair(&[]).await;
    let mut link = open(&replica).await;
    assert_eq!(link.facts().role, Role::Replica);
    assert_eq!(give(&mut link, Order::Promote).await, Ok(Some(Role::Primary)));
    assert_eq!(link.facts().role, Role::Primary);
    let file = std::fs::read_to_string(replica.folder.path().join("redis.conf")).unwrap();
    assert!(
        !file.contains("replicaof 127"),
        "CONFIG REWRITE was not carried out: {file}"
    );
    assert_eq!(
        give(&mut link, Order::Promote).await,
        Ok(Some(Role::Primary)),
        "twice is as good as once"
    );
}

#[tokio::test]
async fn a_promotion_drops_clients_and_keeps_its_own_link() {
    if redis_is_missing() {
        return;
    }
    let (_primary, replica) = pair(&[]).await;
    let mut client = Link::connect(&replica.target(), SOON).await.unwrap();
    client.call(&[request(["PING"])], SOON).await.unwrap();
    let mut link = open(&replica).await;
    give(&mut link, Order::Promote).await.unwrap();
    assert_eq!(client.answer().await, Err(LinkError::Closed));
    assert_eq!(link.refresh(SOON).await.unwrap().role, Role::Primary);
}

#[tokio::test]
async fn an_instance_is_made_to_follow() {
    if redis_is_missing() {
        return;
    }
    let (primary, other) = (Server::start(&[]).await, Server::start(&[]).await);
    let mut client = Link::connect(&other.target(), SOON).await.unwrap();
    client.call(&[request(["PING"])], SOON).await.unwrap();
    let mut link = open(&other).await;
    assert_eq!(give(&mut link, follow(primary.address)).await, Ok(Some(Role::Replica)));
    assert_eq!(link.facts().primary, Some(primary.address));
    other.wait_info("master_link_status:up").await;
    assert!(
        client.call(&[request(["PING"])], SOON).await.is_ok(),
        "clients were not to be dropped"
    );
    let order = Order::Follow {
        host: None,
        primary: primary.address,
        disconnect_clients: true,
    };
    give(&mut link, order).await.unwrap();
    assert_eq!(client.answer().await, Err(LinkError::Closed));
}

#[tokio::test]
async fn orders_work_where_config_client_or_multi_are_renamed_away() {
    if redis_is_missing() {
        return;
    }
    for missing in ["CONFIG", "CLIENT", "MULTI"] {
        let rename = format!("rename-command {missing} \"\"");
        let (primary, replica) = pair(&[&rename]).await;
        let mut link = open(&replica).await;
        let promoted = give(&mut link, Order::Promote).await;
        assert_eq!(promoted, Ok(Some(Role::Primary)), "without {missing}");
        let followed = give(&mut link, follow(primary.address)).await;
        assert_eq!(followed, Ok(Some(Role::Replica)), "without {missing}");
    }
}

#[tokio::test]
async fn orders_go_out_under_the_names_that_the_instance_has_for_them() {
    if redis_is_missing() {
        return;
    }
    let commands = ["auth", "client", "config", "exec", "info", "multi", "slaveof"];
    let renamed: BTreeMap<String, String> = commands.map(|name| (name.to_owned(), format!("own-{name}"))).into();
    let lines = renamed
        .iter()
        .map(|(usual, own)| format!("rename-command {usual} {own}"));
    let lines = lines.collect::<Vec<_>>().join("\n");
    let replica = Server::start(&[&lines, "requirepass secret", "replicaof 127.0.0.1 1"]).await;
    let target = cfgserver::redis::Target {
        renamed,
        ..replica.target_with("", "secret")
    };
    let mut link = OrderLink::open(&target, leader("0123456789", 7), SOON).await.unwrap();
    assert_eq!(link.facts().role, Role::Replica);
    assert_eq!(give(&mut link, Order::Promote).await, Ok(Some(Role::Primary)));
    let file = std::fs::read_to_string(replica.folder.path().join("redis.conf")).unwrap();
    assert!(!file.contains("replicaof 127"), "it was no transaction: {file}");
}

#[tokio::test]
async fn what_the_instance_refuses_is_told_in_its_words() {
    if redis_is_missing() {
        return;
    }
    let (_primary, replica) = pair(&["rename-command SLAVEOF \"\""]).await;
    let refused = give(&mut open(&replica).await, Order::Promote).await;
    assert!(
        matches!(&refused, Err(OrderError::Refused(text)) if text.contains("unknown command")),
        "{refused:?}"
    );

    let (_primary, replica) = pair(&["user watcher on >secret ~* +@all -slaveof"]).await;
    let target = replica.target_with("watcher", "secret");
    let mut link = OrderLink::open(&target, leader("0123456789", 7), SOON).await.unwrap();
    let refused = give(&mut link, Order::Promote).await;
    assert!(
        matches!(&refused, Err(OrderError::Refused(text)) if text.contains("NOPERM")),
        "{refused:?}"
    );
    assert!(replica.says("role:slave").await);
}

#[tokio::test]
async fn another_process_gets_no_order() {
    if redis_is_missing() {
        return;
    }
    let (_primary, replica) = pair(&[]).await;
    let mut link = open(&replica).await;
    let found = link.facts().run_id.clone();
    let refused = link
        .execute(&Order::Promote, &RunId::new("other"), &|_: &Facts| true, SOON)
        .await;
    assert_eq!(refused, Err(OrderError::OtherProcess { found }));
    assert!(replica.says("role:slave").await);
}

#[tokio::test]
async fn a_process_that_was_restarted_gets_no_order_over_the_old_link() {
    if redis_is_missing() {
        return;
    }
    let (_primary, mut replica) = pair(&[]).await;
    let mut link = open(&replica).await;
    let before = link.facts().run_id.clone();
    replica.restart().await;
    let reply = link
        .execute(&Order::Promote, &before, &|_: &Facts| true, SOON)
        .await
        .unwrap();
    let facts = reply.facts.unwrap();
    assert_ne!(facts.run_id, before, "the new process was only looked at");
    assert_eq!(facts.role, Role::Replica);
    let refused = link.execute(&Order::Promote, &before, &|_: &Facts| true, SOON).await;
    assert!(matches!(refused, Err(OrderError::OtherProcess { .. })), "{refused:?}");
    assert!(replica.says("role:slave").await);
}

#[tokio::test]
async fn the_fence_is_asked_right_before_each_write() {
    if redis_is_missing() {
        return;
    }
    let (_primary, replica) = pair(&["rename-command CONFIG \"\""]).await;
    let mut link = open(&replica).await;
    let run_id = link.facts().run_id.clone();
    let refused = link.execute(&Order::Promote, &run_id, &|_: &Facts| false, SOON).await;
    assert_eq!(refused, Err(OrderError::LeaseLost));
    let asked = AtomicU32::new(0);
    let once = |_: &Facts| asked.fetch_add(1, Ordering::Relaxed) == 0;
    let refused = link.execute(&Order::Promote, &run_id, &once, SOON).await;
    assert_eq!(
        refused,
        Err(OrderError::LeaseLost),
        "the transaction fails, the bare order needs the fence again"
    );
    assert!(replica.says("role:slave").await);
}

#[tokio::test]
async fn links_of_older_leaders_and_those_that_were_given_up_are_closed_and_others_are_not() {
    if redis_is_missing() {
        return;
    }
    let server = Server::start(&[]).await;
    let connect = async |name: LeaderName| OrderLink::open(&server.target(), name, SOON).await.unwrap();
    let mut newer = connect(leader("cccccccccc", 9)).await;
    let mut older = connect(leader("aaaaaaaaaa", 6)).await;
    let mut probe = Link::connect(&server.target(), SOON).await.unwrap();
    let name = request(["CLIENT", "SETNAME", "cfgserver-aaaaaaaa-probe"]);
    probe.call(&[name], SOON).await.unwrap();
    let mut given_up = connect(leader("bbbbbbbbbb", 7)).await;
    let by_another_way = LeaderName {
        instance: "10.0.0.2:6379".parse().unwrap(),
        ..leader("bbbbbbbbbb", 7)
    };
    let mut by_another_way = connect(by_another_way).await;
    let mut again = connect(leader("bbbbbbbbbb", 7)).await;
    for link in [&mut older, &mut given_up] {
        assert_eq!(
            link.refresh(SOON).await.unwrap_err(),
            OrderError::Link(LinkError::Closed)
        );
    }
    for link in [&mut newer, &mut by_another_way, &mut again] {
        link.refresh(SOON).await.unwrap();
    }
    probe.call(&[request(["PING"])], SOON).await.unwrap();
}

#[tokio::test]
async fn a_pause_holds_back_writes_until_it_is_taken_back() {
    if redis_is_missing() {
        return;
    }
    let server = Server::start(&[]).await;
    let mut link = open(&server).await;
    assert_eq!(
        give(&mut link, Order::Pause { ms: 60_000 }).await,
        Ok(Some(Role::Primary))
    );
    let mut client = Link::connect(&server.target(), SOON).await.unwrap();
    client.call(&[request(["GET", "key"])], SOON).await.unwrap();
    client.queue(&request(["SET", "key", "value"]));
    assert!(
        tokio::time::timeout(PATIENCE, client.answer()).await.is_err(),
        "a write went through a pause"
    );
    assert_eq!(give(&mut link, Order::Unpause).await, Ok(Some(Role::Primary)));
    assert_eq!(
        tokio::time::timeout(SOON, client.answer()).await.unwrap(),
        Ok(Answer::OK)
    );
}

#[tokio::test]
async fn a_paused_primary_can_be_made_to_follow() {
    if redis_is_missing() {
        return;
    }
    let (primary, replica) = pair(&[]).await;
    let mut old = open(&primary).await;
    give(&mut old, Order::Pause { ms: 60_000 }).await.unwrap();
    give(&mut open(&replica).await, Order::Promote).await.unwrap();
    let order = Order::Follow {
        host: None,
        primary: replica.address,
        disconnect_clients: true,
    };
    assert_eq!(give(&mut old, order).await, Ok(Some(Role::Replica)));
    primary.wait_info("master_link_status:up").await;
}

#[tokio::test]
async fn passwords_are_sent_and_a_wrong_one_is_an_error_with_the_words_of_the_instance() {
    if redis_is_missing() {
        return;
    }
    let server = Server::start(&["user default on >right ~* &* +@all", "user some on >one ~* &* +@all"]).await;
    for (user, password) in [("", "right"), ("default", "right"), ("some", "one")] {
        let target = server.target_with(user, password);
        let mut link = Link::connect(&target, SOON).await.unwrap();
        assert!(link.call(&[request(["INFO"])], SOON).await.is_ok(), "{target:?}");
        OrderLink::open(&target, leader("0123456789", 7), SOON).await.unwrap();
    }
    let target = server.target_with("", "wrong");
    let mut link = Link::connect(&target, SOON).await.unwrap();
    let refused = link.call(&[request(["PING"])], SOON).await;
    assert!(
        matches!(&refused, Err(LinkError::Auth(text)) if text.starts_with("WRONGPASS")),
        "{refused:?}"
    );
    let refused = OrderLink::open(&target, leader("0123456789", 7), SOON).await;
    assert!(
        matches!(refused, Err(OrderError::Link(LinkError::Auth(_)))),
        "{refused:?}"
    );
    let answer = server.call(["PING"]).await;
    assert!(
        matches!(&answer, Answer::Error(text) if text.starts_with("NOAUTH")),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_password_that_nobody_asked_for_does_no_harm() {
    if redis_is_missing() {
        return;
    }
    let server = Server::start(&[]).await;
    let mut link = Link::connect(&server.target_with("", "needless"), SOON).await.unwrap();
    assert!(link.call(&[request(["PING"])], SOON).await.is_ok());
}

#[tokio::test]
async fn a_hung_instance_times_out_and_a_dead_one_refuses() {
    if redis_is_missing() {
        return;
    }
    let mut server = Server::start(&[]).await;
    let mut link = Link::connect(&server.target(), SOON).await.unwrap();
    server.freeze();
    assert_eq!(
        link.call(&[request(["PING"])], PATIENCE).await,
        Err(LinkError::TimedOut)
    );
    let opened = OrderLink::open(&server.target(), leader("0123456789", 7), PATIENCE).await;
    assert_eq!(opened.unwrap_err(), OrderError::Link(LinkError::TimedOut));
    server.thaw();
    assert_eq!(
        link.call(&[request(["PING"])], SOON).await,
        Err(LinkError::TimedOut),
        "its answers are out of step"
    );
    server.kill();
    let refused = Link::connect(&server.target(), SOON).await;
    assert_eq!(refused.unwrap_err(), LinkError::Refused);
}

fn target(fake: &FakeRedis) -> cfgserver::redis::Target {
    cfgserver::redis::Target {
        address: fake.address,
        user: String::new(),
        password: String::new(),
        renamed: BTreeMap::new(),
    }
}

#[tokio::test]
async fn a_connection_that_closes_under_an_order_is_looked_at_again() {
    let fake = FakeRedis::start(|connection, _, name| match (connection, name) {
        (0, "EXEC") => Deed::Close,
        (0, "INFO") => info("aa", "slave"),
        _ => healthy(name),
    });
    let mut link = OrderLink::open(&target(&fake), leader("0123456789", 7), SOON)
        .await
        .unwrap();
    assert_eq!(give(&mut link, Order::Promote).await, Ok(Some(Role::Primary)));
    assert_eq!(fake.connections(), 2);
    assert_eq!(link.refresh(SOON).await.unwrap().role, Role::Primary);
}

#[tokio::test]
async fn an_order_that_was_lost_with_its_connection_is_not_taken_for_done() {
    const FIRST_ORDER: usize = 3;
    let elsewhere = follow("127.0.0.1:7000".parse().unwrap());
    for (order, role) in [
        (Order::Pause { ms: 1_000 }, "master"),
        (Order::Unpause, "master"),
        (Order::Promote, "slave"),
        (elsewhere, "slave"),
    ] {
        let fake = FakeRedis::start(move |connection, number, name| match (connection, number, name) {
            (0, FIRST_ORDER, _) => Deed::Close,
            (_, _, "INFO") => info("aa", role),
            _ => healthy(name),
        });
        let mut link = OrderLink::open(&target(&fake), leader("0123456789", 7), SOON)
            .await
            .unwrap();
        let given = give(&mut link, order.clone()).await;
        assert_eq!(given, Err(OrderError::Link(LinkError::Closed)), "{order}");
        assert_eq!(fake.connections(), 2, "{order}");
    }
}

#[tokio::test]
async fn an_order_without_an_answer_times_out_and_the_link_is_not_used_again() {
    let fake = FakeRedis::start(|_, _, name| match name {
        "MULTI" => Deed::Nothing,
        "INFO" => info("aa", "slave"),
        _ => healthy(name),
    });
    let mut link = OrderLink::open(&target(&fake), leader("0123456789", 7), SOON)
        .await
        .unwrap();
    let expected = RunId::new("aa");
    for _ in 0..2 {
        let reply = link
            .execute(&Order::Promote, &expected, &|_: &Facts| true, PATIENCE)
            .await;
        assert_eq!(reply, Err(OrderError::Link(LinkError::TimedOut)));
    }
    assert_eq!(fake.connections(), 1);
}

#[tokio::test]
async fn something_that_is_no_instance_gets_no_link() {
    let fake = FakeRedis::start(|_, _, _| Deed::Say("!what\r\n".to_owned()));
    let opened = OrderLink::open(&target(&fake), leader("0123456789", 7), SOON).await;
    assert!(
        matches!(opened, Err(OrderError::Link(LinkError::Protocol(_)))),
        "{opened:?}"
    );
    let fake = FakeRedis::start(|_, _, _| Deed::Say("+OK\r\n".to_owned()));
    let opened = OrderLink::open(&target(&fake), leader("0123456789", 7), SOON).await;
    assert!(
        matches!(opened, Err(OrderError::Link(LinkError::Protocol(_)))),
        "{opened:?}"
    );
}
