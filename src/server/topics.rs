//! Which channels and patterns anyone on this node subscribes to, for INFO.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

/// What one connection subscribes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Topics {
    pub(super) channels: BTreeSet<Bytes>,
    pub(super) patterns: BTreeSet<Bytes>,
}

/// How many connections subscribe to each.
#[derive(Debug, Default)]
pub(super) struct TopicCounts {
    channels: BTreeMap<Bytes, usize>,
    patterns: BTreeMap<Bytes, usize>,
}

impl TopicCounts {
    /// A connection subscribes to `after` where it subscribed to `before`.
    pub(super) fn replace(&mut self, before: &Topics, after: &Topics) {
        replace(&mut self.channels, &before.channels, &after.channels);
        replace(&mut self.patterns, &before.patterns, &after.patterns);
    }

    /// How many channels and how many patterns have a subscriber.
    pub(super) fn len(&self) -> (u64, u64) {
        (self.channels.len() as u64, self.patterns.len() as u64)
    }
}

fn replace(counts: &mut BTreeMap<Bytes, usize>, before: &BTreeSet<Bytes>, after: &BTreeSet<Bytes>) {
    for name in after.difference(before) {
        *counts.entry(name.clone()).or_default() += 1;
    }
    for name in before.difference(after) {
        if let Some(count) = counts.get_mut(name) {
            *count -= 1;
            if *count == 0 {
                counts.remove(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics(channels: &[&'static str]) -> Topics {
        Topics {
            channels: channels
                .iter()
                .map(|name| Bytes::from_static(name.as_bytes()))
                .collect(),
            ..Topics::default()
        }
    }

    #[test]
    fn a_topic_counts_once_while_anyone_has_it() {
        let mut counts = TopicCounts::default();
        let (none, a, ab) = (topics(&[]), topics(&["a"]), topics(&["a", "b"]));
        counts.replace(&none, &a);
        counts.replace(&none, &ab);
        assert_eq!(counts.len(), (2, 0));
        counts.replace(&ab, &none);
        assert_eq!(counts.len(), (1, 0));
        counts.replace(&a, &none);
        assert_eq!(counts.len(), (0, 0));
        assert!(counts.channels.is_empty());
    }
}
