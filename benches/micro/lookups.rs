//! Requests to effects, and effects to bytes.

use std::hint::black_box;
use std::sync::Arc;

use bytes::BytesMut;
use cfgserver::model::Instant;
use cfgserver::requests::{Dials, Effect, Face, NoFiles, NodeStatus, Session, Stats, View, dispatch};
use cfgserver::resp::{Protocol, Request, encode, split_line};
use criterion::Criterion;

use crate::fleet::{Fleet, NOW, WALL};

pub(crate) fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("dispatch and encode");
    let fleet = Fleet::well(1_000);
    let node = NodeStatus {
        ready: true,
        ..NodeStatus::default()
    };
    let stats = Stats::default();
    let view = View {
        state: fleet.state.clone(),
        sightings: &fleet,
        node: &node,
        clients: &fleet,
        dials: Arc::new(Dials::default()),
        scripts: Arc::default(),
        files: &NoFiles,
        stats: &stats,
        now: NOW,
        wall: WALL,
    };
    let mut session = Session::new(Face::Open, 1, String::new(), String::new(), Instant(0));
    let mut out = BytesMut::new();
    for line in [
        "PING",
        "SENTINEL GET-MASTER-ADDR-BY-NAME fleet-00500",
        "SENTINEL REPLICAS fleet-00500",
        "SENTINEL MASTERS",
        "INFO sentinel",
    ] {
        let request = Request(split_line(line.as_bytes()).unwrap());
        group.bench_function(format!("{line}, of 1,000 groups"), |bencher| {
            bencher.iter(|| {
                let Effect::Reply(reply) = dispatch(&mut session, &view, black_box(&request)) else {
                    panic!("a question")
                };
                out.clear();
                encode(&reply, Protocol::Resp2, &mut out);
            });
        });
    }
    group.finish();
}
