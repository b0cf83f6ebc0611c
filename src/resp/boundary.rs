//! Where an answer ends: found before anything recursive looks at it, in one pass, within limits.
//!
//! The guard walks over a RESP2 frame with a list of open arrays instead of recursion and remembers where it
//! stopped, so a large answer in small reads is looked at once. What it lets through is bounded in depth,
//! elements and bytes, and every bulk string ends where it says.

use super::number::parse_number;

/// What an answer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerLimits {
    /// Arrays within arrays.
    pub depth_max: usize,
    /// Elements of all its arrays together.
    pub elements_max: usize,
    /// Bytes of a line: a simple string, an error, a number.
    pub line_bytes_max: usize,
    /// Bytes of one bulk string.
    pub bulk_bytes_max: usize,
    /// Bytes of the whole answer.
    pub answer_bytes_max: usize,
}

impl AnswerLimits {
    /// For a monitored instance: the largest thing that it is asked for is its list of clients.
    pub const INSTANCE: Self = Self {
        depth_max: 32,
        elements_max: 1 << 16,
        line_bytes_max: 64 << 10,
        bulk_bytes_max: 16 << 20,
        answer_bytes_max: 16 << 20,
    };

    /// For a node of the cluster.
    pub const PEER: Self = Self {
        depth_max: 32,
        elements_max: 1 << 20,
        line_bytes_max: 64 << 10,
        bulk_bytes_max: 64 << 20,
        answer_bytes_max: 72 << 20,
    };
}

/// Why bytes are not an answer. The connection cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// No type of RESP2.
    #[error("unknown type '{}'", .0.escape_ascii())]
    Type(u8),
    /// A length that is none.
    #[error("invalid length")]
    Length,
    /// A bulk string that goes on where it should end.
    #[error("bulk string without end")]
    BulkEnd,
    /// A line without end.
    #[error("line too long")]
    LineTooLong,
    /// Arrays within arrays within arrays.
    #[error("arrays nested too deep")]
    TooDeep,
    /// Too many elements.
    #[error("too many elements")]
    TooManyElements,
    /// Too many bytes.
    #[error("too many bytes")]
    TooBig,
    /// The frame has bounds, but its inside makes no sense.
    #[error("malformed: {0}")]
    Malformed(String),
}

/// A walk over one answer that can stop at any byte.
#[derive(Debug)]
pub(super) struct Boundary {
    limits: AnswerLimits,
    /// Everything before this is understood.
    position: usize,
    /// From `position` to here there is no line end.
    scanned: usize,
    /// How many elements each open array still misses, the innermost last.
    open: Vec<usize>,
    elements: usize,
}

impl Boundary {
    pub(super) fn new(limits: AnswerLimits) -> Self {
        Self {
            limits,
            position: 0,
            scanned: 0,
            open: Vec::new(),
            elements: 0,
        }
    }

    /// Goes on over `bytes`, which start with the answer and have only grown since the last call. Gives the
    /// length of the answer once it is complete.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> Result<Option<usize>, AnswerError> {
        loop {
            let Some(end) = self.element(bytes)? else {
                return Ok(None);
            };
            if end > self.limits.answer_bytes_max {
                return Err(AnswerError::TooBig);
            }
            self.position = end;
            self.scanned = end;
            if self.open.is_empty() {
                return Ok(Some(end));
            }
        }
    }

    /// Goes over one element, and opens it when it is an array. Gives where it ends.
    fn element(&mut self, bytes: &[u8]) -> Result<Option<usize>, AnswerError> {
        let Some(kind) = bytes.get(self.position) else {
            return Ok(None);
        };
        if !matches!(kind, b'+' | b'-' | b':' | b'$' | b'*') {
            return Err(AnswerError::Type(*kind));
        }
        let Some(line_end) = self.line_end(bytes)? else {
            return Ok(None);
        };
        let line = &bytes[self.position + 1..line_end];
        let next = line_end + 2;
        match kind {
            b'$' => self.bulk_end(bytes, next, parse_length(line)?),
            b'*' => {
                self.open(parse_length(line)?)?;
                Ok(Some(next))
            }
            _ => {
                self.close();
                Ok(Some(next))
            }
        }
    }

    fn bulk_end(&mut self, bytes: &[u8], start: usize, length: Option<usize>) -> Result<Option<usize>, AnswerError> {
        let Some(length) = length else {
            self.close();
            return Ok(Some(start));
        };
        if length > self.limits.bulk_bytes_max || start + length > self.limits.answer_bytes_max {
            return Err(AnswerError::TooBig);
        }
        let end = start + length;
        match (bytes.get(end), bytes.get(end + 1)) {
            (Some(b'\r'), Some(b'\n')) => {
                self.close();
                Ok(Some(end + 2))
            }
            (None, _) | (Some(b'\r'), None) => Ok(None),
            _ => Err(AnswerError::BulkEnd),
        }
    }

    /// An array of so many elements begins; an absent or empty one is over at once.
    fn open(&mut self, length: Option<usize>) -> Result<(), AnswerError> {
        let length = length.unwrap_or(0);
        if length == 0 {
            self.close();
            return Ok(());
        }
        self.elements = self.elements.saturating_add(length);
        if self.elements > self.limits.elements_max {
            return Err(AnswerError::TooManyElements);
        }
        if self.open.len() >= self.limits.depth_max {
            return Err(AnswerError::TooDeep);
        }
        self.open.push(length);
        Ok(())
    }

    /// An element is over, and with it every array whose last one it was.
    fn close(&mut self) {
        while let Some(missing) = self.open.last_mut() {
            *missing -= 1;
            if *missing > 0 {
                return;
            }
            self.open.pop();
        }
    }

    /// Where the line that starts at `position` has its CR LF.
    fn line_end(&mut self, bytes: &[u8]) -> Result<Option<usize>, AnswerError> {
        let last = bytes.len().min(self.position + self.limits.line_bytes_max + 2);
        let found = bytes[self.scanned..last].windows(2).position(|pair| pair == b"\r\n");
        if let Some(offset) = found {
            self.scanned += offset;
            return Ok(Some(self.scanned));
        }
        if bytes.len() >= self.position + self.limits.line_bytes_max + 2 {
            return Err(AnswerError::LineTooLong);
        }
        // The last byte may be the first half of the line end.
        self.scanned = last.saturating_sub(1).max(self.scanned);
        Ok(None)
    }
}

/// A length; `None` for -1, which says that there is nothing.
fn parse_length(line: &[u8]) -> Result<Option<usize>, AnswerError> {
    match parse_number(line) {
        Some(-1) => Ok(None),
        Some(number) => usize::try_from(number).map(Some).map_err(|_| AnswerError::Length),
        None => Err(AnswerError::Length),
    }
}
