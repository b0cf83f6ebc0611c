//! All is well: every node answers and agrees, every group is whole, clients and operators work.

use std::time::Duration;

use crate::moment::{ms, within};
use crate::operator::Ledger;
use crate::register::Lost;
use crate::scene::Scene;
use crate::view::View;
use crate::watch::Watch;

/// Long after everything should be well again, also on a machine that does other things.
const WELL: Duration = Duration::from_secs(120);
const AGREED: Duration = Duration::from_secs(60);

/// Waits until all is well after `healed`; answers when that was, or what still is not.
pub(crate) fn wait(scene: &mut Scene, watch: &Watch, healed: u64) -> Result<u64, String> {
    let mut complaint = String::new();
    let well = within(WELL, || {
        match hosts_complaint(scene).or_else(|| clients_complaint(watch, healed)) {
            Some(text) => {
                complaint = text;
                None
            }
            None => Some(ms()),
        }
    });
    well.ok_or(complaint)
}

fn hosts_complaint(scene: &mut Scene) -> Option<String> {
    let groups = scene.group_names();
    let mut views = Vec::new();
    for node in &mut scene.nodes {
        if !node.is_running() {
            return Some(format!("node {} does not run", node.id));
        }
        let Some(view) = View::of(node, &groups) else {
            return Some(format!("node {} does not answer", node.id));
        };
        if !view.ready || view.leader == 0 {
            return Some(format!("node {} is not ready", node.id));
        }
        views.push((node.id, view));
    }
    let first = &views.first()?.1;
    for group in &scene.groups {
        for (id, view) in &views {
            if view.leader != first.leader || view.primary(&group.name) != first.primary(&group.name) {
                return Some(format!("node {id} differs about {} or the leader", group.name));
            }
            if let Some(text) = view.complaint(&group.name, group.members.len()) {
                return Some(format!("node {id}: {text}"));
            }
        }
        let Some(primary) = first.primary(&group.name) else {
            return Some(format!("{}: no primary", group.name));
        };
        for member in &group.members {
            let ip = member.host.ip;
            let is_right = if ip == primary {
                member.is_primary()
            } else {
                member.follows(primary)
            };
            if !is_right {
                return Some(format!("{} has the wrong role", member.host.name));
            }
        }
    }
    None
}

fn clients_complaint(watch: &Watch, since: u64) -> Option<String> {
    for group in &watch.groups {
        if !group.book.acknowledged_since(since) {
            return Some(format!("the writer of {} has not written", group.name));
        }
    }
    let idle = watch.desks.iter().any(|desk| !desk.acknowledged_since(since));
    idle.then(|| "an operator has not written".to_owned())
}

/// What agreement showed.
pub(crate) struct Agreement {
    pub(crate) took_ms: u64,
    pub(crate) lost: Vec<Lost>,
    /// Why there is none.
    pub(crate) differ: Option<String>,
}

/// Operators wait; all nodes that are ready, at least a majority, must tell the same state, and in it everything
/// that was acknowledged.
pub(crate) fn agree(scene: &Scene, watch: &Watch) -> Agreement {
    let mut ledgers: Vec<_> = watch.desks.iter().map(|desk| desk.hold()).collect();
    let began = ms();
    let groups = scene.group_names();
    let mut differ = String::new();
    let agreed = within(AGREED, || {
        let views = scene.nodes.iter().filter_map(|node| View::of(node, &groups));
        let views: Vec<View> = views.filter(|view| view.ready).collect();
        match difference(&views, scene.nodes.len()) {
            Some(text) => {
                differ = text;
                None
            }
            None => views.into_iter().next(),
        }
    });
    let lost = agreed.as_ref().map(|view| {
        let compare = |ledger: &mut Ledger| ledger.compare(&view.masters);
        ledgers.iter_mut().flat_map(|ledger| compare(ledger)).collect()
    });
    Agreement {
        took_ms: ms() - began,
        lost: lost.unwrap_or_default(),
        differ: agreed.is_none().then_some(differ),
    }
}

fn difference(views: &[View], nodes: usize) -> Option<String> {
    if views.len() * 2 <= nodes {
        return Some(format!("only {} nodes are ready", views.len()));
    }
    let (first, others) = views.split_first()?;
    let other = others.iter().find(|other| {
        (&other.revision, &other.applied, &other.state) != (&first.revision, &first.applied, &first.state)
    })?;
    let lines = first.state.lines().zip(other.state.lines());
    let lines: Vec<String> = lines
        .filter(|(one, two)| one != two)
        .map(|(one, two)| format!("{one} / {two}"))
        .collect();
    Some(format!(
        "revision {} / {}, applied {} / {}; {}",
        first.revision,
        other.revision,
        first.applied,
        other.applied,
        lines.join("; ")
    ))
}
