//! Many kill -9 of random nodes while operators write: nothing that was acknowledged may be gone.

use std::time::Duration;

use crate::judge::take_tally;
use crate::moment::{last, ms, within};
use crate::operator::Tally;
use crate::report::KillsReport;
use crate::scene::Scene;
use crate::watch::Watch;
use crate::well;

/// Operators are at work when the next kill comes: so many writes of theirs were acknowledged since the last.
const WRITES: u64 = 10;
/// Long after operators should be served again.
const AGAIN: Duration = Duration::from_secs(60);

pub(crate) fn run(scene: &mut Scene, watch: &Watch, kills: u64) -> KillsReport {
    let mut report = KillsReport {
        began_ms: ms(),
        ..KillsReport::default()
    };
    take_tally(watch);
    while report.kills < kills && report.violations.is_empty() {
        let at_work = within(AGAIN, || (tally(watch).acknowledged >= WRITES).then_some(()));
        report.operator.add(take_tally(watch));
        if at_work.is_none() {
            report
                .violations
                .push(format!("operators are hardly served before kill {}", report.kills));
        }
        let victims = victims(scene);
        let mut struck = ms();
        for node in &victims {
            scene.kill_node(*node);
        }
        report.kills += victims.len() as u64;
        last(scene.chance.within(0, 800));
        let is_majority = victims.len() * 2 < scene.nodes.len();
        if !is_majority {
            struck = ms();
        }
        for node in &victims {
            scene.restart_node(*node);
        }
        let Some(at) = within(AGAIN, || acknowledged(watch, struck)) else {
            report
                .violations
                .push(format!("no operator is served after kill {}", report.kills));
            break;
        };
        report.again_after_ms.push(at - struck);
        let agreement = well::agree(scene, watch);
        if let Some(text) = agreement.differ {
            report
                .violations
                .push(format!("after kill {}, nodes do not agree: {text}", report.kills));
        }
        for lost in agreement.lost {
            report
                .violations
                .push(format!("after kill {}, acknowledged and gone: {lost:?}", report.kills));
            report.operator_lost.push(lost);
        }
    }
    report.ended_ms = ms();
    if let Err(complaint) = well::wait(scene, watch, report.ended_ms) {
        report
            .violations
            .push(format!("not all was well after the kills: {complaint}"));
    }
    report.operator.add(take_tally(watch));
    report
}

fn tally(watch: &Watch) -> Tally {
    let mut tally = Tally::default();
    watch.desks.iter().for_each(|desk| tally.add(desk.hold().tally()));
    tally
}

/// Half of the time the leader, else any; now and then two at once.
fn victims(scene: &mut Scene) -> Vec<usize> {
    let first = if scene.chance.permille(500) {
        scene.leader()
    } else {
        scene.chance.index(scene.nodes.len())
    };
    let mut victims = vec![first];
    if scene.chance.permille(200) {
        victims.push(scene.other_node(first));
    }
    victims
}

fn acknowledged(watch: &Watch, since: u64) -> Option<u64> {
    watch.desks.iter().any(|desk| desk.acknowledged_since(since)).then(ms)
}
