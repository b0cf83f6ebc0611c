//! Orders as values, and the requests that carry them.

use std::fmt;

use bytes::Bytes;

use crate::failover::Order;
use crate::model::{Address, Facts, HostName, MyId, Role, Term};
use crate::redis::Answer;
use crate::redis::link::{explained, request};

/// What an order left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderReply {
    /// INFO after the order. `None` when it could not be read: only a later sighting tells.
    pub facts: Option<Facts>,
}

/// The leader that a link is named after, and the instance as that leader knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderName {
    /// `MYID` of the leading node.
    pub node: MyId,
    /// The term in which it leads.
    pub term: Term,
    /// The address to which the link goes.
    pub instance: Address,
}

/// What a link of any leader is called: `cfgserver-<8 of its id>/<address>-leader-<term>`.
impl fmt::Display for LeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cfgserver-{}-leader-{}", self.place_part(), self.term)
    }
}

impl LeaderName {
    const NODE_CHARS: usize = 8;

    pub(super) fn node_part(&self) -> &str {
        self.node.0.get(..Self::NODE_CHARS).unwrap_or(&self.node.0)
    }

    pub(super) fn place_part(&self) -> String {
        format!("{}/{}", self.node_part(), self.instance)
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
    /// The order as one transaction, INFO behind it. `None` for orders that need none.
    pub fn transaction(&self) -> Option<Vec<Vec<Bytes>>> {
        let disconnect_clients = match self {
            Self::Promote => true,
            Self::Follow { disconnect_clients, .. } => *disconnect_clients,
            Self::Yield { ms, .. } => {
                // Paused for its own sake: FAILOVER lets writes through as soon as it is over, and clients are still here.
                let pause = request(["CLIENT", "PAUSE", &ms.to_string(), "WRITE"]);
                let transaction = [
                    request(["MULTI"]),
                    pause,
                    self.command(),
                    request(["EXEC"]),
                    request(["INFO"]),
                ];
                return Some(transaction.into());
            }
            Self::Pause { .. } | Self::Unpause | Self::StepDown { .. } | Self::TakeBack => return None,
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
        if *self == Self::TakeBack {
            // A server that has no FAILOVER, or none under way, says so, and no harm is done.
            let abort = request(["FAILOVER", "ABORT"]);
            let unpause = request(["CLIENT", "UNPAUSE"]);
            return Some(vec![abort, self.command(), unpause, request(["INFO"])]);
        }
        Some(vec![self.command(), request(["INFO"])])
    }

    /// The command that matters.
    fn command(&self) -> Vec<Bytes> {
        match self {
            Self::Promote => request(["SLAVEOF", "NO", "ONE"]),
            Self::Follow { primary, host, .. } => {
                let ip = primary.ip.to_string();
                let host = host.as_ref().map_or(ip.as_str(), HostName::as_str);
                request(["SLAVEOF", host, &primary.port.to_string()])
            }
            Self::Pause { ms } => request(["CLIENT", "PAUSE", &ms.to_string(), "WRITE"]),
            Self::Unpause => request(["CLIENT", "UNPAUSE"]),
            Self::StepDown { to } => request(["SLAVEOF", &to.ip.to_string(), &to.port.to_string()]),
            Self::Yield { to, ms } => request([
                "FAILOVER",
                "TO",
                &to.ip.to_string(),
                &to.port.to_string(),
                "TIMEOUT",
                &ms.to_string(),
            ]),
            Self::TakeBack => request(["SLAVEOF", "NO", "ONE"]),
        }
    }

    /// Where in its transaction the command that matters is.
    fn position(&self) -> usize {
        if matches!(self, Self::Yield { .. }) { 2 } else { 1 }
    }

    /// Whether INFO tells that the order was carried out. It tells nothing of pauses.
    pub fn shows_in(&self, facts: &Facts) -> bool {
        match self {
            Self::Promote => facts.role == Role::Primary,
            Self::Follow { primary, host, .. } => {
                let same_host = |host: &HostName| host.as_str().eq_ignore_ascii_case(&facts.primary_host);
                let by_name = host.as_ref().is_some_and(same_host) && facts.primary_port == primary.port;
                facts.role == Role::Replica && (by_name || facts.primary == Some(*primary))
            }
            Self::StepDown { to } => facts.role == Role::Replica && facts.primary == Some(*to),
            Self::Yield { to, .. } => facts.failing_over == Some(true) || facts.primary == Some(*to),
            Self::Pause { .. } | Self::Unpause | Self::TakeBack => false,
        }
    }

    /// Reads the answers, without that of INFO.
    pub fn read(&self, answers: &[Answer]) -> Reading {
        let position = self.position();
        match answers {
            // Each of the three may have had nothing to undo: INFO tells what it is now.
            [_, _, _] if *self == Self::TakeBack => Reading::Done,
            [only] => verdict(only),
            [Answer::Error(_), rest @ ..] if rest.len() >= position => verdict(&rest[position - 1]),
            [_, rest @ .., exec] if rest.len() >= position => executed(exec, position - 1, &rest[position - 1]),
            _ => Reading::NothingDone,
        }
    }
}

/// What EXEC answered. `queued` is what the command that matters, the one at `index`, was answered when it was queued.
fn executed(exec: &Answer, index: usize, queued: &Answer) -> Reading {
    match (exec, queued) {
        (Answer::Array(results), _) => results.get(index).map_or(Reading::NothingDone, verdict),
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
            host: None,
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
    fn a_primary_fails_over_by_itself_in_one_transaction_and_the_answer_to_failover_decides() {
        let order = Order::Yield {
            to: "10.0.0.2:6379".parse().unwrap(),
            ms: 70,
        };
        let expected = [
            "MULTI",
            "CLIENT PAUSE 70 WRITE",
            "FAILOVER TO 10.0.0.2 6379 TIMEOUT 70",
            "EXEC",
            "INFO",
        ];
        assert_eq!(lines(&order.transaction().unwrap()), expected);
        let bare = ["FAILOVER TO 10.0.0.2 6379 TIMEOUT 70", "INFO"];
        assert_eq!(lines(&order.bare().unwrap()), bare);
        let exec = |second: Answer| Answer::Array(vec![Answer::OK, second]);
        let read = |exec: Answer| order.read(&[Answer::OK, queued(), queued(), exec]);
        assert_eq!(read(exec(Answer::OK)), Reading::Done);
        assert_eq!(read(exec(error("ERR x"))), Reading::Refused("ERR x".to_owned()));
        // CLIENT PAUSE alone was turned down: FAILOVER holds writes back by itself.
        let answers = [Answer::OK, error("NOPERM"), queued(), error("EXECABORT")];
        assert_eq!(order.read(&answers), Reading::NothingDone);
        let answers = [Answer::OK, queued(), error("NOPERM"), error("EXECABORT")];
        assert_eq!(order.read(&answers), Reading::Refused("NOPERM".to_owned()));
    }

    #[test]
    fn a_primary_is_given_its_role_back_whatever_was_done_to_it() {
        let expected = ["FAILOVER ABORT", "SLAVEOF NO ONE", "CLIENT UNPAUSE", "INFO"];
        assert_eq!(Order::TakeBack.transaction(), None);
        assert_eq!(lines(&Order::TakeBack.bare().unwrap()), expected);
        let nothing_to_abort = [error("ERR No failover in progress."), Answer::OK, Answer::OK];
        assert_eq!(Order::TakeBack.read(&nothing_to_abort), Reading::Done);
        let to = "10.0.0.2:6379".parse().unwrap();
        let step_down = Order::StepDown { to };
        assert_eq!(lines(&step_down.bare().unwrap()), ["SLAVEOF 10.0.0.2 6379", "INFO"]);
    }

    #[test]
    fn a_link_is_named_after_leader_and_term() {
        let name = |node: &str| {
            LeaderName {
                node: MyId(node.into()),
                term: 12,
                instance: "[fd00::1]:6380".parse().unwrap(),
            }
            .to_string()
        };
        assert_eq!(name("0123456789abcdef"), "cfgserver-01234567/[fd00::1]:6380-leader-12");
        assert_eq!(name("ab"), "cfgserver-ab/[fd00::1]:6380-leader-12");
    }
}
