//! What an instance does with the requests of an order link, word by word.

use bytes::Bytes;
use cfgserver::redis::Answer;

use super::{Fleet, Index};

impl Fleet {
    /// Carries out the requests of one write, and answers each.
    pub(crate) fn execute(&mut self, who: Index, conn: u64, requests: &[Vec<Bytes>], now: u64) -> Vec<Answer> {
        let mut answers = Vec::with_capacity(requests.len());
        let mut queued: Option<Vec<Vec<String>>> = None;
        let mut spoiled = false;
        for request in requests {
            let words: Vec<String> = request
                .iter()
                .map(|word| String::from_utf8_lossy(word).into_owned())
                .collect();
            match (words[0].as_str(), &mut queued) {
                ("MULTI", _) => {
                    queued = Some(Vec::new());
                    answers.push(Answer::OK);
                }
                ("EXEC", transaction) => {
                    let commands = transaction.take().unwrap_or_default();
                    answers.push(if spoiled {
                        Answer::error("EXECABORT Transaction discarded because of previous errors.")
                    } else {
                        Answer::Array(
                            commands
                                .iter()
                                .map(|words| self.carry_out(who, conn, words, now))
                                .collect(),
                        )
                    });
                }
                (_, Some(transaction)) => match self.refusal(who, &words, now) {
                    Some(error) => {
                        spoiled = true;
                        answers.push(error);
                    }
                    None => {
                        transaction.push(words);
                        answers.push(Answer::Simple("QUEUED".into()));
                    }
                },
                (_, None) => {
                    let refusal = self.refusal(who, &words, now);
                    answers.push(refusal.unwrap_or_else(|| self.carry_out(who, conn, &words, now)));
                }
            }
        }
        answers
    }

    fn refusal(&self, who: Index, words: &[String], now: u64) -> Option<Answer> {
        let server = &self.servers[who];
        match words[0].as_str() {
            "CONFIG" if server.no_config_command => Some(Answer::error("ERR unknown command 'CONFIG'")),
            "SLAVEOF" | "PING" if server.loading(now) => {
                Some(Answer::error("LOADING Redis is loading the dataset in memory"))
            }
            "FAILOVER" if !server.pauses_writes() => Some(Answer::error("ERR unknown command 'FAILOVER'")),
            "CLIENT" if words[1] == "PAUSE" && server.no_pause_command => Some(Answer::error(
                "NOPERM this user has no permissions to run the 'client|pause' command",
            )),
            _ => None,
        }
    }

    fn carry_out(&mut self, who: Index, conn: u64, words: &[String], now: u64) -> Answer {
        let parts: Vec<&str> = words.iter().map(String::as_str).collect();
        match parts.as_slice() {
            ["INFO"] => Answer::bulk(self.info(who, now)),
            ["PING"] => Answer::Simple("PONG".into()),
            ["SLAVEOF", ..] if self.servers[who].failing_over.is_some() => {
                Answer::error("ERR REPLICAOF not allowed while failing over.")
            }
            ["SLAVEOF", "NO", "ONE"] => {
                self.become_primary(who, now);
                Answer::OK
            }
            ["SLAVEOF", ip, port] => match cfgserver::model::Address::parse(ip, port) {
                Ok(primary) => {
                    self.become_replica(who, primary, true, now);
                    Answer::OK
                }
                Err(_) => Answer::error("ERR Invalid master port"),
            },
            ["CONFIG", "REWRITE"] => {
                if self.servers[who].no_config_file {
                    return Answer::error("ERR The server is running without a config file");
                }
                self.servers[who].saved_follows = self.servers[who].follows;
                Answer::OK
            }
            ["CLIENT", "PAUSE", ms, "WRITE"] => {
                let ms: u64 = ms.parse().unwrap();
                let server = &mut self.servers[who];
                server.paused_until = server.paused_until.max(now + ms);
                Answer::OK
            }
            ["CLIENT", "UNPAUSE"] => {
                self.servers[who].paused_until = 0;
                Answer::OK
            }
            ["FAILOVER", "TO", ip, port, "TIMEOUT", ms] => match cfgserver::model::Address::parse(ip, port) {
                Ok(target) => self.fail_over(who, target, ms.parse().unwrap(), now),
                Err(_) => Answer::error("ERR FAILOVER target HOST and PORT is not a replica."),
            },
            ["FAILOVER", "ABORT"] => match self.servers[who].failing_over.take() {
                Some(_) => Answer::OK,
                None => Answer::error("ERR No failover in progress."),
            },
            ["CLIENT", "LIST"] => Answer::bulk(self.client_list(who)),
            ["CLIENT", "SETNAME", _] => Answer::OK,
            ["CLIENT", "KILL", "ID", id] => {
                let id: u64 = id.parse().unwrap();
                self.close(who, |other| other == id);
                Answer::Integer(1)
            }
            ["CLIENT", "KILL", "TYPE", kind] => {
                if *kind == "normal" {
                    self.close(who, |other| other != conn);
                }
                Answer::Integer(1)
            }
            _ => panic!("the model does not know {parts:?}"),
        }
    }

    fn close(&mut self, who: Index, which: impl Fn(u64) -> bool) {
        let server = &mut self.servers[who];
        let closing: Vec<u64> = server.conns.keys().copied().filter(|id| which(*id)).collect();
        for id in closing {
            if let Some(conn) = server.conns.remove(&id) {
                self.ended.push((who, id, conn.owner));
            }
        }
    }

    fn client_list(&self, who: Index) -> String {
        let mut text = String::new();
        let server = &self.servers[who];
        for (id, conn) in &server.conns {
            let name = match conn.leader {
                Some((node, term)) => format!("cfgserver-{node:08}/{}-leader-{term}", server.address),
                None => format!("cfgserver-{:08}-probe", conn.owner.node),
            };
            text.push_str(&format!("id={id} addr=10.9.9.9:1 name={name} age=1 cmd=info\n"));
        }
        text
    }
}
