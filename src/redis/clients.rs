//! Finds the links of leaders that nobody uses any more in CLIENT LIST.

use crate::model::Term;
use crate::redis::{Answer, LeaderName};

/// The connection ids of the links that may carry an order of the past: those of another leader (one of a lower term,
/// or another node of the same term, which belongs to another cluster), and those that this leader has given up, whose
/// order may still be on its way. Links of a higher term are not ours to close: the fence will stop us.
///
/// The link on which the list was asked for is the newest that has `own` name: ids grow.
pub fn links_of_the_past(list: &Answer, own: &LeaderName) -> Vec<u64> {
    let Answer::Bulk(text) = list else { return Vec::new() };
    let lines = text.split(|byte| *byte == b'\n');
    let named: Vec<Named<'_>> = lines
        .filter_map(|line| Named::read(std::str::from_utf8(line).ok()?))
        .collect();
    let own_place = own.place_part();
    let is_own = |link: &Named<'_>| link.term == own.term && link.place == own_place;
    let asking = named.iter().filter(|link| is_own(link)).map(|link| link.id).max();
    let of_the_past = |link: &&Named<'_>| {
        if is_own(link) {
            return Some(link.id) < asking;
        }
        // Where one instance is known by two addresses, this leader has two links to it.
        let of_this_leader = link.node() == own.node_part();
        link.term < own.term || (link.term == own.term && !of_this_leader)
    };
    named.iter().filter(of_the_past).map(|link| link.id).collect()
}

/// A connection with the name of a leader's link.
struct Named<'a> {
    id: u64,
    place: &'a str,
    term: Term,
}

impl<'a> Named<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let field = |key: &str| {
            line.split(' ')
                .find_map(|part| part.strip_prefix(key)?.strip_prefix('='))
        };
        let (place, term) = field("name")?.strip_prefix("cfgserver-")?.split_once("-leader-")?;
        Some(Self {
            id: field("id")?.parse().ok()?,
            place,
            term: term.parse().ok()?,
        })
    }

    /// The part that names the node; nodes of before had no other.
    fn node(&self) -> &'a str {
        self.place.split_once('/').map_or(self.place, |(node, _)| node)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use crate::model::MyId;

    fn own() -> LeaderName {
        LeaderName {
            node: MyId("bbbbbbbbbb".into()),
            term: 7,
            instance: "10.0.0.1:6379".parse().unwrap(),
        }
    }

    fn past(text: &str) -> Vec<u64> {
        links_of_the_past(&Answer::bulk(text), &own())
    }

    #[test]
    fn links_of_lower_terms_and_of_others_in_this_term_are_older() {
        let list = "id=3 addr=10.0.0.9:1 name=cfgserver-aaaaaaaa/10.0.0.1:6379-leader-6 age=1 cmd=info\n\
                    id=4 addr=10.0.0.9:2 name=cfgserver-bbbbbbbb/10.0.0.1:6379-leader-6 age=1\n\
                    id=5 addr=10.0.0.9:3 name=cfgserver-cccccccc/10.0.0.1:6379-leader-7 age=1\n\
                    id=6 name=cfgserver-aaaaaaaa-leader-6\n";
        assert_eq!(past(list), [3, 4, 5, 6]);
    }

    #[test]
    fn newer_links_and_those_of_strangers_are_left_alone() {
        let list = "id=3 name=cfgserver-bbbbbbbb/10.0.0.1:6379-leader-7\nid=4 name=cfgserver-aaaaaaaa-leader-8\n\
                    id=5 name=cfgserver-aaaaaaaa-probe\nid=6 name=\nid=7 name=sentinel-aaaaaaaa-cmd\n\
                    id=8 name=cfgserver-aaaaaaaa-leader-\nid=9 name=cfgserver-aaaaaaaa-leader-x6\n\
                    name=cfgserver-aaaaaaaa-leader-6\nid=x name=cfgserver-aaaaaaaa-leader-6\n\n\n";
        assert_eq!(past(list), Vec::<u64>::new());
    }

    /// Found by the simulator, seed 3239899: an order that its leader had given up was held on its way, and landed on a
    /// candidate that the same leader had promoted meanwhile.
    #[test]
    fn links_that_this_leader_has_given_up_are_of_the_past() {
        let name = "name=cfgserver-bbbbbbbb/10.0.0.1:6379-leader-7";
        let list = format!("id=3 {name}\nid=10 {name}\nid=9 {name}\n");
        assert_eq!(past(&list), [3, 9]);
    }

    #[test]
    fn the_link_to_another_address_of_the_same_instance_is_left_alone() {
        let list = "id=3 name=cfgserver-bbbbbbbb/10.9.9.9:6379-leader-7\n\
                    id=4 name=cfgserver-bbbbbbbb/10.0.0.1:6379-leader-7\n";
        assert_eq!(past(list), Vec::<u64>::new());
    }

    #[test]
    fn a_list_that_was_refused_has_no_links() {
        assert!(links_of_the_past(&Answer::error("ERR unknown command"), &own()).is_empty());
    }
}
