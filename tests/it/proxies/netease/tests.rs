//! The rules of NetEase's proxy, one by one. What was tried on the real one is played from `captures/` besides.

use super::super::double::outcome;
use super::*;

const CONFIRMED: &str = "*3\r\n$10\r\npsubscribe\r\n$14\r\n+switch-master\r\n:1\r\n";
const ROLES: [(&str, bool); 2] = [("shard-a", true), ("shard-b", true)];

fn pool() -> Netease {
    let mut pool = Netease::new(&["shard-a", "shard-b"], 3, 500);
    pool.connected();
    pool
}

fn answer(host: &str, port: &str) -> String {
    format!("*2\r\n${}\r\n{host}\r\n${}\r\n{port}\r\n", host.len(), port.len())
}

fn masters(roles: &[(&str, bool)]) -> BTreeMap<String, bool> {
    roles
        .iter()
        .map(|(group, master)| ((*group).to_owned(), *master))
        .collect()
}

/// Looked up; the instances are asked for their roles.
fn asking() -> Netease {
    let mut pool = pool();
    let answers = answer("10.0.0.1", "6379") + &answer("10.0.0.2", "6379");
    let wanted = "shard-a:>10.0.0.1:6379 shard-b:>10.0.0.2:6379 roles";
    assert_eq!(outcome(&pool.received(answers.as_bytes())), wanted);
    pool
}

fn ready() -> Netease {
    let mut pool = asking();
    assert_eq!(outcome(&pool.roles(&masters(&ROLES))), "send");
    assert_eq!(outcome(&pool.received(CONFIRMED.as_bytes())), "");
    assert!(pool.ready());
    pool
}

fn message(payload: &str) -> String {
    let head = "*4\r\n$8\r\npmessage\r\n$14\r\n+switch-master\r\n$14\r\n+switch-master\r\n";
    format!("{head}${}\r\n{payload}\r\n", payload.len())
}

#[test]
fn groups_are_looked_up_in_one_write_sorted_by_length_and_bytes() {
    let mut pool = Netease::new(&["shard10", "b-1", "shard2", "a-1"], 1, 1000);
    let lookups = "*3\r\n$8\r\nsentinel\r\n$23\r\nget-master-addr-by-name\r\n$3\r\na-1\r\n\
                   *3\r\n$8\r\nsentinel\r\n$23\r\nget-master-addr-by-name\r\n$3\r\nb-1\r\n\
                   *3\r\n$8\r\nsentinel\r\n$23\r\nget-master-addr-by-name\r\n$6\r\nshard2\r\n\
                   *3\r\n$8\r\nsentinel\r\n$23\r\nget-master-addr-by-name\r\n$7\r\nshard10\r\n";
    assert_eq!(pool.connected(), [Action::Send(lookups.as_bytes().to_vec())]);
}

#[test]
fn answers_belong_to_groups_by_their_order() {
    let mut pool = pool();
    let first = pool.received(answer("10.0.0.2", "6379").as_bytes());
    assert_eq!(outcome(&first), "shard-a:>10.0.0.2:6379");
    let second = pool.received(answer("10.0.0.1", "6379").as_bytes());
    assert_eq!(outcome(&second), "shard-b:>10.0.0.1:6379 roles");
}

#[test]
fn an_answer_has_five_line_ends() {
    let rows = [
        (
            "*3\r\n$8\r\n10.0.0.1\r\n$4\r\n6379\r\n$1\r\nx\r\n",
            "shard-a:>10.0.0.1:6379",
        ),
        ("*2\r\n$8\r\n10.0.0.1\r\n:6379\r\n", "close"),
        ("*2\r\n+10.0.0.1\r\n+6379\r\n", "close"),
        ("*-1\r\n", "close"),
        ("$-1\r\n", "close"),
        ("*0\r\n", "close"),
        ("-ERR No such master with that name\r\n", "close"),
        ("-LOADING x\r\n", "close"),
        ("+OK\r\n", "close"),
        ("_\r\n", "close"),
    ];
    for (reply, wanted) in rows {
        let mut pool = pool();
        assert_eq!(outcome(&pool.received(reply.as_bytes())), wanted, "{reply:?}");
        assert!(!pool.ready());
    }
}

#[test]
fn an_address_that_cannot_be_connected_to_is_noticed_after_the_last_answer() {
    let rows = [
        ("10.0.0.1", "0", "roles abort"),
        ("10.0.0.1", "65536", "roles abort"),
        ("", "6379", "roles abort"),
        ("no-such-host.invalid", "6379", "roles abort"),
        ("10.0.0.1", "abc", "roles close"),
        ("10.0.0.1", "", "roles close"),
        ("localhost", "6379", "roles"),
        ("::1", "6379", "roles"),
        // 32 characters with the port, which is cut to nothing.
        ("no-such-host.with-a-long-name.xy", "6379", "roles close"),
    ];
    for (host, port, wanted) in rows {
        let mut pool = pool();
        let answers = answer(host, port) + &answer("10.0.0.2", "6379");
        let got = outcome(&pool.received(answers.as_bytes()));
        let wanted = wanted.strip_prefix("roles ").unwrap_or(wanted);
        assert!(
            got.ends_with(&format!("shard-b:>10.0.0.2:6379 {wanted}")),
            "{host}:{port}: {got}"
        );
    }
}

#[test]
fn what_begins_like_the_current_address_is_taken_for_it() {
    let rows = [
        ("10.0.0.1:6379", "10.0.0.1:6379", ""),
        ("10.0.0.1:2110", "10.0.0.1:21101", ""),
        (
            "10.0.0.1:21101",
            "10.0.0.1:2110",
            "shard-a:10.0.0.1:21101>10.0.0.1:2110",
        ),
        (
            "a.name.that.is.very.long:21101",
            "a.name.that.is.very.long:21102",
            "differs",
        ),
        (
            "a.name.that.is.very.very.long:21101",
            "a.name.that.is.very.very.long:21102",
            "",
        ),
    ];
    for (current, next, wanted) in rows {
        let mut pool = pool();
        for (address, wanted) in [(current, None), (next, Some(wanted))] {
            let (host, port) = address.split_once(':').unwrap();
            let got = outcome(&pool.received(answer(host, port).as_bytes()));
            match wanted {
                Some("differs") => assert!(got.ends_with(next), "{got}"),
                Some(wanted) => assert_eq!(got, wanted, "{current} and {next}"),
                None => {}
            }
            pool.disconnected();
            pool.connected();
        }
    }
}

#[test]
fn nothing_may_come_while_the_roles_are_asked() {
    for early in [
        CONFIRMED.to_owned(),
        message("shard-a 10.0.0.1 6379 10.0.0.3 6379"),
        "+OK\r\n".to_owned(),
    ] {
        let mut pool = asking();
        assert_eq!(outcome(&pool.received(early.as_bytes())), "close", "{early:?}");
        assert_eq!(outcome(&pool.roles(&masters(&ROLES))), "", "the answers come too late");
    }
}

#[test]
fn one_instance_that_is_no_master_keeps_the_pool_closed_until_the_timer() {
    for roles in [&[("shard-a", true), ("shard-b", false)][..], &[("shard-a", true)], &[]] {
        let mut pool = asking();
        assert_eq!(outcome(&pool.roles(&masters(roles))), "");
        assert!(!pool.ready());
        assert_eq!(outcome(&pool.timer()), "close");
        assert_eq!((pool.retry_ms(), pool.sentinel()), (0, 1));
    }
}

#[test]
fn a_confirmation_begins_rightly_and_ends_with_1() {
    let rows = [
        (CONFIRMED.to_owned(), ""),
        (CONFIRMED.replace(":1", ":11"), ""),
        (CONFIRMED.replace(":1", ":2"), "close"),
        (CONFIRMED.replace(":1", ":10"), "close"),
        (CONFIRMED.replace("$10\r\npsubscribe", "$11\r\npsubscribeX"), ""),
        (CONFIRMED.replace("$14\r\n+switch-master", "$15\r\n+switch-masterX"), ""),
        (CONFIRMED.replace("psub", "PSUB"), "close"),
        (CONFIRMED.replace("$10\r\npsubscribe", "$9\r\nsubscribe"), "close"),
        (CONFIRMED.replace("$14\r\n+switch-master", "$1\r\n*"), "close"),
        (CONFIRMED.replace("*3", ">3"), "close"),
        ("-ERR nope\r\n".to_owned(), "close"),
        (message("shard-a 10.0.0.1 6379 10.0.0.3 6379"), "close"),
    ];
    for (reply, wanted) in rows {
        let mut first = asking();
        first.roles(&masters(&ROLES));
        assert_eq!(
            outcome(&first.received(reply.as_bytes())),
            wanted,
            "the first: {reply:?}"
        );
        assert_eq!(first.ready(), wanted.is_empty());
        let mut later = ready();
        assert_eq!(outcome(&later.timer()), "send");
        if !reply.contains("pmessage") {
            assert_eq!(
                outcome(&later.received(reply.as_bytes())),
                wanted,
                "a later one: {reply:?}"
            );
        }
    }
}

#[test]
fn a_message_has_the_pattern_the_channel_and_five_words() {
    let moved = "shard-a:10.0.0.1:6379>10.0.0.3:6379";
    let valid = message("shard-a 10.0.0.1 6379 10.0.0.3 6379");
    let rows = [
        (valid.clone(), moved),
        (valid.replacen("$14\r\n+switch-master", "$1\r\n*", 1), "close"),
        (
            valid.replacen("$14\r\n+switch-master", "$15\r\n+switch-masterX", 1),
            moved,
        ),
        (
            valid.replace("$14\r\n+switch-master\r\n$3", "$15\r\n+switch-masterX\r\n$3"),
            moved,
        ),
        (
            "*4\r\n$8\r\npmessage\r\n$14\r\n+switch-master\r\n$6\r\n+sdown\r\n$1\r\na\r\n".to_owned(),
            "close",
        ),
        (
            "*3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n$1\r\na\r\n".to_owned(),
            "close",
        ),
        ("+PONG\r\n".to_owned(), "close"),
        ("*0\r\n".to_owned(), "close"),
        ("garbage".to_owned(), "close"),
        (message(""), "close"),
        (message("shard-a 10.0.0.1 6379 10.0.0.3"), "close"),
        (message("other 1 1 1"), "close"),
        (message("shard-a  10.0.0.1 6379 10.0.0.3 6379"), "close"),
        (
            message("shard-a 10.0.0.1 6379 10.0.0.3 6379 x"),
            "shard-a:10.0.0.1:6379>10.0.0.3:6379 x",
        ),
        (
            message("shard-a 10.0.0.1 6379 10.0.0.3 6379 "),
            "shard-a:10.0.0.1:6379>10.0.0.3:6379 ",
        ),
        (
            message("shard-a 10.0.0.1 6379 ::1 6379"),
            "shard-a:10.0.0.1:6379>::1:6379",
        ),
        (
            message("shard-a 10.0.0.1 6379 no.invalid 6379"),
            "shard-a:10.0.0.1:6379>no.invalid:6379",
        ),
        (message("shard-a 10.0.0.1 6379 10.0.0.1 6379"), ""),
        (message("shard-a 10.0.0.1 6379 10.0.0.3 0"), "abort"),
        (message("other 10.0.0.1 6379 10.0.0.3 0"), ""),
        (message("shard 10.0.0.1 6379 10.0.0.3 6379"), ""),
        (message("shard-a 10.0.0.9 6379 10.0.0.3 6379"), "close"),
        (message("shard-a 10.0.0.1 63790 10.0.0.3 6379"), "close"),
        (message("shard-a10 10.0.0.9 6379 10.0.0.3 6379"), "close"),
        // A foreign group at our own address: nothing tells it from ours.
        (message("shard-a10 10.0.0.1 6379 10.0.0.3 6379"), moved),
    ];
    for (reply, wanted) in rows {
        let mut pool = ready();
        assert_eq!(outcome(&pool.received(reply.as_bytes())), wanted, "{reply:?}");
        assert_eq!(pool.ready(), !["close", "abort"].contains(&wanted), "{reply:?}");
    }
}

#[test]
fn nothing_that_came_after_a_bad_reply_is_handled() {
    let mut pool = ready();
    let both = format!("+PONG\r\n{}", message("shard-a 10.0.0.1 6379 10.0.0.3 6379"));
    assert_eq!(outcome(&pool.received(both.as_bytes())), "close");
    assert_eq!(pool.addresses()["shard-a"], "10.0.0.1:6379");
}

#[test]
fn the_initialisation_must_fit_in_a_heartbeat() {
    let mut silent = pool();
    assert_eq!(silent.timer_ms(), Some(500));
    assert_eq!(outcome(&silent.timer()), "close");
    let mut unconfirmed = asking();
    unconfirmed.roles(&masters(&ROLES));
    assert_eq!(outcome(&unconfirmed.timer()), "close");
    for pool in [&mut silent, &mut unconfirmed] {
        assert_eq!((pool.retry_ms(), pool.sentinel()), (0, 1), "the next one at once");
        assert_eq!(outcome(&pool.timer()), "");
    }
}

#[test]
fn heartbeats_repeat_the_subscription_and_ask_for_nothing_else() {
    let mut pool = ready();
    for _ in 0..3 {
        assert_eq!(pool.timer(), [Action::Send(SUBSCRIBE.to_vec())]);
        assert!(pool.ready(), "unanswered ones change nothing");
    }
    assert_eq!(outcome(&pool.unanswered()), "close");
    assert!(!pool.ready());
}

#[test]
fn each_loss_leads_to_the_next_sentinel_of_the_list_after_a_heartbeat() {
    let mut pool = ready();
    for next in [1, 2, 0, 1] {
        assert_eq!(outcome(&pool.disconnected()), "");
        assert_eq!((pool.sentinel(), pool.retry_ms(), pool.ready()), (next, 500, false));
    }
    let mut pool = ready();
    assert_eq!(outcome(&pool.received(b"+PONG\r\n")), "close");
    assert_eq!((pool.sentinel(), pool.retry_ms()), (1, 500));
    assert_eq!(outcome(&pool.unanswered()), "", "it is closed already");
    assert_eq!(pool.addresses()["shard-b"], "10.0.0.2:6379", "addresses stay");
}

#[test]
fn after_an_abort_nothing_is_left() {
    let mut pool = ready();
    assert_eq!(
        outcome(&pool.received(message("shard-a 10.0.0.1 6379 10.0.0.3 0").as_bytes())),
        "abort"
    );
    assert!(!pool.ready());
    assert_eq!(
        (pool.connected(), pool.timer(), pool.disconnected()),
        (vec![], vec![], vec![])
    );
    assert_eq!(pool.received(CONFIRMED.as_bytes()), []);
}
