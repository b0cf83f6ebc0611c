//! The probe against real redis-servers: what it sees, says and sends.

mod oddities;
mod world;

use std::sync::atomic::{AtomicUsize, Ordering};

use cfgserver::detect::{Judgement, VoteAck};
use cfgserver::machine::{Command, MemberFacts};
use cfgserver::model::{EventKind, InstanceRef, LinkState, Role, RunId, Setting, Sighting, Verdict};
use cfgserver::redis::Answer;

use crate::fake_redis::{Deed, FakeRedis, healthy};
use crate::servers::{SOON, Server, redis_is_missing};
use world::World;

/// Generous room for a busy machine, beyond a limit that is kept to the millisecond on an idle one.
const SLACK_MS: u64 = 700;

#[tokio::test]
async fn a_frozen_primary_is_down_after_down_after_and_up_when_it_goes_on() {
    if redis_is_missing() {
        return;
    }
    let server = Server::start(&[]).await;
    let world = World::watching(&server, &[Setting::DownAfterMs(1_000)]);
    world.wait_up(server.address).await;
    server.freeze();
    let seen = world.wait_down(server.address).await;
    let silence_ms = world.down_since(server.address).since(seen.ok_reply_at);
    assert!(
        (1_000..1_000 + SLACK_MS).contains(&silence_ms),
        "down after {silence_ms} ms of silence"
    );
    let is_down = |kind: &EventKind| matches!(kind, EventKind::Down(InstanceRef::Primary { .. }));
    world.wait_event("+sdown", is_down).await;
    world.wait_vote(Judgement::Down).await;
    server.thaw();
    world.wait_up(server.address).await;
    world
        .wait_event("-sdown", |kind| matches!(kind, EventKind::NotDown(_)))
        .await;
    world.wait_vote(Judgement::Up).await;
}

#[tokio::test]
async fn a_killed_primary_is_down_and_a_restarted_one_is_another_process() {
    if redis_is_missing() {
        return;
    }
    let mut server = Server::start(&[]).await;
    let world = World::watching(&server, &[Setting::DownAfterMs(500)]);
    let before = world.wait_facts(server.address, |_| true).await.run_id.clone();
    server.kill();
    let seen = world.wait_down(server.address).await;
    assert_eq!(seen.link, LinkState::Disconnected);
    assert_eq!(&*seen.error, "connection refused");
    server.restart().await;
    world.wait_up(server.address).await;
    world.wait_facts(server.address, |facts| facts.run_id != before).await;
    world
        .wait_event("+reboot", |kind| matches!(kind, EventKind::Reboot(_)))
        .await;
}

#[tokio::test]
async fn refused_connections_shorten_the_wait_when_the_group_says_so() {
    if redis_is_missing() {
        return;
    }
    let mut server = Server::start(&[]).await;
    let settings = [Setting::DownAfterMs(60_000), Setting::RefusedAfterMs(200)];
    let world = World::watching(&server, &settings);
    world.wait_up(server.address).await;
    server.kill();
    let killed_at = world.clock.now();
    world.wait_down(server.address).await;
    let took_ms = world.down_since(server.address).since(killed_at);
    assert!(took_ms < 200 + SLACK_MS, "took {took_ms} ms");
}

#[tokio::test]
async fn facts_of_primary_and_replica_are_on_the_board_and_in_the_vote() {
    if redis_is_missing() {
        return;
    }
    let primary = Server::start(&[]).await;
    let replica = Server::replica_of(&primary, &[]).await;
    let world = World::watching(&primary, &[]);
    let facts = world
        .wait_facts(primary.address, |facts| facts.role == Role::Primary)
        .await;
    assert_eq!(
        facts.replicas.iter().map(|line| line.address).collect::<Vec<_>>(),
        [replica.address]
    );
    world.learn(replica.address);
    let facts = world
        .wait_facts(replica.address, |facts| facts.role == Role::Replica)
        .await;
    assert_eq!((facts.primary, facts.primary_link_up), (Some(primary.address), true));
    world.wait_up(replica.address).await;
    world
        .wait("the vote tells that the replica is reached", || {
            world.vote()?.reach.contains(&replica.address).then_some(())
        })
        .await;
}

#[tokio::test]
async fn info_is_fetched_at_once_when_somebody_wants_it() {
    if redis_is_missing() {
        return;
    }
    let server = Server::start(&[]).await;
    let world = World::watching(&server, &[]);
    world.wait_facts(server.address, |_| true).await;
    let asked_at = world.clock.now();
    server.call(["SET", "key", "value"]).await;
    world.board.request_info(world.group);
    world.wait_facts(server.address, |facts| facts.keys == 1).await;
    let took_ms = world.clock.now().since(asked_at);
    assert!(took_ms < 900, "took {took_ms} ms, otherwise INFO comes after a second");
}

#[tokio::test]
async fn another_down_after_counts_at_once() {
    if redis_is_missing() {
        return;
    }
    let server = Server::start(&[]).await;
    let world = World::watching(&server, &[Setting::DownAfterMs(60_000)]);
    world.wait_up(server.address).await;
    server.freeze();
    world.set(&[Setting::DownAfterMs(300)]);
    world.wait_down(server.address).await;
    world.set(&[Setting::DownAfterMs(60_000)]);
    world.wait_up(server.address).await;
}

#[tokio::test]
async fn a_member_that_is_removed_is_left_alone() {
    if redis_is_missing() {
        return;
    }
    let server = Server::start(&[]).await;
    let world = World::watching(&server, &[]);
    world.wait_up(server.address).await;
    assert!(clients(&server).await.contains("name=cfgserver-01234567-probe"));
    world.apply(Command::Remove {
        name: world.name.clone(),
    });
    world
        .wait("its sighting is gone", || {
            world.sighting(server.address).is_none().then_some(())
        })
        .await;
    world
        .wait("its vote is gone", || world.vote().is_none().then_some(()))
        .await;
    let until = world.clock.now().plus(SOON.as_millis() as u64);
    while clients(&server).await.contains("probe") {
        assert!(world.clock.now() < until, "the probe is still connected");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_wrong_password_is_shown_and_the_right_one_counts_at_once() {
    if redis_is_missing() {
        return;
    }
    let server = Server::start(&["requirepass right"]).await;
    let settings = [Setting::DownAfterMs(300), Setting::AuthPass("wrong".to_owned().into())];
    let world = World::watching(&server, &settings);
    let seen = world.wait_down(server.address).await;
    assert!(seen.error.starts_with("WRONGPASS"), "{}", seen.error);
    assert!(seen.locked, "it was taken for dead");
    world.set(&[Setting::AuthPass("right".to_owned().into())]);
    let seen = world.wait_up(server.address).await;
    assert_eq!(&*seen.error, "");
}

#[tokio::test]
async fn a_closed_connection_is_no_evidence() {
    if redis_is_missing() {
        return;
    }
    let server = Server::start(&[]).await;
    let world = World::watching(&server, &[Setting::DownAfterMs(1_000), Setting::RefusedAfterMs(100)]);
    world.wait_up(server.address).await;
    for _ in 0..20 {
        server.call(["CLIENT", "KILL", "TYPE", "normal"]).await;
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    world.wait_up(server.address).await;
    let downs = world
        .events()
        .into_iter()
        .filter(|kind| matches!(kind, EventKind::Down(_)));
    assert_eq!(downs.count(), 0);
}

#[tokio::test]
async fn a_replica_that_is_promoted_by_hand_changes_its_role() {
    if redis_is_missing() {
        return;
    }
    let primary = Server::start(&[]).await;
    let replica = Server::replica_of(&primary, &[]).await;
    let world = World::watching(&primary, &[]);
    world.learn(replica.address);
    world
        .wait_facts(replica.address, |facts| facts.role == Role::Replica)
        .await;
    replica.call(["REPLICAOF", "NO", "ONE"]).await;
    world.board.request_info(world.group);
    world
        .wait_event("-role-change", |kind| {
            matches!(
                kind,
                EventKind::RoleChange {
                    to_primary: true,
                    agrees: false,
                    ..
                }
            )
        })
        .await;
}

#[tokio::test]
async fn votes_are_whole_for_each_leader_and_after_a_gap_and_are_refreshed() {
    if redis_is_missing() {
        return;
    }
    let server = Server::start(&[]).await;
    let world = World::watching(&server, &[]);
    world.wait_vote(Judgement::Up).await;
    let reports = world.wait_reports(6).await;
    assert!(reports[0].whole);
    let tail = &reports[reports.len() - 2..];
    assert!(tail.iter().all(|report| !report.whole), "{tail:?}");
    assert_eq!(tail[1].sequence, tail[0].sequence + 1);

    world.forget_reports();
    world.lead(2, 8);
    let first = world.wait_reports(2).await;
    let first_new = first.iter().find(|report| report.whole);
    assert_eq!(
        first_new.map(|report| report.votes.len()),
        Some(1),
        "a new leader gets the whole set"
    );

    world.answer(VoteAck::WantWhole);
    world.forget_reports();
    world.wait_reports(3).await;
    world.answer(VoteAck::Taken);
    world.forget_reports();
    let next = world.wait_reports(3).await;
    assert!(next[0].whole && !next[2].whole, "{next:?}");
}

#[tokio::test]
async fn a_vote_is_about_the_process_that_the_state_names() {
    if redis_is_missing() {
        return;
    }
    let server = Server::start(&[]).await;
    let world = World::watching(&server, &[]);
    world.wait_vote(Judgement::Up).await;
    assert_eq!(world.vote().unwrap().key.run_id, None);
    world.learn_facts(
        server.address,
        MemberFacts {
            run_id: Some(RunId::new("abc")),
            ..MemberFacts::default()
        },
    );
    world
        .wait("the vote has another key", || {
            (world.vote()?.key.run_id == Some(RunId::new("abc"))).then_some(())
        })
        .await;
}

#[tokio::test]
async fn a_silent_connection_is_replaced_before_a_verdict_when_another_one_answers() {
    let fake = FakeRedis::start(|connection, number, name| match (connection, number) {
        (0, 5..) => Deed::Nothing,
        _ => healthy(name),
    });
    let world = World::watching_address(fake.address, &[Setting::DownAfterMs(1_000)]);
    world.wait_up(fake.address).await;
    world
        .wait("there is a second connection", || {
            (fake.connections() == 2).then_some(())
        })
        .await;
    let began_at = world.clock.now();
    let later = |seen: &Sighting| seen.ok_reply_at.since(began_at) > 1_500;
    world
        .wait_sighting("the second connection goes on", fake.address, later)
        .await;
    assert_eq!(world.downs(), 0);
    assert_eq!(fake.connections(), 2);
}

#[tokio::test]
async fn a_server_that_closes_every_connection_is_down_and_is_not_hammered() {
    let fake = FakeRedis::start(|_, _, _| Deed::Close);
    let world = World::watching_address(
        fake.address,
        &[Setting::DownAfterMs(60_000), Setting::RefusedAfterMs(500)],
    );
    world.wait_down(fake.address).await;
    assert!(fake.connections() < 30, "{} connections", fake.connections());
}

#[tokio::test]
async fn a_server_that_talks_unasked_is_no_instance() {
    let fake = FakeRedis::start(|_, _, _| Deed::Say("+OK\r\n+OK\r\n+OK\r\n".to_owned()));
    let world = World::watching_address(fake.address, &[Setting::DownAfterMs(500)]);
    world.wait_down(fake.address).await;
    assert_eq!(world.sighting(fake.address).unwrap().facts, None);
}

#[tokio::test]
async fn loading_is_up_and_busy_is_not() {
    for (answer, is_up) in [
        ("-LOADING Redis is loading", true),
        ("-MASTERDOWN Link", true),
        ("-BUSY script", false),
    ] {
        let fake = FakeRedis::start(move |_, _, name| match name {
            "PING" => Deed::Say(format!("{answer}\r\n")),
            _ => healthy(name),
        });
        let world = World::watching_address(fake.address, &[Setting::DownAfterMs(300)]);
        let judged = |seen: &Sighting| seen.verdict != Verdict::Unknown;
        let seen = world.wait_sighting("it is judged", fake.address, judged).await;
        assert_eq!(seen.verdict == Verdict::Up, is_up, "{answer}");
        assert_eq!(format!("-{}", seen.error), answer);
    }
}

#[tokio::test]
async fn the_end_of_loading_is_seen_soon() {
    let infos = AtomicUsize::new(0);
    let fake = FakeRedis::start(move |_, _, name| match name {
        // The first one is asked for at once, the second because nothing was known.
        "INFO" => {
            let loading = u8::from(infos.fetch_add(1, Ordering::SeqCst) < 2);
            let text = format!("run_id:aa\r\nloading:{loading}\r\nrole:master\r\n");
            Deed::Say(format!("${}\r\n{text}\r\n", text.len()))
        }
        _ => healthy(name),
    });
    let world = World::watching_address(fake.address, &[]);
    world.wait_facts(fake.address, |facts| facts.loading).await;
    let since = world.clock.now();
    world.wait_facts(fake.address, |facts| !facts.loading).await;
    let took_ms = world.clock.now().since(since);
    assert!(
        took_ms < 6_000,
        "took {took_ms} ms: the next INFO would have come after ten seconds"
    );
}

#[tokio::test]
async fn a_node_that_stood_still_does_not_judge_by_that_time() {
    if redis_is_missing() {
        return;
    }
    let server = Server::start(&[]).await;
    let world = World::watching(&server, &[Setting::DownAfterMs(1_500)]);
    world.wait_up(server.address).await;
    server.freeze();
    world.stall(std::time::Duration::from_millis(2_000));
    world
        .wait_event("+tilt", |kind| matches!(kind, EventKind::Tilt { entered: true }))
        .await;
    server.thaw();
    world
        .wait_event("-tilt", |kind| matches!(kind, EventKind::Tilt { entered: false }))
        .await;
    assert_eq!(world.downs(), 0);
    world.wait_up(server.address).await;
}

async fn clients(server: &Server) -> String {
    match server.call(["CLIENT", "LIST"]).await {
        Answer::Bulk(text) => String::from_utf8_lossy(&text).into_owned(),
        other => panic!("{other:?}"),
    }
}
