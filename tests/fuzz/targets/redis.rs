//! What instances say besides INFO.

use cfgserver::model::MyId;
use cfgserver::redis::{Answer, LeaderName, older_links};

/// CLIENT LIST: only ids of lines that name another leader are ever given, each once per line.
pub(super) fn client_list(bytes: &[u8]) {
    let own = LeaderName {
        node: MyId("bbbbbbbbbb".into()),
        term: 7,
    };
    let found = older_links(&Answer::bulk(bytes), &own);
    let mut expected = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        expected.extend(older(line));
    }
    assert_eq!(found, expected);
}

/// The same, word by word.
fn older(line: &[u8]) -> Option<u64> {
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
    let (node, term) = (&rest[..at], rest[at + "-leader-".len()..].parse::<u64>().ok()?);
    let ours = term > 7 || (term == 7 && node == "bbbbbbbb");
    if ours { None } else { id?.parse().ok() }
}
