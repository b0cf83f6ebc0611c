//! Redis's glob: `*`, `?`, `[a-z]`, `[^a-z]` and `\` for the byte behind it.
//!
//! Its corners are kept: an unclosed class ends with the pattern, `]` right after the opening closes an empty
//! class, a range may be written backwards, a lone `\` at the end is itself, and an empty text is matched by the
//! empty pattern only. Every token but `*` takes exactly one byte, so going back to the last `*` is enough and a
//! match costs at most pattern times text.

/// Whether `pattern` matches the whole of `text`.
pub fn glob_matches(pattern: &[u8], text: &[u8]) -> bool {
    if text.is_empty() {
        return pattern.is_empty();
    }
    let (mut pattern, mut text) = (pattern, text);
    // Where to go on after a mismatch: the pattern behind the last `*`, and the text that it was last tried on.
    let mut retry: Option<(&[u8], &[u8])> = None;
    while !text.is_empty() {
        if let [b'*', rest @ ..] = pattern {
            if rest.is_empty() {
                return true;
            }
            pattern = rest;
            retry = Some((rest, text));
            continue;
        }
        if let Some(rest) = take_token(pattern, text[0]) {
            pattern = rest;
            text = &text[1..];
            continue;
        }
        let Some((behind, [_, tried @ ..])) = retry else {
            return false;
        };
        retry = Some((behind, tried));
        (pattern, text) = (behind, tried);
    }
    pattern.iter().all(|byte| *byte == b'*')
}

/// The pattern behind its first token, when that token matches `byte`. The token is not `*`.
fn take_token(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    let (matched, rest) = match pattern {
        [] => return None,
        [b'?', rest @ ..] => (true, rest),
        [b'[', b'^', class @ ..] => {
            let (member, rest) = take_class(class, byte);
            (!member, rest)
        }
        [b'[', class @ ..] => take_class(class, byte),
        [b'\\', literal, rest @ ..] | [literal, rest @ ..] => (*literal == byte, rest),
    };
    matched.then_some(rest)
}

/// Whether `byte` is in the class whose inside starts here, and the pattern behind the class.
fn take_class(mut class: &[u8], byte: u8) -> (bool, &[u8]) {
    let mut member = false;
    loop {
        class = match class {
            [] => return (member, class),
            [b'\\', literal, rest @ ..] => {
                member |= *literal == byte;
                rest
            }
            [b']', rest @ ..] => return (member, rest),
            [from, b'-', to, rest @ ..] => {
                member |= (*from.min(to)..=*from.max(to)).contains(&byte);
                rest
            }
            [literal, rest @ ..] => {
                member |= *literal == byte;
                rest
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::glob_matches;

    #[test]
    fn a_match_is_what_redis_says() {
        let table: &[(&str, &str, bool)] = &[
            ("", "", true),
            ("", "a", false),
            ("*", "", false),
            ("*", "a", true),
            ("**", "a", true),
            ("a*", "a", true),
            ("a**", "a", true),
            ("*a", "a", true),
            ("*a*", "bab", true),
            ("*ab", "aab", true),
            ("a?c", "abc", true),
            ("a?", "a", false),
            ("+switch-*", "+switch-master", true),
            ("+switch-master", "+switch-maste", false),
            ("[abc]", "b", true),
            ("[abc]", "d", false),
            ("[^abc]", "d", true),
            ("[^abc]", "a", false),
            ("[a-c]", "b", true),
            ("[c-a]", "b", true),
            ("[^a-c]x", "dx", true),
            ("[]a]", "a", false),
            ("[]", "a", false),
            ("[^]", "a", true),
            ("[^]a", "xa", true),
            ("[", "[", false),
            ("[a", "a", true),
            ("[^a", "b", true),
            ("[a-", "-", true),
            ("[a-]", "_", true),
            ("[a-]", "b", false),
            ("[a-]x", "_x", false),
            (r"[\]]", "]", true),
            (r"[\-x]", "-", true),
            (r"\*", "*", true),
            (r"\*", "a", false),
            (r"\a", "a", true),
            (r"\", r"\", true),
            (r"a\", r"a\", true),
            (r"[\", r"\", true),
            ("A", "a", false),
        ];
        for (pattern, text, expected) in table {
            assert_eq!(
                glob_matches(pattern.as_bytes(), text.as_bytes()),
                *expected,
                "{pattern} on {text}"
            );
        }
    }

    #[test]
    fn many_stars_do_not_explode() {
        let pattern = "a*".repeat(2000) + "b";
        let text = "a".repeat(4000);
        assert!(!glob_matches(pattern.as_bytes(), text.as_bytes()));
    }
}
