//! Tests of the request decoder. The hostile inputs as a client sends them are in the integration tests.

use proptest::prelude::*;

use super::*;

const SMALL: Limits = Limits {
    bulk_bytes_max: 100,
    elements_max: 10,
    line_bytes_max: 64,
    request_bytes_max: 600,
};

type Decoded = (Vec<Vec<Vec<u8>>>, Option<ProtocolError>);

fn decode_pieces(limits: Limits, pieces: &[&[u8]]) -> Decoded {
    let mut decoder = Decoder::new(limits);
    let mut buffer = BytesMut::new();
    let mut requests = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Some(Request(arguments))) => requests.push(arguments.iter().map(|a| a.to_vec()).collect()),
                Ok(None) => break,
                Err(error) => return (requests, Some(error)),
            }
        }
    }
    (requests, None)
}

fn fails(input: impl AsRef<[u8]>) -> String {
    let (requests, error) = decode_pieces(SMALL, &[input.as_ref()]);
    assert_eq!(requests.len(), 0, "a request was read");
    error.expect("an error").to_string()
}

fn reads(input: &str) -> Vec<Vec<String>> {
    let (requests, error) = decode_pieces(SMALL, &[input.as_bytes()]);
    assert_eq!(error, None, "{input:?}");
    let text = |argument: &Vec<u8>| String::from_utf8(argument.clone()).unwrap();
    requests
        .iter()
        .map(|request| request.iter().map(text).collect())
        .collect()
}

#[test]
fn arrays_and_lines_are_requests() {
    assert_eq!(reads("*2\r\n$4\r\nPING\r\n$0\r\n\r\n"), [["PING", ""]]);
    assert_eq!(reads("ping x\r\nping 'a b'\n"), [["ping", "x"], ["ping", "a b"]]);
    assert_eq!(reads("*1\r\n$2\r\n\r\n\r\nping\r\n"), [["\r\n"], ["ping"]]);
}

#[test]
fn what_asks_for_nothing_is_skipped() {
    assert_eq!(reads("*0\r\n*-1\r\n*-7\r\n\r\n\n  \r\nPING\r\n*0\r\n"), [["PING"]]);
}

#[test]
fn lengths_have_one_spelling_and_a_limit() {
    for count in ["11", "1000000000", "9223372036854775808", "0001", "+1", "", "x", " 1"] {
        assert_eq!(fails(format!("*{count}\r\n")), "invalid multibulk length", "{count}");
    }
    for length in ["-1", "-5", "101", "9223372036854775807", "+4", "04", "", "4 "] {
        assert_eq!(fails(format!("*1\r\n${length}\r\n")), "invalid bulk length", "{length}");
    }
    assert_eq!(fails("*1\rX"), "invalid multibulk length");
    assert_eq!(fails("*1\n$4\r\n"), "invalid multibulk length");
}

#[test]
fn only_bulk_strings_are_arguments() {
    assert_eq!(fails("*1\r\n*1\r\n"), "expected '$', got '*'");
    assert_eq!(fails("*1\r\n:"), "expected '$', got ':'");
    assert_eq!(fails("*1\r\n\r"), "expected '$', got '\\r'");
    assert_eq!(fails(b"*1\r\n\xff"), "expected '$', got '\\xff'");
}

#[test]
fn a_bulk_ends_where_it_says() {
    assert_eq!(fails("*1\r\n$4\r\nPINGxx"), "expected CRLF behind the bulk");
    assert_eq!(fails("*1\r\n$4\r\nPING\rx"), "expected CRLF behind the bulk");
}

#[test]
fn lines_have_a_limit() {
    assert_eq!(fails("x".repeat(65)), "too big inline request");
    assert_eq!(fails("x".repeat(65) + "\r\n"), "too big inline request");
    assert_eq!(fails("*".to_owned() + &"1".repeat(65)), "too big mbulk count string");
    assert_eq!(
        fails("*1\r\n$".to_owned() + &"1".repeat(65)),
        "too big bulk count string"
    );
    assert_eq!(reads(&("x".repeat(64) + "\n")), [["x".repeat(64)]]);
}

#[test]
fn the_whole_request_has_a_limit() {
    let argument = format!("$100\r\n{}\r\n", "x".repeat(100));
    assert_eq!(fails("*10\r\n".to_owned() + &argument.repeat(9)), "too big request");
    let empties = "*10\r\n".to_owned() + &"$0\r\n\r\n".repeat(10);
    assert_eq!(fails(empties), "too big request");
    let three = "*3\r\n".to_owned() + &argument.repeat(3);
    assert_eq!(reads(&three.repeat(4)).len(), 4);
}

#[test]
fn quotes_must_pair_up() {
    assert_eq!(fails("ping \"a\n"), "unbalanced quotes in request");
}

#[test]
fn a_promise_sets_no_memory_aside() {
    let mut decoder = Decoder::new(Limits::PEER);
    let mut buffer = BytesMut::from(&b"*1024\r\n$67108864\r\nx"[..]);
    let capacity = buffer.capacity();
    assert_eq!(decoder.decode(&mut buffer), Ok(None));
    assert_eq!(decoder.arguments.capacity(), 0);
    assert!(buffer.capacity() <= capacity);
}

#[test]
fn a_small_argument_does_not_keep_the_read_buffer() {
    let mut buffer = BytesMut::with_capacity(1 << 20);
    buffer.extend_from_slice(b"*1\r\n$4\r\nPING\r\n");
    let start = buffer.as_ptr();
    let request = Decoder::new(Limits::CLIENT).decode(&mut buffer).unwrap().unwrap();
    buffer.reserve(1 << 20);
    assert_eq!(buffer.as_ptr(), start, "the buffer was free to be used again");
    assert_eq!(request.name(), b"PING");
}

#[test]
fn a_half_request_is_partial() {
    let mut decoder = Decoder::new(SMALL);
    let mut buffer = BytesMut::new();
    assert!(!decoder.is_partial(&buffer));
    for piece in ["*", "1\r\n", "$4\r\n", "PI", "NG\r"] {
        buffer.extend_from_slice(piece.as_bytes());
        assert_eq!(decoder.decode(&mut buffer), Ok(None));
        assert!(decoder.is_partial(&buffer), "{piece:?}");
    }
    buffer.extend_from_slice(b"\n\r\n*0\r\n");
    assert!(decoder.decode(&mut buffer).unwrap().is_some());
    assert_eq!(decoder.decode(&mut buffer), Ok(None));
    assert!(!decoder.is_partial(&buffer));
}

#[test]
fn an_error_is_final() {
    let mut decoder = Decoder::new(SMALL);
    let mut buffer = BytesMut::from(&b"*x\r\n"[..]);
    assert!(decoder.decode(&mut buffer).is_err());
    buffer.clear();
    buffer.extend_from_slice(b"PING\r\n");
    assert_eq!(decoder.decode(&mut buffer), Err(ProtocolError::MultibulkLength));
}

fn request() -> impl Strategy<Value = Vec<u8>> {
    let argument = prop::collection::vec(any::<u8>(), 0..30);
    let array = prop::collection::vec(argument, 1..6).prop_map(|arguments| {
        let mut out = BytesMut::new();
        crate::resp::encode_request(&arguments, &mut out);
        out.to_vec()
    });
    let line = "[a-z ]{0,20}(\r\n|\n)".prop_map(String::into_bytes);
    prop_oneof![array, line, Just(b"*0\r\n".to_vec())]
}

proptest! {
    #[test]
    fn cutting_the_stream_changes_nothing(requests in prop::collection::vec(request(), 0..8),
                                          cuts in prop::collection::vec(1usize..20, 1..200)) {
        let input = requests.concat();
        let mut pieces = Vec::new();
        let mut rest = &input[..];
        for cut in cuts {
            let (piece, left) = rest.split_at(cut.min(rest.len()));
            pieces.push(piece);
            rest = left;
        }
        pieces.push(rest);
        prop_assert_eq!(decode_pieces(Limits::CLIENT, &pieces), decode_pieces(Limits::CLIENT, &[&input]));
    }

    #[test]
    fn what_is_encoded_is_what_is_read(arguments in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 1..8)) {
        let mut out = BytesMut::new();
        crate::resp::encode_request(&arguments, &mut out);
        prop_assert_eq!(decode_pieces(Limits::CLIENT, &[&out]), (vec![arguments], None));
    }

    #[test]
    fn random_bytes_do_no_harm(input in prop::collection::vec(prop_oneof![
        prop::sample::select(b"*$\r\n0123 '\"\\".to_vec()), any::<u8>(),
    ], 0..300), size in 1usize..40) {
        let pieces: Vec<&[u8]> = input.chunks(size).collect();
        prop_assert_eq!(decode_pieces(SMALL, &pieces), decode_pieces(SMALL, &[&input]));
    }
}
