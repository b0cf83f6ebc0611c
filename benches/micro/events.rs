//! One event to the queues of all subscribers.

use std::sync::Arc;

use cfgserver::board::Board;
use cfgserver::model::{Event, EventKind};
use cfgserver::pubsub::Hub;
use cfgserver::requests::NodeStatus;
use criterion::{Criterion, Throughput};

pub(crate) fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fan-out");
    for subscribers in [100, 1_000, 5_000] {
        let hub = Hub::new(Arc::new(Board::new(NodeStatus::default())));
        let mut subscriptions: Vec<_> = (0..subscribers).map(|_| hub.subscribe()).collect();
        group.throughput(Throughput::Elements(subscribers));
        group.bench_function(format!("{subscribers} subscribers"), |bencher| {
            bencher.iter(|| {
                hub.publish_local(Event {
                    revision: None,
                    group: None,
                    kind: EventKind::Tilt { entered: true },
                });
                for subscription in &mut subscriptions {
                    assert!(subscription.try_next(0).is_some());
                }
            });
        });
    }
    group.finish();
}
