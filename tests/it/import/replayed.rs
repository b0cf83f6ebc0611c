//! Plans carried out on the real state machine: what was done is not done again.

use bytes::{Bytes, BytesMut};
use cfgserver::import::{Deed, Elsewhere, Plan, Present, Source, Wish, export, parse_conf};
use cfgserver::model::Mode;
use cfgserver::resp::{AnswerDecoder, AnswerLimits, Reply, Request};
use proptest::prelude::*;

use crate::transcripts::world::World;

fn ask(world: &mut World, words: &[&str]) -> Reply {
    let words = words.iter().map(|word| Bytes::copy_from_slice(word.as_bytes()));
    world.request(&Request(words.collect()));
    let mut bytes: BytesMut = world.take_output();
    AnswerDecoder::new(AnswerLimits::PEER)
        .decode(&mut bytes)
        .unwrap()
        .unwrap()
}

fn present(world: &mut World) -> Present {
    let info = ask(world, &["INFO", "raft"]);
    // A world has no cluster id of its own.
    let Reply::Bulk(info) = info else { panic!("{info:?}") };
    let info = String::from_utf8_lossy(&info).replace("cluster_id:\r\n", "cluster_id:c1\r\n");
    let groups = ask(world, &["CFG", "GROUPS"]);
    Present::read(&Reply::bulk(info), &groups).unwrap()
}

fn plan(world: &mut World, source: &Source, wish: &Wish) -> Plan {
    Plan::new(source, &present(world), wish)
}

fn carry_out(world: &mut World, plan: &Plan) {
    for group in &plan.groups {
        for request in group.requests() {
            let words: Vec<&str> = request.iter().map(String::as_str).collect();
            assert_eq!(ask(world, &words), Reply::OK, "{words:?}");
        }
    }
}

fn world() -> World {
    let mut world = World::new();
    world.change("nodes 3");
    world
}

const FILE: &str = "\
sentinel monitor orders-1 10.0.1.1 6379 2
sentinel down-after-milliseconds orders-1 5000
sentinel auth-pass orders-1 \"in \\\"secret\\\"\"
sentinel auth-user orders-1 \"some body\"
sentinel monitor sessions 10.0.2.1 6380 5
sentinel parallel-syncs sessions 3
sentinel known-replica sessions 10.0.2.2 6380
";

#[test]
fn a_plan_that_was_carried_out_plans_nothing_in_either_mode() {
    let source = parse_conf(FILE.as_bytes()).unwrap();
    let mut world = world();
    for mode in [None, Some(Mode::Manage), Some(Mode::Observe)] {
        let wish = Wish {
            mode,
            ..Wish::default()
        };
        let first = plan(&mut world, &source, &wish);
        assert!(!first.is_done());
        carry_out(&mut world, &first);
        let second = plan(&mut world, &source, &wish);
        assert!(second.is_done(), "{}", second.to_text());
    }
    let of_modes = Plan::of_modes(&present(&mut world), Mode::Manage, &Wish::default());
    carry_out(&mut world, &of_modes);
    assert!(Plan::of_modes(&present(&mut world), Mode::Manage, &Wish::default()).is_done());
}

#[test]
fn what_was_interrupted_is_completed_by_the_next_run() {
    let source = parse_conf(FILE.as_bytes()).unwrap();
    let mut world = world();
    let mut first = plan(&mut world, &source, &Wish::default());
    first.groups.truncate(1);
    carry_out(&mut world, &first);
    let second = plan(&mut world, &source, &Wish::default());
    assert_eq!(second.groups[0].deed, Deed::Nothing);
    assert!(matches!(second.groups[1].deed, Deed::Monitor { .. }));
    carry_out(&mut world, &second);
    // A request whose answer was lost is sent again.
    carry_out(&mut world, &second);
    assert!(plan(&mut world, &source, &Wish::default()).is_done());
}

#[test]
fn a_group_that_moved_in_the_cluster_is_refused_and_replaced_when_asked() {
    let source = parse_conf(FILE.as_bytes()).unwrap();
    let mut world = world();
    let managing = Wish {
        mode: Some(Mode::Manage),
        ..Wish::default()
    };
    let first = plan(&mut world, &source, &managing);
    carry_out(&mut world, &first);
    world.change("replica sessions 10.0.2.2:6380");
    world.change("switch sessions 10.0.2.2:6380");
    let moved = plan(&mut world, &source, &Wish::default());
    assert!(matches!(&moved.groups[1].deed, Deed::Refused(why) if why.contains("a replica there")));
    let wish = Wish {
        elsewhere: Elsewhere::Replace,
        ..Wish::default()
    };
    let replacing = plan(&mut world, &source, &wish);
    assert!(matches!(replacing.groups[1].deed, Deed::Replace { .. }));
    carry_out(&mut world, &replacing);
    assert!(plan(&mut world, &source, &wish).is_done());
}

#[test]
fn an_export_names_everything_but_passwords_and_imports_to_nothing() {
    let source = parse_conf(FILE.as_bytes()).unwrap();
    let mut world = world();
    let first = plan(&mut world, &source, &Wish::default());
    carry_out(&mut world, &first);
    world.change("replica orders-1 10.0.1.2:6379");
    let text = export(&present(&mut world));
    let expected = "\
# Groups of a cfgserver cluster, for redis-sentinel. Add port, dir and whatever else the Sentinel needs.

sentinel monitor orders-1 10.0.1.1 6379 2
sentinel down-after-milliseconds orders-1 5000
sentinel auth-user orders-1 \"some body\"
# sentinel auth-pass orders-1 ... (the cluster has one, and does not tell it)
sentinel known-replica orders-1 10.0.1.2 6379

sentinel monitor sessions 10.0.2.1 6380 2
sentinel parallel-syncs sessions 3
";
    assert_eq!(text, expected);
    let again = parse_conf(text.as_bytes()).unwrap();
    let nothing = plan(&mut world, &again, &Wish::default());
    assert!(nothing.is_done(), "{}", nothing.to_text());
}

/// A file that Sentinel would write.
fn any_file() -> impl Strategy<Value = String> {
    let group = (
        "[a-z]([!-+]|[--~]){0,6}",
        1_u32..9,
        prop::option::of(1_u64..100_000),
        prop::option::of(1_u32..9),
        prop::option::of("[ -~]{1,12}"),
        prop::option::of("[ -~]{1,12}"),
        any::<bool>(),
    );
    prop::collection::vec(group, 1..6).prop_map(|groups| {
        let mut text = String::new();
        for (at, (name, quorum, down, syncs, user, password, six)) in (1..).zip(groups) {
            let quoted = |word: &str| format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""));
            let name = quoted(&format!("{name}{at}"));
            let ip = if six {
                format!("fd00::{at}")
            } else {
                format!("10.0.0.{at}")
            };
            text.push_str(&format!("sentinel monitor {name} {ip} 6379 {quorum}\n"));
            if let Some(down) = down {
                text.push_str(&format!("sentinel down-after-milliseconds {name} {down}\n"));
            }
            if let Some(syncs) = syncs {
                text.push_str(&format!("sentinel parallel-syncs {name} {syncs}\n"));
            }
            for (option, value) in [("auth-user", user), ("auth-pass", password)] {
                if let Some(value) = value {
                    text.push_str(&format!("sentinel {option} {name} {}\n", quoted(&value)));
                }
            }
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn whatever_a_sentinel_writes_is_done_once_and_comes_back(text in any_file()) {
        let source = parse_conf(text.as_bytes()).unwrap();
        let mut world = world();
        let first = plan(&mut world, &source, &Wish::default());
        prop_assert!(!first.is_refused(), "{}", first.to_text());
        carry_out(&mut world, &first);
        let second = plan(&mut world, &source, &Wish::default());
        prop_assert!(second.is_done(), "{}", second.to_text());
        let exported = export(&present(&mut world));
        let back = parse_conf(exported.as_bytes()).unwrap();
        let third = plan(&mut world, &back, &Wish::default());
        prop_assert!(third.is_done() && third.groups.len() == first.groups.len(), "{}", third.to_text());
    }
}
