//! One connection: what it has queued, and what it may ask.

use cfgserver::resp::{Protocol, Reply, Request};

use super::stage::Stage;

/// What an instance remembers of a connection's requests.
#[derive(Default)]
pub(super) struct Talk {
    pub(super) protocol: Protocol,
    /// After MULTI.
    queued: Option<Vec<Vec<String>>>,
    /// A request was turned down when it was queued.
    spoiled: bool,
    /// QUIT
    pub(super) quits: bool,
}

impl Stage {
    /// The answer to a request; whatever it changes has changed.
    pub(super) fn answer(&mut self, wire: u64, talk: &mut Talk, request: &Request) -> Reply {
        if self.wires.get(&wire).is_none_or(|wire| wire.closed) {
            // What came behind the request that closed it.
            talk.quits = true;
            return Reply::Many(Vec::new());
        }
        self.clock();
        let text = |word: &bytes::Bytes| String::from_utf8_lossy(word).into_owned();
        let mut words: Vec<String> = request.0.iter().map(text).collect();
        words[0].make_ascii_uppercase();
        let reply = self.answer_words(wire, talk, words);
        self.drain();
        reply
    }

    fn answer_words(&mut self, wire: u64, talk: &mut Talk, words: Vec<String>) -> Reply {
        match (words[0].as_str(), &mut talk.queued) {
            ("MULTI", Some(_)) => Reply::error("ERR MULTI calls can not be nested"),
            ("MULTI", None) => {
                talk.queued = Some(Vec::new());
                talk.spoiled = false;
                Reply::OK
            }
            ("EXEC", None) => Reply::error("ERR EXEC without MULTI"),
            ("DISCARD", None) => Reply::error("ERR DISCARD without MULTI"),
            ("DISCARD", Some(_)) => {
                talk.queued = None;
                Reply::OK
            }
            ("EXEC", Some(_)) => {
                let requests = talk.queued.take().unwrap_or_default();
                if talk.spoiled {
                    self.coverage.mark("instance: transaction discarded");
                    return Reply::error("EXECABORT Transaction discarded because of previous errors.");
                }
                let kills = requests.iter().any(|words| disconnects_clients(words));
                let answers = requests
                    .iter()
                    .map(|words| self.carry_out(wire, talk, words, kills))
                    .collect();
                Reply::Array(answers)
            }
            (_, Some(queued)) => match self.refusal(wire, &words) {
                Some(error) => {
                    talk.spoiled = true;
                    error
                }
                None => {
                    queued.push(words);
                    Reply::Simple("QUEUED".into())
                }
            },
            (_, None) => match self.refusal(wire, &words) {
                Some(error) => error,
                None => self.carry_out(wire, talk, &words, false),
            },
        }
    }
}

fn disconnects_clients(words: &[String]) -> bool {
    matches!(words, [client, kill, kind, normal]
        if client == "CLIENT" && kill.eq_ignore_ascii_case("kill")
            && kind.eq_ignore_ascii_case("type") && normal == "normal")
}
