//! Decimal numbers as Redis reads them in protocol headers: one spelling per number.

/// Reads a number: an optional minus sign and digits without leading zeros. `+4`, `007`, `-0`, blanks and
/// anything beyond 64 bits are no numbers.
pub(super) fn parse_number(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let canonical = match digits {
        [] => false,
        [b'0'] => digits.len() == text.len(),
        [b'0', ..] => false,
        _ => digits.iter().all(u8::is_ascii_digit),
    };
    if !canonical {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::parse_number;

    #[test]
    fn a_number_has_one_spelling() {
        assert_eq!(parse_number(b"0"), Some(0));
        assert_eq!(parse_number(b"-1"), Some(-1));
        assert_eq!(parse_number(b"9223372036854775807"), Some(i64::MAX));
        for wrong in [
            "",
            "-",
            "+4",
            "0001",
            "-0",
            " 1",
            "1 ",
            "1a",
            "9223372036854775808",
            "1\n",
        ] {
            assert_eq!(parse_number(wrong.as_bytes()), None, "{wrong:?}");
        }
    }
}
