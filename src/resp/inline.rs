//! Inline commands, and the lines of a configuration: a line of text, split into arguments by Redis's quoting rules.
//!
//! `"..."` knows `\n \r \t \b \a`, `\xHH` and takes any other escaped byte as itself; `'...'` knows only `\'`.
//! A quote may open in the middle of an argument, but behind a closing one comes a space or the end.

use bytes::Bytes;

/// The quotes of a line do not pair up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unbalanced;

/// The arguments of a line that has lost its line end. None at all for a blank line.
pub fn split_line(line: &[u8]) -> Result<Vec<Bytes>, Unbalanced> {
    let mut arguments = Vec::new();
    let mut rest = line;
    loop {
        let blank = rest.iter().take_while(|byte| is_space(**byte)).count();
        rest = &rest[blank..];
        if rest.is_empty() {
            return Ok(arguments);
        }
        let (argument, left) = take_argument(rest)?;
        arguments.push(Bytes::from(argument));
        rest = left;
    }
}

/// Takes the argument at the start of `rest`, and gives what is behind it.
fn take_argument(mut rest: &[u8]) -> Result<(Vec<u8>, &[u8]), Unbalanced> {
    let mut argument = Vec::new();
    loop {
        match rest {
            [] | [b' ' | b'\t' | b'\r' | b'\n', ..] => return Ok((argument, rest)),
            [b'"', inside @ ..] => return finish(take_double_quoted(inside, &mut argument)?, argument),
            [b'\'', inside @ ..] => return finish(take_single_quoted(inside, &mut argument)?, argument),
            [byte, left @ ..] => {
                argument.push(*byte);
                rest = left;
            }
        }
    }
}

/// A closing quote ends its argument: a space or nothing must follow.
fn finish(rest: &[u8], argument: Vec<u8>) -> Result<(Vec<u8>, &[u8]), Unbalanced> {
    match rest.first() {
        Some(byte) if !is_space(*byte) => Err(Unbalanced),
        _ => Ok((argument, rest)),
    }
}

fn take_double_quoted<'a>(mut rest: &'a [u8], argument: &mut Vec<u8>) -> Result<&'a [u8], Unbalanced> {
    loop {
        rest = match rest {
            [] => return Err(Unbalanced),
            [b'"', left @ ..] => return Ok(left),
            [b'\\', b'x', high, low, left @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                argument.push(hex_value(*high) << 4 | hex_value(*low));
                left
            }
            [b'\\', escaped, left @ ..] => {
                argument.push(unescape(*escaped));
                left
            }
            [byte, left @ ..] => {
                argument.push(*byte);
                left
            }
        }
    }
}

fn take_single_quoted<'a>(mut rest: &'a [u8], argument: &mut Vec<u8>) -> Result<&'a [u8], Unbalanced> {
    loop {
        rest = match rest {
            [] => return Err(Unbalanced),
            [b'\'', left @ ..] => return Ok(left),
            [b'\\', b'\'', left @ ..] => {
                argument.push(b'\'');
                left
            }
            [byte, left @ ..] => {
                argument.push(*byte);
                left
            }
        }
    }
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

fn hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}

/// The spaces of the C locale.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Result<Vec<Vec<u8>>, Unbalanced> {
        split_line(line.as_bytes()).map(|arguments| arguments.iter().map(|a| a.to_vec()).collect())
    }

    #[test]
    fn blanks_separate_and_are_dropped() {
        let words = vec![b"ping".to_vec(), b"x".to_vec()];
        assert_eq!(split("  ping \t x  "), Ok(words));
        assert_eq!(split(""), Ok(vec![]));
        assert_eq!(split(" \t "), Ok(vec![]));
    }

    #[test]
    fn double_quotes_know_escapes() {
        assert_eq!(split(r#""a b""#), Ok(vec![b"a b".to_vec()]));
        assert_eq!(split(r#""\x41\xfF\n\"\q\\""#), Ok(vec![b"A\xff\n\"q\\".to_vec()]));
        assert_eq!(split(r#""\xg1""#), Ok(vec![b"xg1".to_vec()]));
        assert_eq!(split(r#""""#), Ok(vec![b"".to_vec()]));
    }

    #[test]
    fn single_quotes_know_only_the_quote() {
        assert_eq!(split(r"'a \n\'b'"), Ok(vec![br"a \n'b".to_vec()]));
    }

    #[test]
    fn a_quote_may_open_inside_an_argument() {
        assert_eq!(split(r#"a"b c"'"#), Err(Unbalanced));
        assert_eq!(split(r#"a"b c" d"#), Ok(vec![b"ab c".to_vec(), b"d".to_vec()]));
    }

    #[test]
    fn quotes_that_do_not_pair_up_are_refused() {
        for line in [r#"""#, r#""a"#, r#"'a"#, r#""a"b"#, r#"'a'b"#, r#""a\"#, r#""a\""#, "'"] {
            assert_eq!(split(line), Err(Unbalanced), "{line}");
        }
    }
}
