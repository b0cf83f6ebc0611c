//! Why a proxy's file cannot be followed.

/// A fault, and the line on which it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct TemplateError {
    /// Counted from 1; 0 is never used.
    pub line: usize,
    /// What is wrong there.
    pub fault: Fault,
}

/// What is wrong with a proxy's file, or with what was asked of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Larger than any proxy's file.
    #[error("the file has {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// Size of the text.
        bytes: usize,
        /// The most that is read.
        limit: usize,
    },
    /// Deeper than any proxy's file.
    #[error("nested more than {limit} levels deep")]
    TooDeep {
        /// The deepest that is read.
        limit: usize,
    },
    /// The YAML parser's own words.
    #[error("not YAML: {0}")]
    NotYaml(String),
    /// Not a list of pools.
    #[error("no pools: expected 'pool:' with its settings below")]
    NoPools,
    /// A name that two pools share.
    #[error("pool '{0}' stands twice in the file")]
    PoolTwice(String),
    /// A pool that has no settings.
    #[error("pool '{0}' has no settings")]
    NotAPool(String),
    /// A key that is a list or a mapping.
    #[error("expected a name here")]
    NotAName,
    /// A pool's servers are no list.
    #[error("the servers of pool '{0}' are no list of lines")]
    NotAList(String),
    /// What the proxies do not know.
    #[error("{0} are not supported in a proxy's file")]
    Unsupported(&'static str),
    /// Text that is spelled differently from what it means, so that it cannot be edited in place.
    #[error("a server must be written plainly, without escapes, block texts or double blanks: '{0}'")]
    NotPlain(String),
    /// Not a server of this dialect.
    #[error("'{0}' is no server: expected host:port:weight")]
    NotAnAddress(String),
    /// `host:port` alone.
    #[error("'{0}' has no weight: expected host:port:weight")]
    NoWeight(String),
    /// A weight that is no number from 1 on.
    #[error("'{0}' has a bad weight: expected a number from 1 on")]
    BadWeight(String),
    /// Port 0, or beyond 65535, or no number.
    #[error("'{0}' has a bad port: expected 1 to 65535")]
    BadPort(String),
    /// BDRP's own rewritten file does not load when a server has no name.
    #[error("'{0}' has no name: the proxy could not read the file that it writes itself")]
    NoName(String),
    /// A name without addresses.
    #[error("server '{0}' has no address")]
    NoAddress(String),
    /// BDRP aborts on IPv6.
    #[error("'{0}': this proxy does not survive IPv6 addresses")]
    Ipv6(String),
    /// BDRP cuts longer texts, and then cannot read its own file.
    #[error("'{text}' is longer than the {limit} bytes that this proxy keeps")]
    TooLong {
        /// The text.
        text: String,
        /// The longest that the proxy keeps whole.
        limit: usize,
    },
    /// A name that two servers of a pool share.
    #[error("server '{name}' stands twice in pool '{pool}', first on line {first}")]
    ServerTwice {
        /// The pool.
        pool: String,
        /// The name.
        name: String,
        /// Line of the first one.
        first: usize,
    },
    /// A placement for a server that is not there.
    #[error("there is no server number {0}")]
    NoSuchServer(usize),
    /// A server that cannot be moved.
    #[error("'{0}' cannot be moved: {1}")]
    Fixed(String, &'static str),
    /// The result does not say what was asked for; nothing of it is used.
    #[error("the changed text does not read as it should: {0}")]
    Changed(String),
}

impl Fault {
    pub(super) fn on(self, line: usize) -> TemplateError {
        TemplateError {
            line: line.max(1),
            fault: self,
        }
    }
}
