//! MessagePack as a tree, as far as it takes to add and to remove fields.

use std::fmt;

/// A value with its bytes.
#[derive(Clone, Debug)]
pub(crate) enum Packed {
    /// Keys and values.
    Map(Vec<(Packed, Packed)>),
    /// Values.
    Array(Vec<Packed>),
    /// Anything else, as it is.
    Leaf(Vec<u8>),
}

/// One step from a value to a value in it.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Of a map: the number of its field, and its name.
    Field(usize, String),
    /// Of an array.
    Item(usize),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(_, name) => f.write_str(name),
            Self::Item(index) => write!(f, "{index}"),
        }
    }
}

impl Packed {
    /// The value that these bytes are, all of them.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let mut rest = bytes;
        let value = take(&mut rest);
        assert!(rest.is_empty(), "{} bytes behind the value", rest.len());
        value
    }

    /// Its bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Leaf(bytes) => bytes.clone(),
            Self::Array(items) => {
                let items = items.iter().flat_map(Self::bytes);
                head(0x90, 0xdc, self.len()).into_iter().chain(items).collect()
            }
            Self::Map(pairs) => {
                let pairs = pairs
                    .iter()
                    .flat_map(|(key, value)| [key.bytes(), value.bytes()].concat());
                head(0x80, 0xde, self.len()).into_iter().chain(pairs).collect()
            }
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Leaf(_) => 0,
            Self::Array(items) => items.len(),
            Self::Map(pairs) => pairs.len(),
        }
    }

    /// The ways to all maps with names for keys, this one included.
    pub(crate) fn maps(&self) -> Vec<Vec<Step>> {
        let mut found = Vec::new();
        self.walk(&mut Vec::new(), &mut found);
        found
    }

    fn walk(&self, path: &mut Vec<Step>, found: &mut Vec<Vec<Step>>) {
        let steps: Vec<(Step, &Self)> = match self {
            Self::Leaf(_) => return,
            Self::Array(items) => items
                .iter()
                .enumerate()
                .map(|(index, item)| (Step::Item(index), item))
                .collect(),
            Self::Map(pairs) => {
                if pairs.iter().all(|(key, _)| key.name().is_some()) {
                    found.push(path.clone());
                }
                let step = |index, key: &Self| Step::Field(index, key.name().unwrap_or_else(|| "*".to_owned()));
                pairs
                    .iter()
                    .enumerate()
                    .map(|(index, (key, value))| (step(index, key), value))
                    .collect()
            }
        };
        for (step, value) in steps {
            path.push(step);
            value.walk(path, found);
            path.pop();
        }
    }

    /// A text of at most 31 bytes.
    fn name(&self) -> Option<String> {
        match self {
            Self::Leaf(bytes) if bytes[0] & 0xe0 == 0xa0 => String::from_utf8(bytes[1..].to_vec()).ok(),
            _ => None,
        }
    }

    fn at(&mut self, path: &[Step]) -> &mut Self {
        path.iter().fold(self, |value, step| match (value, step) {
            (Self::Map(pairs), Step::Field(index, _)) => &mut pairs[*index].1,
            (Self::Array(items), Step::Item(index)) => &mut items[*index],
            _ => panic!("no such step"),
        })
    }

    fn pairs(&mut self, path: &[Step]) -> &mut Vec<(Self, Self)> {
        match self.at(path) {
            Self::Map(pairs) => pairs,
            _ => panic!("no map"),
        }
    }

    /// How many fields a map has.
    pub(crate) fn field_count(&self, path: &[Step]) -> usize {
        self.clone().pairs(path).len()
    }

    /// The same with one more field, as a later version would write it.
    pub(crate) fn with_extra(&self, path: &[Step]) -> Self {
        let mut changed = self.clone();
        let extra = Self::parse(b"\x81\xa5later\x93\x01\xc3\xa4text");
        let name = Self::parse(b"\xb0added_afterwards");
        changed.pairs(path).push((name, extra));
        changed
    }

    /// The same without one field, and its name.
    pub(crate) fn without(&self, path: &[Step], field: usize) -> (String, Self) {
        let mut changed = self.clone();
        let (name, _) = changed.pairs(path).remove(field);
        (name.name().unwrap_or_default(), changed)
    }
}

fn head(fixed: u8, long: u8, count: usize) -> Vec<u8> {
    match u8::try_from(count) {
        Ok(few @ 0..16) => vec![fixed | few],
        _ => [&[long][..], &(count as u16).to_be_bytes()].concat(),
    }
}

fn take(rest: &mut &[u8]) -> Packed {
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte));
    let code = rest[0];
    // Bytes of the head, and what follows it.
    let (head, count) = match code {
        0x80..=0x8f => return take_map(rest, 1, usize::from(code & 0x0f)),
        0x90..=0x9f => return take_array(rest, 1, usize::from(code & 0x0f)),
        0xdc => return take_array(rest, 3, number(&rest[1..3])),
        0xde => return take_map(rest, 3, number(&rest[1..3])),
        0x00..=0x7f | 0xc0 | 0xc2 | 0xc3 | 0xe0..=0xff => (1, 0),
        0xa0..=0xbf => (1, usize::from(code & 0x1f)),
        0xc4 | 0xd9 => (2, number(&rest[1..2])),
        0xc5 | 0xda => (3, number(&rest[1..3])),
        0xc6 | 0xdb => (5, number(&rest[1..5])),
        0xcc | 0xd0 => (1, 1),
        0xcd | 0xd1 => (1, 2),
        0xca | 0xce | 0xd2 => (1, 4),
        0xcb | 0xcf | 0xd3 => (1, 8),
        _ => panic!("code {code:#x} is not known here"),
    };
    let (leaf, behind) = rest.split_at(head + count);
    *rest = behind;
    Packed::Leaf(leaf.to_vec())
}

fn take_array(rest: &mut &[u8], head: usize, count: usize) -> Packed {
    *rest = &rest[head..];
    Packed::Array((0..count).map(|_| take(rest)).collect())
}

fn take_map(rest: &mut &[u8], head: usize, count: usize) -> Packed {
    *rest = &rest[head..];
    Packed::Map((0..count).map(|_| (take(rest), take(rest))).collect())
}
