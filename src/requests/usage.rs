//! The usage of a request as COMMAND DOCS tells it: redis-cli makes its hints of that.
//!
//! ```text
//! <name>       an argument            WORD            a word of its own
//! WORD <name>  an argument behind it  [..]            optional
//! (a|b)        one of                 <name> ... or [<name> ...]   any number of them
//! ```

use std::iter::Peekable;
use std::str::Chars;

use crate::resp::Reply;

/// One part of a usage.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Argument(String),
    Word(String),
    Behind { word: String, part: Box<Part> },
    OneOf(Vec<Part>),
    Block(Vec<Part>),
    Optional(Box<Part>),
    Multiple(Box<Part>),
}

/// The arguments that a usage names; none for an empty one.
pub(super) fn arguments(usage: &str) -> Vec<Reply> {
    let mut rest = usage.chars().peekable();
    alternatives(&mut rest).iter().map(describe).collect()
}

/// Everything up to a closing bracket; several alternatives become one part.
fn alternatives(rest: &mut Peekable<Chars<'_>>) -> Vec<Part> {
    let mut all = vec![Vec::new()];
    while let Some(next) = rest.peek().copied() {
        match next {
            ')' | ']' => break,
            '|' => {
                rest.next();
                all.push(Vec::new());
            }
            ' ' => {
                rest.next();
            }
            _ => {
                let part = part(rest);
                if let Some(parts) = all.last_mut() {
                    add(parts, part);
                }
            }
        }
    }
    if all.len() == 1 {
        return all.pop().unwrap_or_default();
    }
    vec![Part::OneOf(all.into_iter().map(block).collect())]
}

fn part(rest: &mut Peekable<Chars<'_>>) -> Part {
    match rest.peek() {
        Some('<') => {
            rest.next();
            let name: String = rest.by_ref().take_while(|c| *c != '>').collect();
            Part::Argument(name)
        }
        Some('[') => {
            rest.next();
            let inner = alternatives(rest);
            rest.next();
            Part::Optional(Box::new(block(inner)))
        }
        Some('(') => {
            rest.next();
            let inner = alternatives(rest);
            rest.next();
            block(inner)
        }
        _ => {
            let mut word = String::new();
            while let Some(c) = rest.next_if(|c| !matches!(c, ' ' | '|' | ')' | ']' | '[' | '(' | '<')) {
                word.push(c);
            }
            Part::Word(word)
        }
    }
}

/// Puts a part behind the others: a word and the argument behind it are one, and so is what may be repeated.
fn add(parts: &mut Vec<Part>, part: Part) {
    if let Some(run) = repeated(&part)
        && take_run(parts, &run)
    {
        return parts.push(Part::Multiple(Box::new(block(run))));
    }
    match (parts.pop(), part) {
        (Some(Part::Word(word)), part @ (Part::Argument(_) | Part::OneOf(_))) => {
            let part = Box::new(part);
            parts.push(Part::Behind { word, part });
        }
        (Some(before), Part::Word(dots)) if dots == "..." => parts.push(Part::Multiple(Box::new(before))),
        (before, part) => parts.extend(before.into_iter().chain([part])),
    }
}

/// The run of parts that `[a b ...]` repeats.
fn repeated(part: &Part) -> Option<Vec<Part>> {
    let Part::Optional(inner) = part else { return None };
    let mut run = match inner.as_ref() {
        Part::Block(run) => run.clone(),
        one => vec![one.clone()],
    };
    match run.pop()? {
        Part::Multiple(last) => run.push(*last),
        _ => return None,
    }
    Some(run)
}

/// Takes the run off the end of the parts, when it stands there. A word before it stays.
fn take_run(parts: &mut Vec<Part>, run: &[Part]) -> bool {
    let Some(start) = parts.len().checked_sub(run.len()) else {
        return false;
    };
    let word = match &parts[start] {
        Part::Behind { word, part } if **part == run[0] => Some(word.clone()),
        first if *first == run[0] => None,
        _ => return false,
    };
    if parts[start + 1..] != run[1..] {
        return false;
    }
    parts.truncate(start);
    parts.extend(word.map(Part::Word));
    true
}

fn block(mut parts: Vec<Part>) -> Part {
    match parts.len() {
        1 => parts.remove(0),
        _ => Part::Block(parts),
    }
}

/// What is known of one part, as pairs; `flags` come last but for the parts within.
fn describe(part: &Part) -> Reply {
    let mut flags = Vec::new();
    let mut inner = part;
    loop {
        inner = match inner {
            Part::Optional(part) => {
                flags.push("optional");
                part
            }
            Part::Multiple(part) => {
                flags.push("multiple");
                part
            }
            _ => break,
        };
    }
    let mut token = None;
    if let Part::Behind { word, part } = inner {
        token = Some(word);
        inner = part;
    }
    let mut fields = Vec::new();
    let mut put = |name: &str, value: Reply| fields.push((Reply::bulk(name), value));
    let parts = match inner {
        Part::Argument(name) => {
            put("name", Reply::bulk(name));
            put("type", Reply::bulk(kind(name)));
            None
        }
        Part::Word(word) => {
            put("name", Reply::bulk(word.to_lowercase()));
            put("type", Reply::bulk("pure-token"));
            put("token", Reply::bulk(word));
            None
        }
        Part::OneOf(parts) => {
            put("name", Reply::bulk(names(parts)));
            put("type", Reply::bulk("oneof"));
            Some(parts)
        }
        Part::Block(parts) => {
            put("name", Reply::bulk(names(parts)));
            put("type", Reply::bulk("block"));
            Some(parts)
        }
        // Unwrapped before.
        Part::Optional(_) | Part::Multiple(_) | Part::Behind { .. } => None,
    };
    if let Some(word) = token {
        put("token", Reply::bulk(word));
    }
    if !flags.is_empty() {
        let flags = flags.into_iter().map(|flag| Reply::Simple(flag.into()));
        put("flags", Reply::Set(flags.collect()));
    }
    if let Some(parts) = parts {
        put("arguments", Reply::Array(parts.iter().map(describe).collect()));
    }
    Reply::Map(fields)
}

fn kind(name: &str) -> &'static str {
    match name {
        "port" | "quorum" | "timeout" | "client-id" | "current-epoch" | "bits" | "count" | "protover" | "node-id" => {
            "integer"
        }
        "pattern" => "pattern",
        _ => "string",
    }
}

fn names(parts: &[Part]) -> String {
    let names: Vec<String> = parts.iter().map(name).collect();
    names.join("_")
}

fn name(part: &Part) -> String {
    match part {
        Part::Argument(name) => name.clone(),
        Part::Word(word) => word.to_lowercase(),
        Part::OneOf(parts) | Part::Block(parts) => names(parts),
        Part::Optional(part) | Part::Multiple(part) | Part::Behind { part, .. } => name(part),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(usage: &str) -> Vec<Part> {
        alternatives(&mut usage.chars().peekable())
    }

    fn argument(name: &str) -> Part {
        Part::Argument(name.to_owned())
    }

    #[test]
    fn a_usage_becomes_its_parts() {
        assert_eq!(parts(""), []);
        assert_eq!(parts("<a> <b>"), [argument("a"), argument("b")]);
        assert_eq!(parts("[<a>]"), [Part::Optional(Box::new(argument("a")))]);
        let repeated = || Part::Multiple(Box::new(argument("a")));
        assert_eq!(parts("<a> [<a> ...]"), [repeated()]);
        assert_eq!(parts("[<a> ...]"), [Part::Optional(Box::new(repeated()))]);
        let pair = || Part::Block(vec![argument("a"), argument("b")]);
        assert_eq!(
            parts("<x> <a> <b> [<a> <b> ...]"),
            [argument("x"), Part::Multiple(Box::new(pair()))]
        );
        let word = || Part::Word("GET".to_owned());
        assert_eq!(parts("GET <a> [<a> ...]"), [word(), repeated()]);
        let pairs = || Part::Multiple(Box::new(pair()));
        assert_eq!(parts("GET <a> <b> [<a> <b> ...]"), [word(), pairs()]);
        assert_eq!(parts("[<a> <b> [<a> <b> ...]]"), [Part::Optional(Box::new(pairs()))]);
        let behind = |word: &str| Part::Behind {
            word: word.to_owned(),
            part: Box::new(argument("a")),
        };
        assert_eq!(
            parts("(ID <a>|TYPE <a>)"),
            [Part::OneOf(vec![behind("ID"), behind("TYPE")])]
        );
    }

    #[test]
    fn every_usage_of_the_table_is_understood_to_its_end() {
        let rows = crate::requests::table()
            .iter()
            .flat_map(|row| std::iter::once(row).chain(row.subcommands));
        for row in rows.filter(|row| !row.usage.is_empty()) {
            let mut rest = row.usage.chars().peekable();
            let parts = alternatives(&mut rest);
            assert_eq!(rest.next(), None, "{}", row.name);
            assert!(!parts.is_empty(), "{}", row.name);
        }
    }
}
