//! Bytes as a list of choices: what a fuzzer changes in them changes one decision.

/// The choices that are left.
pub(super) struct Choices<'a>(pub(super) &'a [u8]);

impl Choices<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte; 0 when there is none.
    pub(super) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    /// One of so many.
    pub(super) fn below(&mut self, count: u8) -> u8 {
        self.byte() % count
    }

    /// Yes in one of `count` cases; no when no choices are left.
    pub(super) fn one_in(&mut self, count: u8) -> bool {
        self.below(count) == count - 1
    }

    /// A number of any size, small ones and the largest more often than others.
    pub(super) fn number(&mut self) -> u64 {
        match self.byte() {
            255 => u64::MAX,
            254 => u64::MAX / 2,
            253 => u64::from(u32::MAX),
            252 => 1_000 * u64::from(self.byte()) + u64::from(self.byte()),
            small => u64::from(small % 8),
        }
    }

    /// Some text of up to so many characters, of any kind.
    pub(super) fn text(&mut self, length_max: u8) -> String {
        let length = self.below(length_max + 1);
        let letters = ['a', 'B', '7', '0', ' ', ',', '\n', '\r', ':', '\0', 'ü', '\u{1F980}'];
        (0..length)
            .map(|_| letters[usize::from(self.below(letters.len() as u8))])
            .collect()
    }
}
