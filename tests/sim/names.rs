//! Stories are for people: instances by name, processes as `A1#2` (its second one), replication ids as numbers, and
//! nothing of how Rust prints values.

use crate::redis::Fleet;

/// Debug output of commands and groups, in the words of the story.
pub(crate) fn in_words(fleet: &Fleet, text: &str) -> String {
    let mut text = text.to_owned();
    for server in &fleet.servers {
        let address = format!("Address {{ ip: {}, port: {} }}", server.address.ip, server.address.port);
        text = text.replace(&address, &server.name);
        text = text.replace(&server.address.to_string(), &server.name);
        let now = server.run_id_text();
        let process = &now[..16];
        for number in 1..=server.starts {
            let run_id = format!("RunId(\"{process}{number:024x}\")");
            text = text.replace(&run_id, &format!("{}#{number}", server.name));
        }
    }
    for (long, short) in WORDS {
        text = text.replace(long, short);
    }
    without_zeros(&text)
}

const WORDS: &[(&str, &str)] = &[
    ("Some(", "("),
    ("GroupId", "group "),
    ("Member { run_id: ", "{ "),
    ("lineage: (Lineage { replid: ", "data ("),
    ("Lineage { replid: ", "data { "),
    (", replid2: None })", ")"),
    (", replid2: (", ", before ("),
    ("quarantine: None", "ours"),
    ("synced: true", "synced"),
    ("synced: false", "NOT synced"),
    ("non_empty: true", "not empty"),
    ("non_empty: false", "EMPTY"),
];

/// Replication ids are small numbers here, printed as 40 digits.
fn without_zeros(text: &str) -> String {
    const DIGITS: usize = 40;
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\"000000") {
        let (before, id) = rest.split_at(at);
        out.push_str(before);
        let end = id[1..].find('"').map(|end| end + 1);
        match end {
            Some(end) if end == DIGITS + 1 => {
                let digits = id[1..end].trim_start_matches('0');
                out.push_str(if digits.is_empty() { "0" } else { digits });
                rest = &id[end + 1..];
            }
            _ => {
                out.push('"');
                rest = &id[1..];
            }
        }
    }
    out + rest
}
