//! Finds the links of other leaders in CLIENT LIST.

use crate::model::Term;
use crate::redis::{Answer, LeaderName};

/// The connection ids of the links that another leader left: one of a lower term, or another node of the same term,
/// which belongs to another cluster. Links of a higher term are not ours to close: the fence will stop us.
pub(super) fn older_links(list: &Answer, own: &LeaderName) -> Vec<u64> {
    let Answer::Bulk(text) = list else { return Vec::new() };
    let lines = text.split(|byte| *byte == b'\n');
    lines
        .filter_map(|line| older_link(std::str::from_utf8(line).ok()?, own))
        .collect()
}

fn older_link(line: &str, own: &LeaderName) -> Option<u64> {
    let field = |key: &str| {
        line.split(' ')
            .find_map(|part| part.strip_prefix(key)?.strip_prefix('='))
    };
    let (node, term) = field("name")?.strip_prefix("cfgserver-")?.split_once("-leader-")?;
    let term: Term = term.parse().ok()?;
    let older = term < own.term || (term == own.term && node != own.node_part());
    older.then(|| field("id")?.parse().ok()).flatten()
}
