//! A small blocking client for RESP2 and RESP3, written apart from the server's own codec.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::{SOON, now};

/// What a server answers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Simple(String),
    Error(String),
    Integer(i64),
    Bulk(String),
    Null,
    Array(Vec<Value>),
    Map(Vec<(Value, Value)>),
    Push(Vec<Value>),
}

impl Value {
    /// The text of a simple string, an error or a bulk string; empty for anything else.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Simple(text) | Self::Error(text) | Self::Bulk(text) => text,
            _ => "",
        }
    }

    pub(crate) fn is_ok(&self) -> bool {
        *self == Self::Simple("OK".to_owned())
    }

    pub(crate) fn is_error(&self) -> bool {
        matches!(self, Self::Error(_))
    }

    /// The elements of an array or a push; none for anything else.
    pub(crate) fn items(&self) -> &[Value] {
        match self {
            Self::Array(items) | Self::Push(items) => items,
            _ => &[],
        }
    }

    /// The value of a field, in a map or in a flat array of pairs.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let found = match self {
            Self::Map(pairs) => pairs.iter().find(|(key, _)| key.text() == name).map(|(_, value)| value),
            _ => self
                .items()
                .chunks(2)
                .find(|pair| pair[0].text() == name)
                .and_then(|pair| pair.get(1)),
        };
        found.map(Self::text)
    }
}

/// As redis-cli shows it, roughly: for messages.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Simple(text) | Self::Bulk(text) => f.write_str(text),
            Self::Error(text) => write!(f, "(error) {text}"),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Null => f.write_str("(nil)"),
            Self::Array(items) | Self::Push(items) => {
                f.write_str("[")?;
                for item in items {
                    write!(f, "{item} ")?;
                }
                f.write_str("]")
            }
            Self::Map(pairs) => {
                f.write_str("{")?;
                for (key, value) in pairs {
                    write!(f, "{key}: {value} ")?;
                }
                f.write_str("}")
            }
        }
    }
}

/// One connection. Reads wait at most ten seconds.
pub(crate) struct Client {
    reader: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn connect(port: u16) -> io::Result<Self> {
        Self::reach(([127, 0, 0, 1], port).into(), SOON)
    }

    /// A connection to anywhere, with its own patience for the connection, reads and writes.
    pub(crate) fn reach(address: SocketAddr, patience: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, patience)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        Ok(Self {
            reader: BufReader::new(stream),
        })
    }

    /// The other end of a connection: what it reads are requests.
    pub(crate) fn accepted(stream: TcpStream) -> Self {
        Self {
            reader: BufReader::new(stream),
        }
    }

    /// Asks and fails the test when there is no answer.
    #[track_caller]
    pub(crate) fn call(&mut self, words: &[&str]) -> Value {
        self.try_call(words)
            .unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    pub(crate) fn try_call(&mut self, words: &[&str]) -> io::Result<Value> {
        self.send(words)?;
        self.read()
    }

    pub(crate) fn send(&mut self, words: &[&str]) -> io::Result<()> {
        let mut frame = format!("*{}\r\n", words.len());
        for word in words {
            frame.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        self.send_bytes(frame.as_bytes())
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }

    /// How long a read may wait from now on.
    pub(crate) fn patience(&mut self, limit: Duration) {
        self.reader.get_ref().set_read_timeout(Some(limit)).unwrap();
    }

    /// A second handle on the connection, to close it from elsewhere.
    pub(crate) fn stream(&self) -> TcpStream {
        self.reader.get_ref().try_clone().unwrap()
    }

    /// Everything until the server closes, at most a mebibyte; fails when it does not close in time.
    pub(crate) fn read_to_close(&mut self, limit: Duration) -> io::Result<String> {
        let end = now() + limit;
        let mut all = Vec::new();
        let mut part = [0; 4096];
        self.patience(Duration::from_millis(100));
        while now() < end && all.len() < 1 << 20 {
            match self.reader.read(&mut part) {
                Ok(0) => return Ok(String::from_utf8_lossy(&all).into_owned()),
                Ok(count) => all.extend_from_slice(&part[..count]),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
                // A server that closes with unread bytes resets: closed all the same.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Ok(String::from_utf8_lossy(&all).into_owned());
                }
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the server keeps the connection",
        ))
    }

    pub(crate) fn read(&mut self) -> io::Result<Value> {
        let line = self.line()?;
        let (kind, rest) = line.split_at_checked(1).ok_or_else(|| broken("empty line"))?;
        Ok(match kind {
            "+" => Value::Simple(rest.to_owned()),
            "-" => Value::Error(rest.to_owned()),
            ":" => Value::Integer(rest.parse().map_err(|_| broken(&line))?),
            "_" => Value::Null,
            "," | "#" | "(" => Value::Simple(rest.to_owned()),
            "$" | "=" => match count(&line)? {
                None => Value::Null,
                Some(length) => {
                    let mut text = self.bulk(length)?;
                    // A verbatim string says its format in four bytes first.
                    if kind == "=" {
                        text.drain(..4);
                    }
                    Value::Bulk(text)
                }
            },
            "*" => match count(&line)? {
                None => Value::Null,
                Some(length) => Value::Array(self.values(length)?),
            },
            ">" | "~" => Value::Push(self.values(count(&line)?.unwrap_or(0))?),
            "%" => {
                let flat = self.values(2 * count(&line)?.unwrap_or(0))?;
                let mut pairs = Vec::new();
                let mut flat = flat.into_iter();
                while let (Some(key), Some(value)) = (flat.next(), flat.next()) {
                    pairs.push((key, value));
                }
                Value::Map(pairs)
            }
            _ => return Err(broken(&line)),
        })
    }

    fn values(&mut self, count: usize) -> io::Result<Vec<Value>> {
        (0..count).map(|_| self.read()).collect()
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed by the server"));
        }
        line.strip_suffix("\r\n")
            .map(str::to_owned)
            .ok_or_else(|| broken(&line))
    }

    fn bulk(&mut self, length: usize) -> io::Result<String> {
        let mut bytes = vec![0; length + 2];
        self.reader.read_exact(&mut bytes)?;
        bytes.truncate(length);
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

fn count(line: &str) -> io::Result<Option<usize>> {
    match line[1..].parse::<i64>() {
        Ok(-1) => Ok(None),
        Ok(count) => usize::try_from(count).map(Some).map_err(|_| broken(line)),
        Err(_) => Err(broken(line)),
    }
}

fn broken(line: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not RESP: {line:?}"))
}
