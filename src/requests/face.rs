//! How a port treats whoever connects to it.

/// What a connection meets; the listener that accepted it decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Face {
    /// Everybody is served as a client of Sentinel. Connections that behave as the old proxies do are spared the
    /// messages that those cannot bear, and INFO has the layout that those read by position.
    #[default]
    Open,
    /// Plain Sentinel: every event for everybody, and INFO in Sentinel's own order.
    Strict,
    /// Only for the old proxies: whoever connects is treated as one, and nothing can be changed.
    Proxy,
}
