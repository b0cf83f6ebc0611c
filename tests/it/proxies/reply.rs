//! A Sentinel's bytes as the proxies take them: cut into whole RESP2 replies, and those into lines.

/// Why a proxy closes after [`Next::Garbage`].
pub(crate) const NO_RESP: &str = "no RESP2";

/// What stands at the front of the bytes that have come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A whole reply.
    Reply(Reply),
    /// The rest is still to come.
    More,
    /// Nothing that the proxy's parser knows; it does not get over this.
    Garbage,
}

/// The bytes of one reply, from its type to the last line end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply(Vec<u8>);

impl Reply {
    /// Its lines, whatever they are: headers, bulk strings, lines inside a bulk string. A line ends with its LF,
    /// which is taken off; a CR stays.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let lines = self.0.split_inclusive(|byte| *byte == b'\n');
        lines.map(|line| line.strip_suffix(b"\n").unwrap_or(line))
    }

    /// As a message can show it: the first line.
    pub(crate) fn title(&self) -> String {
        let first = self.lines().next().unwrap_or_default();
        String::from_utf8_lossy(first).trim_end().to_owned()
    }

    /// All of it.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Whether `*-1` is a reply or an error of the protocol: the proxies differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NullArray {
    Reply,
    Garbage,
}

/// Bytes that have come and are not yet taken.
#[derive(Debug)]
pub(crate) struct Replies {
    buffer: Vec<u8>,
    taken: usize,
    null_array: NullArray,
}

/// How far a part of a reply reaches.
enum Extent {
    To(usize),
    More,
    Garbage,
}

impl Replies {
    pub(crate) fn new(null_array: NullArray) -> Self {
        Self {
            buffer: Vec::new(),
            taken: 0,
            null_array,
        }
    }

    /// Forgets what is there: another connection begins.
    pub(crate) fn clear(&mut self) {
        self.buffer.clear();
        self.taken = 0;
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        self.buffer.extend_from_slice(bytes);
    }

    pub(crate) fn next(&mut self) -> Next {
        let rest = &self.buffer[self.taken..];
        match extent(rest, self.null_array) {
            Extent::To(end) => {
                let reply = Reply(rest[..end].to_vec());
                self.taken += end;
                Next::Reply(reply)
            }
            Extent::More => Next::More,
            Extent::Garbage => Next::Garbage,
        }
    }
}

/// How far the first reply reaches.
fn extent(bytes: &[u8], null_array: NullArray) -> Extent {
    let mut at = 0;
    let mut due: u64 = 1;
    while due > 0 {
        due -= 1;
        let rest = &bytes[at..];
        let Some(kind) = rest.first() else {
            return Extent::More;
        };
        match kind {
            b'+' | b'-' | b':' => match line_end(rest) {
                Some(end) => at += end,
                None => return Extent::More,
            },
            b'$' | b'*' => {
                let (end, length) = match header(rest) {
                    Header::Length(end, length) => (end, length),
                    Header::More => return Extent::More,
                    Header::Garbage => return Extent::Garbage,
                };
                at += end;
                match (kind, length) {
                    (b'*', None) if null_array == NullArray::Garbage => return Extent::Garbage,
                    (_, None) => {}
                    (b'*', Some(length)) => due = due.saturating_add(length),
                    (_, Some(length)) => match bulk(&bytes[at..], length) {
                        Extent::To(end) => at += end,
                        other => return other,
                    },
                }
            }
            _ => return Extent::Garbage,
        }
    }
    Extent::To(at)
}

enum Header {
    /// Where it ends, and the number in it; `None` is -1.
    Length(usize, Option<u64>),
    More,
    Garbage,
}

/// The number after `$` or `*`. A wrong byte is seen as soon as it is there.
fn header(bytes: &[u8]) -> Header {
    let number = bytes.iter().skip(1).take_while(|byte| !b"\r\n".contains(byte)).count();
    let text = &bytes[1..=number];
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    if !digits.iter().all(u8::is_ascii_digit) {
        return Header::Garbage;
    }
    match &bytes[1 + number..] {
        [] | [b'\r'] => Header::More,
        [b'\r', b'\n', ..] => match std::str::from_utf8(text) {
            Ok("-1") => Header::Length(number + 3, None),
            Ok(text) => text
                .parse()
                .map_or(Header::Garbage, |length| Header::Length(number + 3, Some(length))),
            Err(_) => Header::Garbage,
        },
        _ => Header::Garbage,
    }
}

/// A bulk string's bytes with the line end behind them.
fn bulk(bytes: &[u8], length: u64) -> Extent {
    let Ok(length) = usize::try_from(length) else {
        return Extent::Garbage;
    };
    match bytes.get(length..) {
        None | Some([] | [b'\r']) => Extent::More,
        Some([b'\r', b'\n', ..]) => Extent::To(length + 2),
        Some(_) => Extent::Garbage,
    }
}

fn line_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(2).position(|pair| pair == b"\r\n").map(|at| at + 2)
}

mod tests {
    use super::*;

    fn all(bytes: &[u8], null_array: NullArray) -> (Vec<Vec<u8>>, Next) {
        let mut replies = Replies::new(null_array);
        replies.push(bytes);
        let mut whole = Vec::new();
        loop {
            match replies.next() {
                Next::Reply(reply) => whole.push(reply.bytes().to_vec()),
                end => return (whole, end),
            }
        }
    }

    #[test]
    fn a_stream_is_cut_into_whole_replies_wherever_it_is_split() {
        let parts: [&[u8]; 8] = [
            b"+OK\r\n",
            b"-ERR a b\r\n",
            b":17\r\n",
            b"$-1\r\n",
            b"$0\r\n\r\n",
            b"$5\r\na\r\nb\n\r\n",
            b"*0\r\n",
            b"*3\r\n$6\r\nmaster\r\n:0\r\n*1\r\n$1\r\na\r\n",
        ];
        let stream = parts.concat();
        assert_eq!(
            all(&stream, NullArray::Garbage),
            (parts.map(<[u8]>::to_vec).to_vec(), Next::More)
        );
        let mut replies = Replies::new(NullArray::Garbage);
        let mut whole = Vec::new();
        for byte in &stream {
            replies.push(&[*byte]);
            while let Next::Reply(reply) = replies.next() {
                whole.push(reply.bytes().to_vec());
            }
        }
        assert_eq!(whole, parts);
    }

    #[test]
    fn what_is_no_resp2_is_garbage_at_its_first_wrong_byte() {
        for bytes in ["g", "_\r\n", ">3\r\n", "%1", "$x", "$1\r\nabc", "*1x", "$\n", "*1\r\n!"] {
            let (whole, end) = all(bytes.as_bytes(), NullArray::Reply);
            assert_eq!((whole, end), (Vec::new(), Next::Garbage), "{bytes:?}");
        }
    }

    #[test]
    fn a_null_array_is_a_reply_or_garbage() {
        assert_eq!(all(b"*-1\r\n", NullArray::Garbage), (Vec::new(), Next::Garbage));
        assert_eq!(
            all(b"*-1\r\n", NullArray::Reply),
            (vec![b"*-1\r\n".to_vec()], Next::More)
        );
    }

    #[test]
    fn lines_are_counted_through_headers_and_bulk_strings() {
        let reply = Reply(b"$7\r\na\r\n\nbc\r\n".to_vec());
        let lines: Vec<&[u8]> = reply.lines().collect();
        assert_eq!(lines, [b"$7\r".as_slice(), b"a\r", b"", b"bc\r"]);
    }
}
