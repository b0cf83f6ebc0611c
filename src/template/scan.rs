//! Finds the server lines in the text, word by word, with their place in bytes.
//!
//! What does not live here: what the words of a server mean (`server`).

use std::collections::BTreeSet;
use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput};

use super::error::{Fault, TemplateError};

/// Far beyond any proxy's file: thousands of servers are 100 KiB.
pub(super) const BYTES_MAX: usize = 1 << 20;
/// The proxies themselves read three levels.
const DEPTH_MAX: usize = 16;

/// What stands in a file.
#[derive(Debug)]
pub(super) struct Scan {
    /// The servers, in the order of the file.
    pub(super) entries: Vec<Entry>,
    /// Everything that is no server, in order: no edit may change it.
    pub(super) rest: Vec<String>,
}

/// One server line, or several lines that are one server.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) pool: String,
    pub(super) line: usize,
    pub(super) words: Vec<Word>,
}

/// One word of a server, exactly as in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    /// Its bytes in the file.
    pub(super) bytes: Range<usize>,
}

/// Reads the pools and the words of their servers.
pub(super) fn scan(text: &str) -> Result<Scan, TemplateError> {
    if text.len() > BYTES_MAX {
        let (bytes, limit) = (text.len(), BYTES_MAX);
        return Err(Fault::TooLarge { bytes, limit }.on(1));
    }
    let mut reader = Reader::new(text);
    reader.document()?;
    Ok(Scan {
        entries: reader.entries,
        rest: reader.rest,
    })
}

struct Reader<'text> {
    text: &'text str,
    parser: Parser<'text, StrInput<'text>>,
    /// The parser counts characters: where each one starts in bytes.
    starts: Vec<usize>,
    depth: usize,
    line: usize,
    entries: Vec<Entry>,
    rest: Vec<String>,
}

impl<'text> Reader<'text> {
    fn new(text: &'text str) -> Self {
        Self {
            text,
            parser: Parser::new_from_str(text),
            starts: text.char_indices().map(|(at, _)| at).collect(),
            depth: 0,
            line: 1,
            entries: Vec::new(),
            rest: Vec::new(),
        }
    }

    /// The next event, when it is one that the proxies know. Never recurses, whatever the text nests.
    fn next(&mut self) -> Result<(Event<'text>, Span), TemplateError> {
        let (event, span) = match self.parser.next_event() {
            Some(Ok(next)) => next,
            Some(Err(error)) => {
                return Err(Fault::NotYaml(error.info().to_owned()).on(error.marker().line()));
            }
            None => return Err(Fault::NotYaml("the text ends too early".to_owned()).on(self.line)),
        };
        self.line = span.start.line();
        let (anchor, tagged) = match &event {
            Event::Alias(_) => return Err(Fault::Unsupported("anchors and aliases").on(self.line)),
            Event::Scalar(_, _, anchor, tag) | Event::SequenceStart(anchor, tag) | Event::MappingStart(anchor, tag) => {
                (*anchor, tag.is_some())
            }
            _ => (0, false),
        };
        match &event {
            Event::SequenceStart(..) | Event::MappingStart(..) => self.depth += 1,
            Event::SequenceEnd | Event::MappingEnd => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        let fault = match () {
            () if anchor != 0 => Fault::Unsupported("anchors and aliases"),
            () if tagged => Fault::Unsupported("tags"),
            () if self.depth > DEPTH_MAX => Fault::TooDeep { limit: DEPTH_MAX },
            () => return Ok((event, span)),
        };
        Err(fault.on(self.line))
    }

    fn document(&mut self) -> Result<(), TemplateError> {
        self.next()?; // the stream starts
        if !matches!(self.next()?.0, Event::DocumentStart(_)) {
            return Err(Fault::NoPools.on(1));
        }
        if !matches!(self.next()?.0, Event::MappingStart(..)) {
            return Err(Fault::NoPools.on(1));
        }
        let mut pools = BTreeSet::new();
        while let Some(pool) = self.key()? {
            if !pools.insert(pool.clone()) {
                return Err(Fault::PoolTwice(pool).on(self.line));
            }
            self.pool(&pool)?;
        }
        if pools.is_empty() {
            return Err(Fault::NoPools.on(1));
        }
        self.next()?; // the document ends
        match self.next()?.0 {
            Event::StreamEnd => Ok(()),
            _ => Err(Fault::Unsupported("several documents").on(self.line)),
        }
    }

    /// The next key of a mapping, or its end.
    fn key(&mut self) -> Result<Option<String>, TemplateError> {
        match self.next()?.0 {
            Event::Scalar(key, ..) => {
                self.rest.push(key.to_string());
                Ok(Some(key.into_owned()))
            }
            Event::MappingEnd => {
                self.rest.push("}".to_owned());
                Ok(None)
            }
            _ => Err(Fault::NotAName.on(self.line)),
        }
    }

    fn pool(&mut self, pool: &str) -> Result<(), TemplateError> {
        if !matches!(self.next()?.0, Event::MappingStart(..)) {
            return Err(Fault::NotAPool(pool.to_owned()).on(self.line));
        }
        while let Some(key) = self.key()? {
            if key == "servers" {
                self.servers(pool)?;
            } else {
                self.skip()?;
            }
        }
        Ok(())
    }

    fn servers(&mut self, pool: &str) -> Result<(), TemplateError> {
        let not_a_list = |line| Fault::NotAList(pool.to_owned()).on(line);
        if !matches!(self.next()?.0, Event::SequenceStart(..)) {
            return Err(not_a_list(self.line));
        }
        loop {
            match self.next()? {
                (Event::Scalar(value, style, ..), span) => {
                    let words = self.words(&value, style, &span)?;
                    self.entries.push(Entry {
                        pool: pool.to_owned(),
                        line: span.start.line(),
                        words,
                    });
                }
                (Event::SequenceEnd, _) => return Ok(()),
                _ => return Err(not_a_list(self.line)),
            }
        }
    }

    /// Passes over one value, of whatever shape.
    fn skip(&mut self) -> Result<(), TemplateError> {
        let outside = self.depth;
        loop {
            let (event, _) = self.next()?;
            self.rest.push(format!("{event:?}"));
            if self.depth == outside {
                return Ok(());
            }
        }
    }

    /// Where the words of a value stand. A value that is spelled differently from what it means is refused.
    fn words(&self, value: &str, style: ScalarStyle, span: &Span) -> Result<Vec<Word>, TemplateError> {
        let not_plain = || Fault::NotPlain(value.escape_debug().to_string()).on(span.start.line());
        let mut at = *self.starts.get(span.start.index()).unwrap_or(&self.text.len());
        let quote = match style {
            ScalarStyle::Plain => None,
            ScalarStyle::SingleQuoted => Some('\''),
            ScalarStyle::DoubleQuoted => Some('"'),
            ScalarStyle::Literal | ScalarStyle::Folded => return Err(not_plain()),
        };
        if let Some(quote) = quote {
            at += self.text[at..].starts_with(quote).then_some(1).ok_or_else(not_plain)?;
        }
        let mut words = Vec::new();
        for (turn, word) in value.split(' ').enumerate() {
            if word.is_empty() || word.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
                return Err(not_plain());
            }
            if turn > 0 {
                let rest = &self.text[at..];
                at += rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
            }
            if !self.text[at..].starts_with(word) {
                return Err(not_plain());
            }
            words.push(Word {
                text: word.to_owned(),
                bytes: at..at + word.len(),
            });
            at += word.len();
        }
        if quote.is_some_and(|quote| !self.text[at..].starts_with(quote)) {
            return Err(not_plain());
        }
        Ok(words)
    }
}
