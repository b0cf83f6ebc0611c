//! Requests from bytes: arrays of bulk strings, or inline commands.
//!
//! The decoder consumes what it has understood, so no byte is scanned twice and a half request costs what has
//! arrived of it, not what it promises. Nothing in a request nests: an array inside one is refused at its
//! first byte. What it says about a stream depends on the bytes only, not on how they were cut into reads.

use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};

use super::inline::split_line;
use super::number::parse_number;

/// What a sender of requests may ask this decoder to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one argument.
    pub bulk_bytes_max: usize,
    /// Arguments of one request, its name included.
    pub elements_max: usize,
    /// Bytes of an inline command, or of a header line, without its line end.
    pub line_bytes_max: usize,
    /// Bytes of one request; every argument counts [`Limits::ARGUMENT_BYTES`] more than it has.
    pub request_bytes_max: usize,
}

impl Limits {
    /// What an argument is counted beyond its bytes: its place in the list, and the memory it lies in.
    pub const ARGUMENT_BYTES: usize = 64;

    /// For clients. Redis's own limits of lines and elements; the bytes are what a control plane needs.
    pub const CLIENT: Self = Self {
        bulk_bytes_max: 1 << 20,
        elements_max: 1 << 20,
        line_bytes_max: 64 << 10,
        request_bytes_max: 4 << 20,
    };

    /// For nodes of the cluster that have proved who they are.
    pub const PEER: Self = Self {
        bulk_bytes_max: 64 << 20,
        elements_max: 1 << 10,
        line_bytes_max: 64 << 10,
        request_bytes_max: 72 << 20,
    };
}

/// One request: its name and its arguments, never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request(
    /// The name as it was sent, then the arguments.
    pub Vec<Bytes>,
);

impl Request {
    /// The name as it was sent.
    pub fn name(&self) -> &[u8] {
        self.0.first().map_or(b"", |name| name)
    }
}

/// Why bytes are not a request. Displays as the text behind `-ERR Protocol error: `; the connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// `*` with something that is not a count, or with too large a one.
    #[error("invalid multibulk length")]
    MultibulkLength,
    /// `$` with something that is not a length, or with too large a one.
    #[error("invalid bulk length")]
    BulkLength,
    /// An argument that is not a bulk string.
    #[error("expected '$', got '{}'", .0.escape_ascii())]
    ExpectedBulk(u8),
    /// A bulk string that goes on where it should end.
    #[error("expected CRLF behind the bulk")]
    BulkEnd,
    /// An inline command without an end.
    #[error("too big inline request")]
    InlineTooBig,
    /// A `*` line without an end.
    #[error("too big mbulk count string")]
    MultibulkCountTooBig,
    /// A `$` line without an end.
    #[error("too big bulk count string")]
    BulkCountTooBig,
    /// An inline command whose quotes do not pair up.
    #[error("unbalanced quotes in request")]
    UnbalancedQuotes,
    /// Arguments that are too large together.
    #[error("too big request")]
    RequestTooBig,
}

/// From this size on an argument keeps its place in the read buffer; smaller ones are copied out, so that a
/// kept name does not keep a buffer.
const COPY_BELOW: usize = 16 << 10;

/// A request up to this size that is there as a whole is taken in one go, into one piece of memory.
const WHOLE_BYTES_MAX: usize = 512;

/// A resumable decoder of requests; one per connection.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    progress: Progress,
    arguments: Vec<Bytes>,
    /// What the arguments so far count against `request_bytes_max`.
    counted_bytes: usize,
    /// Bytes at the start of the buffer that hold no line end.
    scanned: usize,
}

#[derive(Clone, Copy, Debug)]
enum Progress {
    /// Between two requests.
    Start,
    /// The header of an argument comes next; so many arguments are missing.
    Header { missing: usize },
    /// An argument of so many bytes comes next; so many are missing, this one included.
    Bulk { missing: usize, length: usize },
    /// The stream is lost.
    Failed(ProtocolError),
}

enum Step {
    /// The rest of this needs more bytes.
    Starved,
    Advanced,
    Complete(Request),
}

impl Decoder {
    /// A decoder at the start of a stream.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            progress: Progress::Start,
            arguments: Vec::new(),
            counted_bytes: 0,
            scanned: 0,
        }
    }

    /// Takes the next request out of `buffer`; `None` when more bytes are needed. Only this decoder may take
    /// bytes from the buffer, others may append. An error is final.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Request>, ProtocolError> {
        if let Some(request) = self.take_whole(buffer) {
            return Ok(Some(request));
        }
        loop {
            match self.step(buffer) {
                Ok(Step::Advanced) => {}
                Ok(Step::Starved) => return Ok(None),
                Ok(Step::Complete(request)) => return Ok(Some(request)),
                Err(error) => {
                    self.progress = Progress::Failed(error);
                    return Err(error);
                }
            }
        }
    }

    /// Whether a request has begun and is not complete, given what [`Decoder::decode`] has left in `buffer`.
    pub fn is_partial(&self, buffer: &BytesMut) -> bool {
        !buffer.is_empty() || !matches!(self.progress, Progress::Start)
    }

    /// The short way for what comes by the thousand: a small request that is there as a whole and beyond doubt. Whatever
    /// is not goes the long way.
    fn take_whole(&mut self, buffer: &mut BytesMut) -> Option<Request> {
        if !matches!(self.progress, Progress::Start) || self.scanned > 0 {
            return None;
        }
        let head = &buffer[..buffer.len().min(WHOLE_BYTES_MAX)];
        let (count, mut at) = small_header(head, 0, b'*')?;
        if count == 0 || count > self.limits.elements_max || WHOLE_BYTES_MAX > self.limits.bulk_bytes_max {
            return None;
        }
        let start = at;
        for _ in 0..count {
            at = bulk_end(head, at)?.1;
        }
        let cost = at + count * Limits::ARGUMENT_BYTES;
        if cost > self.limits.request_bytes_max {
            return None;
        }
        let whole = Bytes::copy_from_slice(&head[start..at]);
        let mut arguments = Vec::with_capacity(count);
        let mut next = 0;
        for _ in 0..count {
            let (argument, end) = bulk_end(&whole, next)?;
            arguments.push(whole.slice(argument));
            next = end;
        }
        buffer.advance(at);
        Some(Request(arguments))
    }

    fn step(&mut self, buffer: &mut BytesMut) -> Result<Step, ProtocolError> {
        match self.progress {
            Progress::Failed(error) => Err(error),
            Progress::Start => match buffer.first() {
                None => Ok(Step::Starved),
                Some(b'*') => self.take_count(buffer),
                Some(_) => self.take_inline(buffer),
            },
            Progress::Header { missing } => match buffer.first() {
                None => Ok(Step::Starved),
                Some(b'$') => self.take_length(buffer, missing),
                Some(other) => Err(ProtocolError::ExpectedBulk(*other)),
            },
            Progress::Bulk { missing, length } => self.take_bulk(buffer, missing, length),
        }
    }

    /// `*<n>`: none or fewer is no request at all.
    fn take_count(&mut self, buffer: &mut BytesMut) -> Result<Step, ProtocolError> {
        let too_big = ProtocolError::MultibulkCountTooBig;
        let Some(number) = self.take_header(buffer, too_big, ProtocolError::MultibulkLength)? else {
            return Ok(Step::Starved);
        };
        if number <= 0 {
            return Ok(Step::Advanced);
        }
        let missing = usize::try_from(number).map_err(|_| ProtocolError::MultibulkLength)?;
        if missing > self.limits.elements_max {
            return Err(ProtocolError::MultibulkLength);
        }
        self.progress = Progress::Header { missing };
        Ok(Step::Advanced)
    }

    /// `$<n>`
    fn take_length(&mut self, buffer: &mut BytesMut, missing: usize) -> Result<Step, ProtocolError> {
        let too_big = ProtocolError::BulkCountTooBig;
        let Some(number) = self.take_header(buffer, too_big, ProtocolError::BulkLength)? else {
            return Ok(Step::Starved);
        };
        let length = usize::try_from(number).map_err(|_| ProtocolError::BulkLength)?;
        if length > self.limits.bulk_bytes_max {
            return Err(ProtocolError::BulkLength);
        }
        self.counted_bytes += length + Limits::ARGUMENT_BYTES;
        if self.counted_bytes > self.limits.request_bytes_max {
            return Err(ProtocolError::RequestTooBig);
        }
        self.progress = Progress::Bulk { missing, length };
        Ok(Step::Advanced)
    }

    fn take_bulk(&mut self, buffer: &mut BytesMut, missing: usize, length: usize) -> Result<Step, ProtocolError> {
        match (buffer.get(length), buffer.get(length + 1)) {
            (Some(b'\r'), Some(b'\n')) => {}
            (None, _) | (Some(b'\r'), None) => return Ok(Step::Starved),
            _ => return Err(ProtocolError::BulkEnd),
        }
        self.arguments.push(take_owned(buffer, length));
        buffer.advance(2);
        if missing > 1 {
            self.progress = Progress::Header { missing: missing - 1 };
            return Ok(Step::Advanced);
        }
        self.progress = Progress::Start;
        self.counted_bytes = 0;
        Ok(Step::Complete(Request(std::mem::take(&mut self.arguments))))
    }

    /// The number of a header line, which is taken with its line end. `None` when the line has not ended.
    fn take_header(
        &mut self,
        buffer: &mut BytesMut,
        too_big: ProtocolError,
        invalid: ProtocolError,
    ) -> Result<Option<i64>, ProtocolError> {
        let Some(length) = self.find(buffer, b'\r', too_big)? else {
            return Ok(None);
        };
        match buffer.get(length + 1) {
            None => return Ok(None),
            Some(b'\n') => {}
            Some(_) => return Err(invalid),
        }
        let number = parse_number(&buffer[1..length]).ok_or(invalid)?;
        buffer.advance(length + 2);
        self.scanned = 0;
        Ok(Some(number))
    }

    /// A line of text. A blank one is no request at all.
    fn take_inline(&mut self, buffer: &mut BytesMut) -> Result<Step, ProtocolError> {
        let Some(length) = self.find(buffer, b'\n', ProtocolError::InlineTooBig)? else {
            return Ok(Step::Starved);
        };
        let line = &buffer[..length];
        let arguments = split_line(line.strip_suffix(b"\r").unwrap_or(line));
        let arguments = arguments.map_err(|_| ProtocolError::UnbalancedQuotes)?;
        buffer.advance(length + 1);
        self.scanned = 0;
        if arguments.is_empty() {
            return Ok(Step::Advanced);
        }
        Ok(Step::Complete(Request(arguments)))
    }

    /// The position of `end`, which must come within the line limit. Goes on where the last search stopped.
    fn find(&mut self, buffer: &BytesMut, end: u8, too_big: ProtocolError) -> Result<Option<usize>, ProtocolError> {
        let until = buffer.len().min(self.limits.line_bytes_max + 1);
        let found = buffer[self.scanned..until].iter().position(|byte| *byte == end);
        if let Some(offset) = found {
            self.scanned += offset;
            return Ok(Some(self.scanned));
        }
        if buffer.len() > self.limits.line_bytes_max {
            return Err(too_big);
        }
        self.scanned = until;
        Ok(None)
    }
}

/// A `kind`, one to three digits without a leading zero, and a line end: the number, and where the next line begins.
fn small_header(bytes: &[u8], at: usize, kind: u8) -> Option<(usize, usize)> {
    if *bytes.get(at)? != kind {
        return None;
    }
    let digits = bytes
        .get(at + 1..)?
        .iter()
        .take(4)
        .take_while(|byte| byte.is_ascii_digit());
    let (mut number, mut length) = (0, 0);
    for digit in digits {
        number = number * 10 + usize::from(digit - b'0');
        length += 1;
    }
    let end = at + 1 + length;
    let canonical = (1..=3).contains(&length) && (length == 1 || bytes[at + 1] != b'0');
    (canonical && bytes.get(end..end + 2)? == b"\r\n").then_some((number, end + 2))
}

/// The bulk string at `at`: where its content is, and where it ends with its line end.
fn bulk_end(bytes: &[u8], at: usize) -> Option<(Range<usize>, usize)> {
    let (length, start) = small_header(bytes, at, b'$')?;
    let end = start + length;
    (bytes.get(end..end + 2)? == b"\r\n").then_some((start..end, end + 2))
}

/// Takes `length` bytes out of the buffer in such a way that a small piece does not keep a large buffer alive.
fn take_owned(buffer: &mut BytesMut, length: usize) -> Bytes {
    if length >= COPY_BELOW {
        return buffer.split_to(length).freeze();
    }
    let copy = Bytes::copy_from_slice(&buffer[..length]);
    buffer.advance(length);
    copy
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;
