//! Micro-benchmarks of what a node does often: `cargo bench`, or `cargo bench --bench micro -- NAME`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod codec;
mod events;
mod fleet;
mod lookups;
mod planning;

use std::time::Duration;

use criterion::Criterion;

fn main() {
    let mut criterion = Criterion::default()
        .without_plots()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    codec::benches(&mut criterion);
    lookups::benches(&mut criterion);
    planning::benches(&mut criterion);
    events::benches(&mut criterion);
    criterion.final_summary();
}
