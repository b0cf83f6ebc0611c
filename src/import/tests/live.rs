//! The replies of Sentinels, nodes and strangers.

use super::*;
use crate::resp::Reply;

fn map(pairs: &[(&str, &str)]) -> Reply {
    Reply::Array(
        pairs
            .iter()
            .flat_map(|(name, value)| [Reply::bulk(name), Reply::bulk(value)])
            .collect(),
    )
}

#[test]
fn a_live_sentinel_is_taken_over_without_what_it_does_not_tell() {
    let master = [
        ("name", "a"),
        ("ip", "10.0.0.1"),
        ("port", "6379"),
        ("flags", "s_down,master,failover_in_progress"),
        ("down-after-milliseconds", "5000"),
        ("quorum", "2"),
        ("failover-timeout", "60000"),
        ("parallel-syncs", "1"),
        ("notification-script", "/bin/true"),
    ];
    let mut live = Live::read(&Reply::Array(vec![map(&master)])).unwrap();
    let replica = map(&[("ip", "10.0.0.2"), ("port", "6379")]);
    live.groups[0]
        .complete(&Reply::Array(vec![replica]), &Reply::Array(vec![map(&[]), map(&[])]))
        .unwrap();
    let text = Plan::new(&live.into_source(), &empty(3), &Wish::default()).to_text();
    for part in [
        "+ a: monitor 10.0.0.1:6379, quorum 2\n    mode observe, down-after-milliseconds 5000, failover-timeout 60000, parallel-syncs 1\n",
        "replicas known there: 10.0.0.2:6379\n",
        "Sentinels that have it: 3;",
        "note: auth-user, auth-pass and rename-command cannot be read from a live Sentinel",
        "note: notification-script is not taken over: the nodes were started without",
        "note: a failover is in progress there",
        "note: its primary is down there",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

#[test]
fn a_stranger_is_no_sentinel_and_no_node() {
    for reply in [
        Reply::error("ERR unknown command"),
        Reply::Null,
        Reply::Array(vec![Reply::Null]),
        Reply::Array(vec![map(&[("name", "a")])]),
        Reply::Array(vec![map(&[
            ("name", "a b"),
            ("ip", "10.0.0.1"),
            ("port", "1"),
            ("quorum", "1"),
        ])]),
    ] {
        assert!(Live::read(&reply).is_err(), "{reply:?}");
        assert!(
            Present::read(&Reply::bulk("cluster_id:x\r\n"), &reply).is_err(),
            "{reply:?}"
        );
    }
    let no_quorum = map(&[("name", "a"), ("ip", "10.0.0.1"), ("port", "1"), ("quorum", "0")]);
    assert!(Live::read(&Reply::Array(vec![no_quorum])).is_err());
    let redis = Present::read(&Reply::bulk("redis_version:7"), &Reply::Array(Vec::new())).unwrap_err();
    assert_eq!(redis.to_string(), "it is no cfgserver node: its INFO names no cluster");
    let waiting = Present::read(&Reply::bulk("cluster_id:\r\n"), &Reply::Array(Vec::new())).unwrap_err();
    assert_eq!(waiting.to_string(), "it is not ready: it belongs to no cluster yet");
}
