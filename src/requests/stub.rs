//! A stand-in for sessions and dispatch until they are here.
#![allow(missing_docs)]
use crate::machine::Command;
use crate::model::Instant;
use crate::requests::{Effect, View, Write};
use crate::resp::{Protocol, Reply, Request};
use crate::sentinel::Published;

pub struct Session {
    id: u64,
    peer: String,
    name: String,
    patterns: Vec<bytes::Bytes>,
}

impl Session {
    pub fn new(id: u64, peer: String, _local: String, _now: Instant) -> Self {
        Self {
            id,
            peer,
            name: String::new(),
            patterns: vec![],
        }
    }
    pub fn protocol(&self) -> Protocol {
        Protocol::Resp2
    }
    pub fn subscribed(&self) -> bool {
        !self.patterns.is_empty()
    }
    pub fn deliver(&mut self, event: &Published, _view: &View<'_>) -> Option<Reply> {
        let p = self.patterns.first()?.clone();
        Some(Reply::Push(vec![
            Reply::bulk("pmessage"),
            Reply::Bulk(p),
            Reply::bulk(event.channel),
            Reply::Bulk(event.payload.clone()),
        ]))
    }
    pub fn list_line(&self, _now: Instant) -> String {
        format!("id={} addr={} name={} age=0 idle=0\n", self.id, self.peer, self.name)
    }
}

pub fn dispatch(session: &mut Session, view: &View<'_>, request: &Request) -> Effect {
    let text: Vec<String> = request
        .0
        .iter()
        .map(|a| String::from_utf8_lossy(a).to_lowercase())
        .collect();
    let words: Vec<&str> = text.iter().map(String::as_str).collect();
    match words[..] {
        ["ping"] => Effect::Reply(Reply::Simple("PONG".into())),
        ["ping", _] => Effect::Reply(Reply::Bulk(request.0[1].clone())),
        ["hello", _] => Effect::Reply(Reply::OK),
        ["quit"] => Effect::Close(Reply::OK),
        ["client", "list"] => Effect::Reply(Reply::bulk(view.clients.list())),
        ["client", "setname", name] => {
            session.name = name.into();
            Effect::Reply(Reply::OK)
        }
        ["sentinel", "monitor", _, _, _, _] => Effect::Write {
            write: Write::Failover {
                name: crate::model::GroupName::new("x").unwrap_or_else(|_| unreachable!()),
            },
            render: Box::new(|_| Reply::OK),
        },
        ["psubscribe", _] => {
            session.patterns = vec![request.0[1].clone()];
            Effect::Reply(Reply::Push(vec![
                Reply::bulk("psubscribe"),
                Reply::Bulk(request.0[1].clone()),
                Reply::Integer(1),
            ]))
        }
        _ => {
            let _ = Command::Found {
                cluster: crate::model::ClusterId("".into()),
            };
            Effect::Reply(Reply::error("ERR unknown command"))
        }
    }
}
