//! Replies to bytes, in RESP2 or RESP3; and requests to bytes, for instances and peers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bytes::{BufMut, BytesMut};

use super::reply::{Protocol, Reply};

/// Appends `reply` to `out` as `protocol` writes it.
pub fn encode(reply: &Reply, protocol: Protocol, out: &mut BytesMut) {
    match reply {
        Reply::Simple(text) => put_line(b'+', text, out),
        Reply::Error(text) => put_line(b'-', text, out),
        Reply::Integer(number) => put_header(b':', *number, out),
        Reply::Bulk(bytes) => put_bulk(bytes, out),
        Reply::Null => out.put_slice(either(protocol, b"$-1\r\n", b"_\r\n")),
        Reply::NullArray => out.put_slice(either(protocol, b"*-1\r\n", b"_\r\n")),
        Reply::Array(items) => put_items(b'*', items, protocol, out),
        Reply::Set(items) => put_items(either(protocol, b'*', b'~'), items, protocol, out),
        Reply::Push(items) => put_items(either(protocol, b'*', b'>'), items, protocol, out),
        Reply::Map(pairs) => put_map(pairs, protocol, out),
        Reply::Verbatim(text) => put_verbatim(text, protocol, out),
        Reply::Many(replies) => replies.iter().for_each(|reply| encode(reply, protocol, out)),
        Reply::Endpoint(place) => put_endpoint(*place, out),
        Reply::Raw(bytes) => out.put_slice(bytes),
    }
}

/// Appends an array of items that are made one after the other.
pub fn encode_each(items: impl ExactSizeIterator<Item = Reply>, protocol: Protocol, out: &mut BytesMut) {
    put_header(b'*', items.len() as i64, out);
    items.for_each(|item| encode(&item, protocol, out));
}

/// Appends a request: an array of bulk strings.
pub fn encode_request(arguments: &[impl AsRef<[u8]>], out: &mut BytesMut) {
    put_header(b'*', arguments.len() as i64, out);
    for argument in arguments {
        put_bulk(argument.as_ref(), out);
    }
}

fn either<T>(protocol: Protocol, resp2: T, resp3: T) -> T {
    match protocol {
        Protocol::Resp2 => resp2,
        Protocol::Resp3 => resp3,
    }
}

fn put_items(kind: u8, items: &[Reply], protocol: Protocol, out: &mut BytesMut) {
    put_header(kind, items.len() as i64, out);
    items.iter().for_each(|item| encode(item, protocol, out));
}

fn put_map(pairs: &[(Reply, Reply)], protocol: Protocol, out: &mut BytesMut) {
    match protocol {
        Protocol::Resp2 => put_header(b'*', pairs.len() as i64 * 2, out),
        Protocol::Resp3 => put_header(b'%', pairs.len() as i64, out),
    }
    for (key, value) in pairs {
        encode(key, protocol, out);
        encode(value, protocol, out);
    }
}

fn put_verbatim(text: &[u8], protocol: Protocol, out: &mut BytesMut) {
    const FORMAT: &[u8] = b"txt:";
    if protocol == Protocol::Resp2 {
        return put_bulk(text, out);
    }
    put_header(b'=', (FORMAT.len() + text.len()) as i64, out);
    out.put_slice(FORMAT);
    out.put_slice(text);
    out.put_slice(b"\r\n");
}

fn put_bulk(bytes: &[u8], out: &mut BytesMut) {
    out.reserve(bytes.len() + HEADER_BYTES_MAX + 2);
    put_header(b'$', bytes.len() as i64, out);
    out.put_slice(bytes);
    out.put_slice(b"\r\n");
}

fn put_endpoint(place: SocketAddr, out: &mut BytesMut) {
    out.put_slice(b"*2\r\n");
    match place.ip() {
        IpAddr::V4(ip) => put_ipv4(ip, out),
        IpAddr::V6(ip) => put_bulk(ip.to_string().as_bytes(), out),
    }
    let mut digits = [0; DIGITS_MAX];
    put_bulk(decimal(place.port().into(), &mut digits), out);
}

fn put_ipv4(ip: Ipv4Addr, out: &mut BytesMut) {
    let mut text = [0; "255.255.255.255".len()];
    let mut length = 0;
    for (place, part) in ip.octets().into_iter().enumerate() {
        if place > 0 {
            text[length] = b'.';
            length += 1;
        }
        let mut digits = [0; DIGITS_MAX];
        let digits = decimal(part.into(), &mut digits);
        text[length..length + digits.len()].copy_from_slice(digits);
        length += digits.len();
    }
    put_bulk(&text[..length], out);
}

/// A line of text. A line end inside it would end the reply early and let a client's words be read as the next
/// one, so it becomes a space.
fn put_line(kind: u8, text: &str, out: &mut BytesMut) {
    out.put_u8(kind);
    let start = out.len();
    out.put_slice(text.as_bytes());
    for byte in &mut out[start..] {
        if matches!(byte, b'\r' | b'\n') {
            *byte = b' ';
        }
    }
    out.put_slice(b"\r\n");
}

/// As many digits as a number may have.
const DIGITS_MAX: usize = 20;
/// A kind, a sign, digits, and the end of the line.
const HEADER_BYTES_MAX: usize = 1 + 1 + DIGITS_MAX + 2;

/// The digits of a number, at the end of `buffer`.
fn decimal(number: u64, buffer: &mut [u8; DIGITS_MAX]) -> &[u8] {
    let mut start = buffer.len();
    let mut rest = number;
    loop {
        start -= 1;
        buffer[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            return &buffer[start..];
        }
    }
}

/// Every element of every reply has one: the digits are put together by hand, from the last one.
fn put_header(kind: u8, number: i64, out: &mut BytesMut) {
    let mut line = [0; HEADER_BYTES_MAX];
    let mut start = line.len() - 2;
    line[start..].copy_from_slice(b"\r\n");
    let mut digits = [0; DIGITS_MAX];
    let digits = decimal(number.unsigned_abs(), &mut digits);
    start -= digits.len();
    line[start..start + digits.len()].copy_from_slice(digits);
    if number < 0 {
        start -= 1;
        line[start] = b'-';
    }
    start -= 1;
    line[start] = kind;
    out.put_slice(&line[start..]);
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn both(reply: &Reply) -> (String, String) {
        let text = |protocol| {
            let mut out = BytesMut::new();
            encode(reply, protocol, &mut out);
            String::from_utf8_lossy(&out).into_owned()
        };
        (text(Protocol::Resp2), text(Protocol::Resp3))
    }

    fn same(text: &str) -> (String, String) {
        (text.to_owned(), text.to_owned())
    }

    #[test]
    fn scalars_have_one_form() {
        assert_eq!(both(&Reply::OK), same("+OK\r\n"));
        for number in [0, 7, -7, 10, 12_345, i64::MAX, i64::MIN] {
            assert_eq!(both(&Reply::Integer(number)), same(&format!(":{number}\r\n")));
        }
        assert_eq!(both(&Reply::bulk("")), same("$0\r\n\r\n"));
        assert_eq!(both(&Reply::Raw(Bytes::from_static(b"raw"))), same("raw"));
    }

    #[test]
    fn nulls_and_containers_follow_the_protocol() {
        assert_eq!(both(&Reply::Null), ("$-1\r\n".into(), "_\r\n".into()));
        assert_eq!(both(&Reply::NullArray), ("*-1\r\n".into(), "_\r\n".into()));
        let map = Reply::Map(vec![(Reply::bulk("k"), Reply::Integer(1))]);
        assert_eq!(
            both(&map),
            ("*2\r\n$1\r\nk\r\n:1\r\n".into(), "%1\r\n$1\r\nk\r\n:1\r\n".into())
        );
        let push = Reply::Push(vec![Reply::Integer(1)]);
        assert_eq!(both(&push), ("*1\r\n:1\r\n".into(), ">1\r\n:1\r\n".into()));
        let set = Reply::Set(vec![Reply::Integer(1)]);
        assert_eq!(both(&set), ("*1\r\n:1\r\n".into(), "~1\r\n:1\r\n".into()));
        let text = Reply::Verbatim(Bytes::from_static(b"hi"));
        assert_eq!(both(&text), ("$2\r\nhi\r\n".into(), "=6\r\ntxt:hi\r\n".into()));
        let many = Reply::Many(vec![Reply::OK, Reply::Null]);
        assert_eq!(both(&many), ("+OK\r\n$-1\r\n".into(), "+OK\r\n_\r\n".into()));
    }

    #[test]
    fn a_place_is_an_address_and_a_port() {
        let endpoint = |text: &str| Reply::Endpoint(text.parse().unwrap());
        let bulks = |ip: &str, port: &str| Reply::Array(vec![Reply::bulk(ip), Reply::bulk(port)]);
        for (ip, port) in [("127.0.0.1", "1"), ("255.255.255.255", "65535"), ("10.0.20.99", "6379")] {
            assert_eq!(both(&endpoint(&format!("{ip}:{port}"))), both(&bulks(ip, port)));
        }
        assert_eq!(both(&endpoint("[fd00::1]:6379")), both(&bulks("fd00::1", "6379")));
    }

    #[test]
    fn a_line_end_in_a_line_cannot_forge_a_reply() {
        let error = Reply::error("ERR bad 'x\r\n+OK\n'".to_owned());
        assert_eq!(both(&error), same("-ERR bad 'x  +OK '\r\n"));
        assert_eq!(both(&Reply::Simple("a\r\nb".into())), same("+a  b\r\n"));
    }

    #[test]
    fn a_request_is_an_array_of_bulk_strings() {
        let mut out = BytesMut::new();
        encode_request(&["GET", "a\r\n"], &mut out);
        assert_eq!(&out[..], b"*2\r\n$3\r\nGET\r\n$3\r\na\r\n\r\n");
    }
}
