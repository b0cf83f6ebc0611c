//! What the two doubles have in common: bytes and timers in, actions out. No socket lives here.

use std::collections::BTreeMap;

/// What a proxy does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Writes to the sentinel connection.
    Send(Vec<u8>),
    /// Closes the sentinel connection, and why; the retry timer runs from here.
    Close(String),
    /// The official build ends itself with a failed assertion, and which.
    Abort(String),
    /// Connects every group's instance and asks ROLE; the answer comes with [`Double::roles`].
    AskRoles,
    /// A server of the proxy has another address from here on.
    Moved {
        /// The group's name as the proxy knows it.
        group: String,
        /// `ip:port` before.
        from: String,
        /// `ip:port` from here on.
        to: String,
    },
    /// Something that the proxy only logs.
    Warn(String),
}

/// A proxy's conversation with a Sentinel.
pub(crate) trait Double: Send {
    /// The sentinel connection is up.
    fn connected(&mut self) -> Vec<Action>;
    /// Bytes from the sentinel, cut anywhere.
    fn received(&mut self, bytes: &[u8]) -> Vec<Action>;
    /// The sentinel closed the connection, or it could not be opened. Not called after [`Action::Close`].
    fn disconnected(&mut self) -> Vec<Action>;
    /// The sentinel accepted the connection and closed it before the proxy had seen that it is open.
    fn closed_at_once(&mut self) -> Vec<Action> {
        self.disconnected()
    }
    /// The heartbeat's or the initialisation's timer ran out.
    fn timer(&mut self) -> Vec<Action>;
    /// The answer to [`Action::AskRoles`]: for each group, whether its instance said `master`.
    fn roles(&mut self, masters: &BTreeMap<String, bool>) -> Vec<Action>;
    /// How long until [`Double::timer`] is due after a connect or a timer, in milliseconds; `None` when there is none.
    fn timer_ms(&self) -> Option<u64>;
    /// How long after a close or a loss the next connection is tried, in milliseconds.
    fn retry_ms(&self) -> u64;
    /// Which of its sentinels is tried next, by place in its own order.
    fn sentinel(&self) -> usize;
    /// Whether clients are served.
    fn ready(&self) -> bool;
    /// Where each server is, as `ip:port`.
    fn addresses(&self) -> BTreeMap<String, String>;
}

/// Actions in a short form, without warnings: `send`, `close`, `abort`, `roles`, `group:from>to`.
pub(super) fn outcome(actions: &[Action]) -> String {
    let word = |action: &Action| match action {
        Action::Send(_) => Some("send".to_owned()),
        Action::Close(_) => Some("close".to_owned()),
        Action::Abort(_) => Some("abort".to_owned()),
        Action::AskRoles => Some("roles".to_owned()),
        Action::Moved { group, from, to } => Some(format!("{group}:{from}>{to}")),
        Action::Warn(_) => None,
    };
    actions.iter().filter_map(word).collect::<Vec<_>>().join(" ")
}
