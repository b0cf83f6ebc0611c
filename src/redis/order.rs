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

/// One way to give an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// The requests, INFO behind them.
    pub requests: Vec<Vec<Bytes>>,
    decisive: Decisive,
}

/// Which of the answers says what became of the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decisive {
    /// The one to the command at this place of a transaction, MULTI being the first.
    InTransaction(usize),
    /// The one at this place.
    At(usize),
    /// None: each command may have had nothing to undo, and INFO tells what the instance is now.
    None,
}

impl Order {
    /// The ways to give the order to an instance whose INFO says `failing_over` (a `FAILOVER` of its own, and
    /// whether it is under way): where nothing comes of the one, the next.
    pub fn forms(&self, failing_over: Option<bool>) -> Vec<Form> {
        let abort = if self.is_refused_while_failing_over() && failing_over == Some(true) {
            Some(request(["FAILOVER", "ABORT"]))
        } else {
            None
        };
        let mut forms = Vec::with_capacity(2);
        forms.extend(self.transaction(abort.clone()));
        forms.push(self.bare(abort));
        forms
    }

    /// Redis refuses `SLAVEOF` while its own `FAILOVER` is under way, and holds writes back for as long. One whose
    /// target is gone never ends by itself.
    fn is_refused_while_failing_over(&self) -> bool {
        matches!(self, Self::Promote | Self::Follow { .. })
    }

    /// As one transaction. `None` for orders that need none. `abort` goes in there: a primary that is to follow would
    /// else let through, for a moment, the writes that waited.
    fn transaction(&self, abort: Option<Vec<Bytes>>) -> Option<Form> {
        let mut requests = vec![request(["MULTI"])];
        let (rewrites, disconnect_clients) = match self {
            Self::Promote => (true, true),
            Self::Follow { disconnect_clients, .. } => (true, *disconnect_clients),
            Self::Yield { ms, .. } => {
                // Paused for its own sake: FAILOVER lets writes through as soon as it is over, and clients are still here.
                requests.push(request(["CLIENT", "PAUSE", &ms.to_string(), "WRITE"]));
                (false, false)
            }
            Self::Pause { .. } | Self::Unpause | Self::StepDown { .. } | Self::TakeBack => return None,
        };
        requests.extend(abort);
        let decisive = Decisive::InTransaction(requests.len());
        requests.push(self.command());
        if rewrites {
            requests.push(request(["CONFIG", "REWRITE"]));
        }
        if disconnect_clients {
            requests.push(request(["CLIENT", "KILL", "TYPE", "normal"]));
            requests.push(request(["CLIENT", "KILL", "TYPE", "pubsub"]));
        }
        requests.push(request(["EXEC"]));
        requests.push(request(["INFO"]));
        Some(Form { requests, decisive })
    }

    /// The command alone.
    fn bare(&self, abort: Option<Vec<Bytes>>) -> Form {
        let mut requests: Vec<_> = abort.into_iter().collect();
        let mut decisive = Decisive::At(requests.len());
        if *self == Self::TakeBack {
            // A server that has no FAILOVER, or none under way, says so, and no harm is done.
            decisive = Decisive::None;
            requests.push(request(["FAILOVER", "ABORT"]));
        }
        requests.push(self.command());
        if *self == Self::TakeBack {
            requests.push(request(["CLIENT", "UNPAUSE"]));
        }
        requests.push(request(["INFO"]));
        Form { requests, decisive }
    }

    /// The command that matters.
    fn command(&self) -> Vec<Bytes> {
        match self {
            Self::Promote => request(["SLAVEOF", "NO", "ONE"]),
            Self::Follow { primary, host, .. } => {
                let host = told_as(*primary, host.as_ref());
                request(["SLAVEOF", &host, &primary.port.to_string()])
            }
            Self::Pause { ms } => request(["CLIENT", "PAUSE", &ms.to_string(), "WRITE"]),
            Self::Unpause => request(["CLIENT", "UNPAUSE"]),
            Self::StepDown { to } => request(["SLAVEOF", &to.ip.to_string(), &to.port.to_string()]),
            Self::Yield { to, host, ms } => request([
                "FAILOVER",
                "TO",
                &told_as(*to, host.as_ref()),
                &to.port.to_string(),
                "TIMEOUT",
                &ms.to_string(),
            ]),
            Self::TakeBack => request(["SLAVEOF", "NO", "ONE"]),
        }
    }

    /// Whether INFO tells that the order was carried out. It tells nothing of pauses.
    pub fn shows_in(&self, facts: &Facts) -> bool {
        match self {
            Self::Promote => facts.role == Role::Primary,
            Self::Follow { primary, host, .. } => {
                facts.role == Role::Replica && follows(facts, *primary, host.as_ref())
            }
            Self::StepDown { to } => facts.role == Role::Replica && facts.primary == Some(*to),
            Self::Yield { to, host, .. } => facts.failing_over == Some(true) || follows(facts, *to, host.as_ref()),
            Self::Pause { .. } | Self::Unpause | Self::TakeBack => false,
        }
    }
}

fn told_as(address: Address, host: Option<&HostName>) -> String {
    host.map_or_else(|| address.ip.to_string(), |host| host.as_str().to_owned())
}

fn follows(facts: &Facts, primary: Address, host: Option<&HostName>) -> bool {
    let same_host = |host: &HostName| host.as_str().eq_ignore_ascii_case(&facts.primary_host);
    let by_name = host.is_some_and(same_host) && facts.primary_port == primary.port;
    by_name || facts.primary == Some(primary)
}

impl Form {
    /// Reads the answers, without that of INFO.
    pub fn read(&self, answers: &[Answer]) -> Reading {
        match (self.decisive, answers) {
            (Decisive::None, _) => Reading::Done,
            (Decisive::At(place), _) => answers.get(place).map_or(Reading::NothingDone, verdict),
            // Without MULTI each command was carried out at once.
            (Decisive::InTransaction(place), [Answer::Error(_), ..]) if answers.len() > place => {
                verdict(&answers[place])
            }
            (Decisive::InTransaction(place), [.., exec]) if answers.len() > place + 1 => {
                executed(exec, place - 1, &answers[place])
            }
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

    fn forms_of(order: &Order, failing_over: Option<bool>) -> Vec<Vec<String>> {
        let text = |command: &Vec<Bytes>| {
            let parts: Vec<_> = command.iter().map(|part| String::from_utf8_lossy(part)).collect();
            parts.join(" ")
        };
        let lines = |form: &Form| form.requests.iter().map(text).collect();
        order.forms(failing_over).iter().map(lines).collect()
    }

    fn forms(order: &Order) -> Vec<Vec<String>> {
        forms_of(order, None)
    }

    /// What the answers to the first form mean.
    fn read(order: &Order, answers: &[Answer]) -> Reading {
        order.forms(Some(false))[0].read(answers)
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
        assert_eq!(forms(&Order::Promote)[0], expected);
        let expected = ["MULTI", "SLAVEOF fd00::1 6380", "CONFIG REWRITE", "EXEC", "INFO"];
        assert_eq!(forms(&follow(false))[0], expected);
        assert_eq!(forms(&follow(true))[0].len(), 7);
        assert_eq!(forms(&follow(true))[1..], [["SLAVEOF fd00::1 6380", "INFO"]]);
        assert_eq!(forms(&Order::Unpause), [["CLIENT UNPAUSE", "INFO"]]);
        assert_eq!(forms(&Order::Pause { ms: 70 }), [["CLIENT PAUSE 70 WRITE", "INFO"]]);
    }

    #[test]
    fn the_answer_to_the_command_itself_decides() {
        let exec = |first: Answer| Answer::Array(vec![first, error("ERR no config file")]);
        let read_exec = |exec: Answer| read(&Order::Promote, &[Answer::OK, queued(), queued(), exec]);
        assert_eq!(read_exec(exec(Answer::OK)), Reading::Done);
        assert_eq!(read_exec(exec(error("ERR no"))), Reading::Refused("ERR no".to_owned()));
        assert_eq!(read_exec(Answer::Null), Reading::NothingDone);
        assert_eq!(read_exec(Answer::Array(Vec::new())), Reading::NothingDone);
        assert_eq!(read(&Order::Unpause, &[Answer::OK]), Reading::Done);
        assert_eq!(
            read(&Order::Unpause, &[error("ERR no")]),
            Reading::Refused("ERR no".to_owned())
        );
    }

    #[test]
    fn a_transaction_that_fails_for_its_frills_leaves_the_bare_order() {
        let answers = [Answer::OK, queued(), error("ERR unknown command"), error("EXECABORT")];
        assert_eq!(read(&Order::Promote, &answers), Reading::NothingDone);
        let answers = [Answer::OK, error("NOPERM"), queued(), error("EXECABORT")];
        assert_eq!(read(&Order::Promote, &answers), Reading::Refused("NOPERM".to_owned()));
    }

    #[test]
    fn without_multi_the_commands_were_carried_out_one_by_one() {
        let answers = [
            error("ERR unknown command"),
            Answer::OK,
            error("ERR x"),
            error("ERR EXEC without MULTI"),
        ];
        assert_eq!(read(&Order::Promote, &answers), Reading::Done);
        let answers = [error("LOADING"), error("LOADING"), error("LOADING"), error("LOADING")];
        assert_eq!(read(&Order::Promote, &answers), Reading::Refused("LOADING".to_owned()));
    }

    #[test]
    fn a_primary_fails_over_by_itself_in_one_transaction_and_the_answer_to_failover_decides() {
        let order = Order::Yield {
            to: "10.0.0.2:6379".parse().unwrap(),
            host: None,
            ms: 70,
        };
        let expected = [
            "MULTI",
            "CLIENT PAUSE 70 WRITE",
            "FAILOVER TO 10.0.0.2 6379 TIMEOUT 70",
            "EXEC",
            "INFO",
        ];
        assert_eq!(forms(&order)[0], expected);
        assert_eq!(forms(&order)[1], ["FAILOVER TO 10.0.0.2 6379 TIMEOUT 70", "INFO"]);
        let exec = |second: Answer| Answer::Array(vec![Answer::OK, second]);
        let read_exec = |exec: Answer| read(&order, &[Answer::OK, queued(), queued(), exec]);
        assert_eq!(read_exec(exec(Answer::OK)), Reading::Done);
        assert_eq!(read_exec(exec(error("ERR x"))), Reading::Refused("ERR x".to_owned()));
        // CLIENT PAUSE alone was turned down: FAILOVER holds writes back by itself.
        let answers = [Answer::OK, error("NOPERM"), queued(), error("EXECABORT")];
        assert_eq!(read(&order, &answers), Reading::NothingDone);
        let answers = [Answer::OK, queued(), error("NOPERM"), error("EXECABORT")];
        assert_eq!(read(&order, &answers), Reading::Refused("NOPERM".to_owned()));
    }

    #[test]
    fn a_candidate_that_has_announced_a_name_is_failed_over_to_by_that() {
        let order = Order::Yield {
            to: "10.0.0.2:6379".parse().unwrap(),
            host: HostName::new("redis-b").ok(),
            ms: 70,
        };
        assert_eq!(forms(&order)[1], ["FAILOVER TO redis-b 6379 TIMEOUT 70", "INFO"]);
        let mut facts = crate::detect::parse_info(b"role:slave\r\nrun_id:a\r\n").unwrap();
        (facts.primary_host, facts.primary_port) = ("Redis-B".to_owned(), 6379);
        assert!(order.shows_in(&facts));
        facts.primary_port = 6380;
        assert!(!order.shows_in(&facts));
    }

    #[test]
    fn a_primary_is_given_its_role_back_whatever_was_done_to_it() {
        let expected = ["FAILOVER ABORT", "SLAVEOF NO ONE", "CLIENT UNPAUSE", "INFO"];
        for failing_over in [None, Some(true)] {
            assert_eq!(forms_of(&Order::TakeBack, failing_over), [expected]);
        }
        let nothing_to_abort = [error("ERR No failover in progress."), Answer::OK, Answer::OK];
        assert_eq!(read(&Order::TakeBack, &nothing_to_abort), Reading::Done);
        let to = "10.0.0.2:6379".parse().unwrap();
        let step_down = Order::StepDown { to };
        assert_eq!(forms(&step_down), [["SLAVEOF 10.0.0.2 6379", "INFO"]]);
    }

    /// Redis: "REPLICAOF not allowed while failing over", and writes are held back for as long.
    #[test]
    fn who_is_failing_over_by_itself_gives_that_up_in_the_transaction_that_turns_it() {
        let failing_over = |order: &Order| forms_of(order, Some(true));
        let expected = [
            "MULTI",
            "FAILOVER ABORT",
            "SLAVEOF fd00::1 6380",
            "CONFIG REWRITE",
            "EXEC",
            "INFO",
        ];
        assert_eq!(failing_over(&follow(false))[0], expected);
        let expected = ["FAILOVER ABORT", "SLAVEOF fd00::1 6380", "INFO"];
        assert_eq!(failing_over(&follow(true))[1], expected);
        assert_eq!(
            failing_over(&Order::Promote)[0][1..3],
            ["FAILOVER ABORT", "SLAVEOF NO ONE"]
        );
        let unpause = failing_over(&Order::Unpause);
        assert_eq!(unpause, forms(&Order::Unpause), "nothing refuses that");
        let forms = follow(false).forms(Some(true));
        let exec = |turned: Answer| Answer::Array(vec![error("ERR No failover in progress."), turned, Answer::OK]);
        let whole = |exec: Answer| forms[0].read(&[Answer::OK, queued(), queued(), queued(), exec]);
        assert_eq!(whole(exec(Answer::OK)), Reading::Done);
        assert_eq!(whole(exec(error("ERR x"))), Reading::Refused("ERR x".to_owned()));
        assert_eq!(
            forms[1].read(&[Answer::OK, error("ERR y")]),
            Reading::Refused("ERR y".to_owned())
        );
        assert_eq!(forms[1].read(&[error("NOPERM"), Answer::OK]), Reading::Done);
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
