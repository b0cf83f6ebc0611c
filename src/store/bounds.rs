//! Which indexes a log holds, and which calls fit.
//!
//! Pure arithmetic, shared by all stores, so that they refuse the same things.
//! What does not live here: the entries.

use std::io;
use std::ops::Range;

/// The log holds exactly the indexes `start <= index < end`. A log that was never written is `0..0`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) start: u64,
    pub(super) end: u64,
}

impl Bounds {
    /// The bounds after these entries, or why they do not fit.
    ///
    /// Only a log that was never written may begin anywhere.
    pub(super) fn append(self, entries: &[(u64, Vec<u8>)]) -> io::Result<Self> {
        let Some((first, _)) = entries.first() else {
            return Ok(self);
        };
        let start = if self == Self::default() { *first } else { self.start };
        let mut end = if self == Self::default() { *first } else { self.end };
        for (index, _) in entries {
            if *index != end {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    format!("entry {index} does not fit behind a log that ends before {end}"),
                ));
            }
            end += 1;
        }
        Ok(Self { start, end })
    }

    /// The bounds after a truncation, and what goes.
    pub(super) fn truncate(self, index: u64) -> (Self, Range<u64>) {
        let end = index.clamp(self.start, self.end);
        (Self { end, ..self }, end..self.end)
    }

    /// The bounds after a purge, and what goes; `None` when all that is purged already.
    pub(super) fn purge(self, index: u64) -> Option<(Self, Range<u64>)> {
        let start = index.saturating_add(1);
        if start <= self.start {
            return None;
        }
        let end = self.end.max(start);
        Some((Self { start, end }, self.start..start.min(self.end)))
    }

    /// The last index.
    pub(super) fn last(self) -> Option<u64> {
        (self.start < self.end).then(|| self.end - 1)
    }

    /// The part of a range that the log holds.
    pub(super) fn held(self, from: u64, until: u64) -> Range<u64> {
        let from = from.max(self.start);
        from..until.min(self.end).max(from)
    }
}

/// Takes entries until the bytes are used up, but at least one.
pub(super) fn take_bytes(
    entries: impl Iterator<Item = io::Result<(u64, Vec<u8>)>>,
    bytes_max: usize,
) -> io::Result<Vec<(u64, Vec<u8>)>> {
    let mut taken = Vec::new();
    let mut bytes = 0_usize;
    for entry in entries {
        let (index, value) = entry?;
        bytes = bytes.saturating_add(value.len());
        if bytes > bytes_max && !taken.is_empty() {
            break;
        }
        taken.push((index, value));
    }
    Ok(taken)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn entries(range: Range<u64>) -> Vec<(u64, Vec<u8>)> {
        range.map(|index| (index, Vec::new())).collect()
    }

    #[test]
    fn a_hole_or_an_overlap_is_refused() {
        let bounds = Bounds { start: 3, end: 6 };
        assert_eq!(bounds.append(&entries(6..8)).unwrap(), Bounds { start: 3, end: 8 });
        assert!(bounds.append(&entries(7..8)).is_err());
        assert!(bounds.append(&entries(5..8)).is_err());
        assert!(bounds.append(&[(6, Vec::new()), (8, Vec::new())]).is_err());
    }

    #[test]
    fn only_a_log_that_was_never_written_begins_anywhere() {
        assert_eq!(
            Bounds::default().append(&entries(4..6)).unwrap(),
            Bounds { start: 4, end: 6 }
        );
        let emptied = Bounds { start: 4, end: 4 };
        assert!(emptied.append(&entries(5..6)).is_err());
        assert!(emptied.append(&entries(4..6)).is_ok());
    }

    #[test]
    fn a_purge_never_goes_back_and_may_go_beyond_the_end() {
        let bounds = Bounds { start: 3, end: 6 };
        assert_eq!(bounds.purge(2), None);
        assert_eq!(bounds.purge(3), Some((Bounds { start: 4, end: 6 }, 3..4)));
        assert_eq!(bounds.purge(9), Some((Bounds { start: 10, end: 10 }, 3..6)));
    }

    #[test]
    fn a_truncation_stays_within_the_log() {
        let bounds = Bounds { start: 3, end: 6 };
        assert_eq!(bounds.truncate(5), (Bounds { start: 3, end: 5 }, 5..6));
        assert_eq!(bounds.truncate(0), (Bounds { start: 3, end: 3 }, 3..6));
        assert_eq!(bounds.truncate(8), (bounds, 6..6));
    }
}
