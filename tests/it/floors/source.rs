//! Finds the paths that Rust text names: `use` trees spread out, and paths inside code.
//!
//! No full parser: comments and literals are blanked, and what is left is read word by word.

/// Every path with its line: `use a::{b, c::d};` gives `a::b` and `a::c::d`.
pub(super) fn paths(source: &str) -> Vec<(usize, Vec<String>)> {
    let words = words(&blank(source));
    let mut found = Vec::new();
    let mut at = 0;
    while at < words.len() {
        if words[at].text == "use" {
            at = use_tree(&words, at + 1, &[], &mut found);
        } else if words[at].is_name() {
            let (path, next) = path(&words, at);
            found.push((words[at].line, path));
            at = next;
        } else {
            at += 1;
        }
    }
    found
}

struct Word {
    line: usize,
    text: String,
}

impl Word {
    fn is_name(&self) -> bool {
        self.text
            .starts_with(|first: char| first.is_alphabetic() || first == '_')
    }
}

fn words(text: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut line = 1;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let mut word = String::from(letter);
        if letter == '\n' {
            line += 1;
        }
        if letter.is_whitespace() {
            continue;
        }
        if letter.is_alphanumeric() || letter == '_' {
            while let Some(next) = letters.next_if(|next| next.is_alphanumeric() || *next == '_') {
                word.push(next);
            }
        } else if letter == ':' && letters.next_if_eq(&':').is_some() {
            word.push(':');
        }
        words.push(Word { line, text: word });
    }
    words
}

/// A plain path that starts at `at`, and where it ends.
fn path(words: &[Word], mut at: usize) -> (Vec<String>, usize) {
    let mut parts = vec![words[at].text.clone()];
    at += 1;
    while at + 1 < words.len() && words[at].text == "::" && (words[at + 1].is_name() || words[at + 1].text == "*") {
        parts.push(words[at + 1].text.clone());
        at += 2;
    }
    (parts, at)
}

/// One branch of a `use` tree below `prefix`; answers where it ends.
fn use_tree(words: &[Word], mut at: usize, prefix: &[String], found: &mut Vec<(usize, Vec<String>)>) -> usize {
    let mut parts = prefix.to_vec();
    while at < words.len() {
        match words[at].text.as_str() {
            "::" => at += 1,
            "{" => {
                at += 1;
                while at < words.len() && !matches!(words[at].text.as_str(), "}" | ";") {
                    at = use_tree(words, at, &parts, found);
                    if at < words.len() && words[at].text == "," {
                        at += 1;
                    }
                }
                return at + 1;
            }
            "as" => at += 2,
            "," | "}" | ";" => break,
            part => {
                parts.push(part.to_owned());
                at += 1;
            }
        }
    }
    if let Some(word) = words.get(at.saturating_sub(1)) {
        found.push((word.line, parts));
    }
    at
}

/// The text with comments, strings and character literals blanked; line ends stay.
fn blank(source: &str) -> String {
    let letters: Vec<char> = source.chars().collect();
    let mut out = String::with_capacity(source.len());
    let mut at = 0;
    while at < letters.len() {
        let end = literal_end(&letters, at);
        if end == at {
            out.push(letters[at]);
            at += 1;
        } else {
            out.push(' ');
            out.extend(letters[at..end].iter().filter(|letter| **letter == '\n'));
            at = end;
        }
    }
    out
}

/// Where the comment or literal that starts at `at` ends; `at` itself when none starts there.
fn literal_end(letters: &[char], at: usize) -> usize {
    let next = letters.get(at + 1).copied();
    let after_name = at > 0 && (letters[at - 1].is_alphanumeric() || letters[at - 1] == '_');
    match (letters[at], next) {
        ('/', Some('/')) => find(letters, at, |letter| letter == '\n'),
        ('/', Some('*')) => block_comment_end(letters, at),
        ('"', _) => quoted_end(letters, at + 1, '"'),
        ('r', Some('"' | '#')) if !after_name || letters[at - 1] == 'b' => raw_end(letters, at),
        // A lifetime has no closing quote right after its letter.
        ('\'', Some('\\')) => quoted_end(letters, at + 1, '\''),
        ('\'', Some(_)) if letters.get(at + 2) == Some(&'\'') => at + 3,
        _ => at,
    }
}

fn find(letters: &[char], from: usize, stop: impl Fn(char) -> bool) -> usize {
    let mut at = from;
    while at < letters.len() && !stop(letters[at]) {
        at += 1;
    }
    at
}

fn quoted_end(letters: &[char], mut at: usize, quote: char) -> usize {
    while at < letters.len() && letters[at] != quote {
        at += if letters[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(letters.len())
}

fn block_comment_end(letters: &[char], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while at < letters.len() {
        match (letters[at], letters.get(at + 1)) {
            ('/', Some('*')) => {
                depth += 1;
                at += 2;
            }
            ('*', Some('/')) => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    at
}

fn raw_end(letters: &[char], start: usize) -> usize {
    let open = find(letters, start + 1, |letter| letter != '#');
    if letters.get(open) != Some(&'"') {
        return start; // a raw identifier, r#type
    }
    let hashes = open - start - 1;
    let mut at = open + 1;
    while at < letters.len() {
        let closing = letters[at] == '"' && letters[at + 1..].iter().take_while(|l| **l == '#').count() >= hashes;
        at += 1;
        if closing {
            return at + hashes;
        }
    }
    at
}
