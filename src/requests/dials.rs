//! Dials: what can be turned on a running node, and is forgotten with its process.

use std::collections::BTreeMap;

use crate::model::Age;

/// How the dials of a node stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dials {
    /// How much is logged, in Sentinel's words.
    pub log: LogWord,
    /// What SIMULATE-FAILURE asked for.
    pub simulated: Simulated,
    /// Periods that were configured when the node started; others are Sentinel's.
    configured: BTreeMap<Period, Age>,
    /// Periods that were set since.
    turned: BTreeMap<Period, Age>,
}

/// One turn of a dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dial {
    /// `SENTINEL CONFIG SET loglevel`
    Log(LogWord),
    /// `SENTINEL SIMULATE-FAILURE`
    Simulate(Simulated),
    /// `SENTINEL DEBUG`: so many milliseconds.
    Period(Period, Age),
}

/// The places at which this node is to end, once it comes there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Simulated {
    /// When a failover and its candidate are committed.
    pub after_election: bool,
    /// When the candidate has confirmed that it was told to be master.
    pub after_promotion: bool,
}

impl Simulated {
    /// As INFO shows it.
    pub fn flags(self) -> u8 {
        u8::from(self.after_election) | u8::from(self.after_promotion) << 1
    }
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogWord {
    /// And why.
    Debug,
    /// What happened.
    Verbose,
    /// What happened: we know no level between this and verbose.
    #[default]
    Notice,
    /// What may become bad.
    Warning,
    /// Nothing.
    Nothing,
}

impl LogWord {
    const ALL: [Self; 5] = [Self::Debug, Self::Verbose, Self::Notice, Self::Warning, Self::Nothing];

    /// The word, in any case.
    pub fn parse(text: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|word| word.as_str().as_bytes().eq_ignore_ascii_case(text))
    }

    /// As Sentinel writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Verbose => "verbose",
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Nothing => "nothing",
        }
    }
}

/// The periods of SENTINEL DEBUG.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Period {
    /// Of INFO while nothing is going on.
    Info,
    /// The longest between two PING.
    Ping,
    /// Kept: nodes of a cluster do not ask each other.
    Ask,
    /// Kept for hellos, which are not sent here; a foreign Sentinel is forgotten after thirty of them.
    Publish,
    /// down-after-milliseconds of a group that is monitored from now on.
    DownAfter,
    /// failover-timeout of a group that is monitored from now on.
    FailoverTimeout,
    /// A pause of this node from which on it is a stall.
    TiltTrigger,
    /// Kept: a stall is subtracted, and not followed by blindness.
    Tilt,
    /// Kept.
    ReplicaReconf,
    /// Kept: a link is made again at once.
    LinkReconnect,
    /// Kept: there is no election per failover.
    Election,
    /// How long a script may run.
    ScriptRuntime,
    /// How long a script that failed waits for its next try.
    ScriptRetry,
}

impl Period {
    /// All, in Sentinel's order.
    pub const ALL: [Self; 13] = [
        Self::Info,
        Self::Ping,
        Self::Ask,
        Self::Publish,
        Self::DownAfter,
        Self::FailoverTimeout,
        Self::TiltTrigger,
        Self::Tilt,
        Self::ReplicaReconf,
        Self::LinkReconnect,
        Self::Election,
        Self::ScriptRuntime,
        Self::ScriptRetry,
    ];

    /// The name, in upper case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "INFO-PERIOD",
            Self::Ping => "PING-PERIOD",
            Self::Ask => "ASK-PERIOD",
            Self::Publish => "PUBLISH-PERIOD",
            Self::DownAfter => "DEFAULT-DOWN-AFTER",
            Self::FailoverTimeout => "DEFAULT-FAILOVER-TIMEOUT",
            Self::TiltTrigger => "TILT-TRIGGER",
            Self::Tilt => "TILT-PERIOD",
            Self::ReplicaReconf => "SLAVE-RECONF-TIMEOUT",
            Self::LinkReconnect => "MIN-LINK-RECONNECT-PERIOD",
            Self::Election => "ELECTION-TIMEOUT",
            Self::ScriptRuntime => "SCRIPT-MAX-RUNTIME",
            Self::ScriptRetry => "SCRIPT-RETRY-DELAY",
        }
    }

    /// The period of that name, in any case.
    pub fn parse(name: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|period| period.name().as_bytes().eq_ignore_ascii_case(name))
    }

    /// Sentinel's default.
    fn default_ms(self) -> Age {
        match self {
            Self::Ping | Self::Ask => 1_000,
            Self::Publish | Self::TiltTrigger => 2_000,
            Self::Info | Self::ReplicaReconf | Self::Election => 10_000,
            Self::LinkReconnect => 15_000,
            Self::DownAfter | Self::Tilt | Self::ScriptRetry => 30_000,
            Self::ScriptRuntime => 60_000,
            Self::FailoverTimeout => 180_000,
        }
    }
}

impl Dials {
    /// Has it that the node was started with another period than Sentinel's.
    #[must_use]
    pub fn configured(mut self, period: Period, ms: Age) -> Self {
        self.configured.insert(period, ms);
        self
    }

    /// How a period stands, in milliseconds.
    pub fn period_ms(&self, period: Period) -> Age {
        let started = || self.configured.get(&period).copied();
        self.turned_ms(period).or_else(started).unwrap_or(period.default_ms())
    }

    /// What a period was set to since the start, if it was.
    pub fn turned_ms(&self, period: Period) -> Option<Age> {
        self.turned.get(&period).copied()
    }

    /// Turns one.
    pub fn turn(&mut self, dial: Dial) {
        match dial {
            Dial::Log(word) => self.log = word,
            Dial::Simulate(simulated) => self.simulated = simulated,
            Dial::Period(period, ms) => {
                self.turned.insert(period, ms);
            }
        }
    }
}
