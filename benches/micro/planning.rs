//! The planner over a large fleet, and the state machine.

use std::hint::black_box;

use cfgserver::detect::Tally;
use cfgserver::failover::{Memory, Scene, plan};
use cfgserver::machine::{State, apply};
use criterion::{BatchSize, Criterion, Throughput};

use crate::fleet::{Fleet, NOW, WALL, monitor};

const GROUPS: u32 = 10_000;
/// Entries that are applied together when many come at once.
const BATCH: u32 = 64;

pub(crate) fn benches(criterion: &mut Criterion) {
    let fleet = Fleet::well(GROUPS);
    let mut group = criterion.benchmark_group("plan");
    group.sample_size(10).throughput(Throughput::Elements(GROUPS.into()));
    group.bench_function("10,000 groups that are well", |bencher| {
        bencher.iter(|| {
            for group in fleet.state.groups() {
                let scene = Scene {
                    group,
                    sightings: &fleet.sightings[&group.id],
                    tally: &Tally::default(),
                    elsewhere: fleet.state.as_ref(),
                    node: 1,
                    wall: WALL,
                };
                let mut memory = Memory::new(NOW);
                memory.observe(&scene, NOW);
                black_box(plan(&scene, &memory, NOW));
            }
        });
    });
    group.finish();

    let mut group = criterion.benchmark_group("apply");
    group.throughput(Throughput::Elements(BATCH.into()));
    let entries: Vec<_> = (GROUPS..GROUPS + BATCH).map(monitor).collect();
    for (name, state) in [("nothing", State::default()), ("10,000 groups", (*fleet.state).clone())] {
        group.bench_function(format!("64 MONITOR to {name}"), |bencher| {
            bencher.iter_batched_ref(
                || state.clone(),
                |state| {
                    for entry in &entries {
                        black_box(apply(state, entry));
                    }
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}
