//! Finds the links of other leaders in CLIENT LIST.

use crate::model::Term;
use crate::redis::{Answer, LeaderName};

/// The connection ids of the links that another leader left: one of a lower term, or another node of the same term,
/// which belongs to another cluster. Links of a higher term are not ours to close: the fence will stop us.
pub fn older_links(list: &Answer, own: &LeaderName) -> Vec<u64> {
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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use crate::model::MyId;

    fn older(text: &str) -> Vec<u64> {
        let own = LeaderName {
            node: MyId("bbbbbbbbbb".into()),
            term: 7,
        };
        older_links(&Answer::bulk(text), &own)
    }

    #[test]
    fn links_of_lower_terms_and_of_others_in_this_term_are_older() {
        let list = "id=3 addr=10.0.0.9:1 name=cfgserver-aaaaaaaa-leader-6 age=1 cmd=info\n\
                    id=4 addr=10.0.0.9:2 name=cfgserver-bbbbbbbb-leader-6 age=1\n\
                    id=5 addr=10.0.0.9:3 name=cfgserver-cccccccc-leader-7 age=1\n";
        assert_eq!(older(list), [3, 4, 5]);
    }

    #[test]
    fn own_links_newer_ones_and_those_of_strangers_are_left_alone() {
        let list = "id=3 name=cfgserver-bbbbbbbb-leader-7\nid=4 name=cfgserver-aaaaaaaa-leader-8\n\
                    id=5 name=cfgserver-aaaaaaaa-probe\nid=6 name=\nid=7 name=sentinel-aaaaaaaa-cmd\n\
                    id=8 name=cfgserver-aaaaaaaa-leader-\nid=9 name=cfgserver-aaaaaaaa-leader-x6\n\
                    name=cfgserver-aaaaaaaa-leader-6\nid=x name=cfgserver-aaaaaaaa-leader-6\n\n\n";
        assert_eq!(older(list), Vec::<u64>::new());
    }

    #[test]
    fn a_list_that_was_refused_has_no_links() {
        let own = LeaderName {
            node: MyId::default(),
            term: 7,
        };
        assert!(older_links(&Answer::error("ERR unknown command"), &own).is_empty());
    }
}
