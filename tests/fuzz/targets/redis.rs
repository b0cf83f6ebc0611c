//! What instances say besides INFO.

use cfgserver::model::MyId;
use cfgserver::redis::{Answer, LeaderName, links_of_the_past};

/// What the link has that asks, but for its term.
const OWN: &str = "bbbbbbbb/10.0.0.1:6379";

/// CLIENT LIST: only ids of lines that name another leader, or this one and are not the newest, are ever given, each once
/// per line.
pub(super) fn client_list(bytes: &[u8]) {
    let own = LeaderName {
        node: MyId("bbbbbbbbbb".into()),
        term: 7,
        instance: "10.0.0.1:6379".parse().unwrap(),
    };
    let found = links_of_the_past(&Answer::bulk(bytes), &own);
    let named: Vec<(u64, String, u64)> = bytes.split(|byte| *byte == b'\n').filter_map(named).collect();
    let own = |(_, place, term): &(u64, String, u64)| *term == 7 && place == OWN;
    let newest = named.iter().filter(|link| own(link)).map(|(id, ..)| *id).max();
    let mut expected = Vec::new();
    for link in &named {
        let (id, place, term) = link;
        let past = if own(link) {
            Some(*id) != newest
        } else {
            let ours = *term > 7 || (*term == 7 && (place == "bbbbbbbb" || place.starts_with("bbbbbbbb/")));
            !ours
        };
        expected.extend(past.then_some(*id));
    }
    assert_eq!(found, expected);
}

/// Id, place and term of a leader's link, word by word.
fn named(line: &[u8]) -> Option<(u64, String, u64)> {
    let line = String::from_utf8(line.to_vec()).ok()?;
    let (mut id, mut name) = (None, None);
    for word in line.split(' ') {
        match word.split_once('=') {
            Some(("id", value)) if id.is_none() => id = Some(value.to_owned()),
            Some(("name", value)) if name.is_none() => name = Some(value.to_owned()),
            _ => {}
        }
    }
    let name = name?;
    let rest = name.strip_prefix("cfgserver-")?;
    let at = rest.find("-leader-")?;
    let term = rest[at + "-leader-".len()..].parse::<u64>().ok()?;
    Some((id?.parse().ok()?, rest[..at].to_owned(), term))
}
