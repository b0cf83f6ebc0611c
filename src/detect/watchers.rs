//! Who else watches an instance: the Sentinels among its subscribers, by CLIENT LIST.

use std::net::{IpAddr, SocketAddr};

/// A Sentinel that listens for the hellos of others on an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watcher {
    /// The first characters of its id, as many as it names its connections by.
    pub id: String,
    /// Where it connects from. Where it listens is not told.
    pub ip: IpAddr,
}

/// Sentinels that are looked at on one instance.
const WATCHERS_MAX: usize = 64;

/// The Sentinels in a CLIENT LIST: connections named `sentinel-<id>-pubsub`.
pub fn watchers(list: &[u8]) -> Vec<Watcher> {
    let lines = list.split(|byte| *byte == b'\n');
    let found = lines.filter_map(|line| watcher(std::str::from_utf8(line).ok()?));
    found.take(WATCHERS_MAX).collect()
}

fn watcher(line: &str) -> Option<Watcher> {
    let field = |key: &str| {
        line.split(' ')
            .find_map(|part| part.strip_prefix(key)?.strip_prefix('='))
    };
    let id = field("name")?.strip_prefix("sentinel-")?.strip_suffix("-pubsub")?;
    let good = (1..=40).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let address: SocketAddr = field("addr")?.parse().ok()?;
    good.then(|| Watcher {
        id: id.to_owned(),
        ip: address.ip(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listening_sentinels_count() {
        let list = b"id=3 addr=10.0.0.9:51000 laddr=10.0.0.1:6379 fd=8 name=sentinel-0123abcd-pubsub age=1\n\
                     id=4 addr=10.0.0.9:51001 fd=8 name=sentinel-0123abcd-cmd age=1\n\
                     id=5 addr=[fd00::9]:51001 fd=8 name=sentinel-9abcdef0-pubsub age=1\n\
                     id=6 addr=10.0.0.7:1 name=cfgserver-0123abcd-probe\nid=7 addr=10.0.0.7:1 name=\n\
                     id=8 addr=x name=sentinel-0123abcd-pubsub\nid=9 addr=10.0.0.7:1 name=sentinel--pubsub\n\
                     id=10 name=sentinel-0123abcd-pubsub\n\xff\xfe\n";
        let found: Vec<_> = watchers(list)
            .into_iter()
            .map(|one| (one.id, one.ip.to_string()))
            .collect();
        let expected = [("0123abcd", "10.0.0.9"), ("9abcdef0", "fd00::9")];
        assert_eq!(found, expected.map(|(id, ip)| (id.to_owned(), ip.to_owned())));
    }

    #[test]
    fn a_long_list_is_looked_at_up_to_a_bound() {
        let list = "addr=10.0.0.9:51000 name=sentinel-0123abcd-pubsub\n".repeat(WATCHERS_MAX + 1);
        assert_eq!(watchers(list.as_bytes()).len(), WATCHERS_MAX);
    }
}
