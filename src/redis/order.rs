//! Orders as values, and the requests that carry them.

use std::fmt;

use bytes::Bytes;

use crate::failover::Order;
use crate::model::{Facts, MyId, Role, Term};
use crate::redis::Answer;
use crate::redis::link::{explained, request};

/// What an order left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderReply {
    /// INFO after the order. `None` when it could not be read: only a later sighting tells.
    pub facts: Option<Facts>,
}

/// The leader that a link is named after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderName {
    /// `MYID` of the leading node.
    pub node: MyId,
    /// The term in which it leads.
    pub term: Term,
}

/// What a link of any leader is called: `cfgserver-<8 of its id>-leader-<term>`.
impl fmt::Display for LeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cfgserver-{}-leader-{}", self.node_part(), self.term)
    }
}

impl LeaderName {
    const NODE_CHARS: usize = 8;

    pub(super) fn node_part(&self) -> &str {
        self.node.0.get(..Self::NODE_CHARS).unwrap_or(&self.node.0)
    }
}

/// What the answers to an order say.
#[derive(Debug, PartialEq, Eq)]
pub enum Reading {
    /// It was carried out.
    Done,
    /// The instance said no; its words.
    Refused(String),
    /// The transaction was given up as a whole; the bare form may still work.
    NothingDone,
}

impl Order {
    /// The order as one transaction, INFO behind it. `None` for orders that are a single command.
    pub fn transaction(&self) -> Option<Vec<Vec<Bytes>>> {
        let disconnect_clients = match self {
            Self::Promote => true,
            Self::Follow { disconnect_clients, .. } => *disconnect_clients,
            Self::Pause { .. } | Self::Unpause => return None,
        };
        let mut commands = vec![request(["MULTI"]), self.command(), request(["CONFIG", "REWRITE"])];
        if disconnect_clients {
            commands.push(request(["CLIENT", "KILL", "TYPE", "normal"]));
            commands.push(request(["CLIENT", "KILL", "TYPE", "pubsub"]));
        }
        commands.push(request(["EXEC"]));
        commands.push(request(["INFO"]));
        Some(commands)
    }

    /// The order alone, INFO behind it.
    pub fn bare(&self) -> Option<Vec<Vec<Bytes>>> {
        Some(vec![self.command(), request(["INFO"])])
    }

    /// The command that matters.
    fn command(&self) -> Vec<Bytes> {
        match self {
            Self::Promote => request(["SLAVEOF", "NO", "ONE"]),
            Self::Follow { primary, .. } => request(["SLAVEOF", &primary.ip.to_string(), &primary.port.to_string()]),
            Self::Pause { ms } => request(["CLIENT", "PAUSE", &ms.to_string(), "WRITE"]),
            Self::Unpause => request(["CLIENT", "UNPAUSE"]),
        }
    }

    /// Whether INFO tells that the order was carried out. It tells nothing of pauses.
    pub fn shows_in(&self, facts: &Facts) -> bool {
        match self {
            Self::Promote => facts.role == Role::Primary,
            Self::Follow { primary, .. } => facts.role == Role::Replica && facts.primary == Some(*primary),
            Self::Pause { .. } | Self::Unpause => false,
        }
    }

    /// Reads the answers, without that of INFO.
    pub fn read(&self, answers: &[Answer]) -> Reading {
        match answers {
            [only] => verdict(only),
            [Answer::Error(_), command, ..] => verdict(command),
            [_, command, .., exec] => executed(exec, command),
            [] | [_, _] => Reading::NothingDone,
        }
    }
}

/// What EXEC answered. `queued` is what the command that matters was answered when it was queued.
fn executed(exec: &Answer, queued: &Answer) -> Reading {
    match (exec, queued) {
        (Answer::Array(results), _) => results.first().map_or(Reading::NothingDone, verdict),
        // Not the frills but the command itself was turned down: the bare form would be, too.
        (_, Answer::Error(text)) => Reading::Refused(explained(text).into_owned()),
        _ => Reading::NothingDone,
    }
}

fn verdict(answer: &Answer) -> Reading {
    match answer {
        Answer::Error(text) => Reading::Refused(explained(text).into_owned()),
        _ => Reading::Done,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn lines(commands: &[Vec<Bytes>]) -> Vec<String> {
        let text = |command: &Vec<Bytes>| {
            let parts: Vec<_> = command.iter().map(|part| String::from_utf8_lossy(part)).collect();
            parts.join(" ")
        };
        commands.iter().map(text).collect()
    }

    fn follow(disconnect_clients: bool) -> Order {
        Order::Follow {
            primary: "[fd00::1]:6380".parse().unwrap(),
            disconnect_clients,
        }
    }

    fn error(text: &'static str) -> Answer {
        Answer::error(text)
    }

    fn queued() -> Answer {
        Answer::Simple("QUEUED".into())
    }

    #[test]
    fn an_order_is_one_transaction_with_info_behind_it() {
        let expected = [
            "MULTI",
            "SLAVEOF NO ONE",
            "CONFIG REWRITE",
            "CLIENT KILL TYPE normal",
            "CLIENT KILL TYPE pubsub",
            "EXEC",
            "INFO",
        ];
        assert_eq!(lines(&Order::Promote.transaction().unwrap()), expected);
        let expected = ["MULTI", "SLAVEOF fd00::1 6380", "CONFIG REWRITE", "EXEC", "INFO"];
        assert_eq!(lines(&follow(false).transaction().unwrap()), expected);
        assert_eq!(follow(true).transaction().unwrap().len(), 7);
        assert_eq!(lines(&follow(true).bare().unwrap()), ["SLAVEOF fd00::1 6380", "INFO"]);
        assert_eq!(Order::Unpause.transaction(), None);
        assert_eq!(
            lines(&Order::Pause { ms: 70 }.bare().unwrap()),
            ["CLIENT PAUSE 70 WRITE", "INFO"]
        );
    }

    #[test]
    fn the_answer_to_the_command_itself_decides() {
        let exec = |first: Answer| Answer::Array(vec![first, error("ERR no config file")]);
        let read = |exec: Answer| Order::Promote.read(&[Answer::OK, queued(), queued(), exec]);
        assert_eq!(read(exec(Answer::OK)), Reading::Done);
        assert_eq!(read(exec(error("ERR no"))), Reading::Refused("ERR no".to_owned()));
        assert_eq!(read(Answer::Null), Reading::NothingDone);
        assert_eq!(read(Answer::Array(Vec::new())), Reading::NothingDone);
        assert_eq!(Order::Unpause.read(&[Answer::OK]), Reading::Done);
        assert_eq!(
            Order::Unpause.read(&[error("ERR no")]),
            Reading::Refused("ERR no".to_owned())
        );
    }

    #[test]
    fn a_transaction_that_fails_for_its_frills_leaves_the_bare_order() {
        let answers = [Answer::OK, queued(), error("ERR unknown command"), error("EXECABORT")];
        assert_eq!(Order::Promote.read(&answers), Reading::NothingDone);
        let answers = [Answer::OK, error("NOPERM"), queued(), error("EXECABORT")];
        assert_eq!(Order::Promote.read(&answers), Reading::Refused("NOPERM".to_owned()));
    }

    #[test]
    fn without_multi_the_commands_were_carried_out_one_by_one() {
        let answers = [
            error("ERR unknown command"),
            Answer::OK,
            error("ERR x"),
            error("ERR EXEC without MULTI"),
        ];
        assert_eq!(Order::Promote.read(&answers), Reading::Done);
        let answers = [error("LOADING"), error("LOADING"), error("LOADING"), error("LOADING")];
        assert_eq!(Order::Promote.read(&answers), Reading::Refused("LOADING".to_owned()));
    }

    #[test]
    fn a_link_is_named_after_leader_and_term() {
        let name = |node: &str| {
            LeaderName {
                node: MyId(node.into()),
                term: 12,
            }
            .to_string()
        };
        assert_eq!(name("0123456789abcdef"), "cfgserver-01234567-leader-12");
        assert_eq!(name("ab"), "cfgserver-ab-leader-12");
    }
}
