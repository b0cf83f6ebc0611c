//! A node that says what it is told to say.

use std::collections::BTreeMap;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::world::{Client, Value, World};

/// What it says.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) cluster: String,
    pub(crate) contact_ms: i64,
    pub(crate) ready: bool,
    /// Group -> port of its primary, version.
    pub(crate) groups: BTreeMap<String, (u16, u64)>,
    /// Instead of the answer to SENTINEL MASTER: these bytes.
    pub(crate) nonsense: Option<Vec<u8>>,
    /// It reads and says nothing.
    pub(crate) silent: bool,
    /// How often it was asked about a group.
    pub(crate) asked: usize,
}

/// A listener on a port of a world.
pub(crate) struct FakeNode {
    pub(crate) port: u16,
    script: Arc<Mutex<Script>>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl FakeNode {
    /// A node of `cluster` that is ready, in contact, and knows these groups.
    pub(crate) fn start(world: &World, cluster: &str, groups: &[(&str, u16, u64)]) -> Self {
        let port = world.port();
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let script = Script {
            cluster: cluster.to_owned(),
            contact_ms: 5,
            ready: true,
            groups: groups
                .iter()
                .map(|(name, port, version)| ((*name).to_owned(), (*port, *version)))
                .collect(),
            nonsense: None,
            silent: false,
            asked: 0,
        };
        let fake = Self {
            port,
            script: Arc::new(Mutex::new(script)),
            open: Arc::default(),
        };
        let (script, open) = (fake.script.clone(), fake.open.clone());
        // It ends with the test's process: nothing waits for it.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                open.lock().unwrap().push(stream.try_clone().unwrap());
                let script = script.clone();
                std::thread::spawn(move || serve(stream, &script));
            }
        });
        fake
    }

    /// Changes what it says.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.script.lock().unwrap());
    }

    /// Closes all its connections.
    pub(crate) fn hang_up(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// How often it was asked about a group.
    pub(crate) fn asked(&self) -> usize {
        self.script.lock().unwrap().asked
    }
}

fn serve(stream: TcpStream, script: &Mutex<Script>) {
    let mut client = Client::accepted(stream);
    while let Ok(request) = client.read() {
        let words: Vec<&str> = request.items().iter().map(Value::text).collect();
        let mut script = script.lock().unwrap();
        let answer = answer(&mut script, &words);
        let silent = script.silent;
        drop(script);
        if !silent && client.send_bytes(&answer).is_err() {
            return;
        }
    }
}

fn answer(script: &mut Script, words: &[&str]) -> Vec<u8> {
    match words {
        ["INFO", ..] => bulk(&format!(
            "# Raft\r\nraft_node_id:9\r\nraft_leader:9\r\nraft_contact_ms:{}\r\nraft_ready:{}\r\ncluster_id:{}\r\n\
             revision:1\r\n",
            script.contact_ms,
            u8::from(script.ready),
            script.cluster
        )),
        ["PING"] => array(&["pong", ""]),
        ["SUBSCRIBE", channels @ ..] => {
            let confirm = |(at, channel): (usize, &&str)| {
                let head = format!("*3\r\n$9\r\nsubscribe\r\n${}\r\n{channel}\r\n", channel.len());
                format!("{head}:{}\r\n", at + 1).into_bytes()
            };
            channels.iter().enumerate().flat_map(confirm).collect()
        }
        ["SENTINEL", "MASTER", group] => {
            script.asked += 1;
            if let Some(nonsense) = &script.nonsense {
                return nonsense.clone();
            }
            match script.groups.get(*group) {
                None => b"-ERR No such master with that name\r\n".to_vec(),
                Some((port, version)) => array(&[
                    "name",
                    group,
                    "ip",
                    "127.0.0.1",
                    "port",
                    &port.to_string(),
                    "group-version",
                    &version.to_string(),
                ]),
            }
        }
        ["SENTINEL", "REPLICAS", _] => b"*0\r\n".to_vec(),
        _ => b"-ERR unknown command\r\n".to_vec(),
    }
}

fn bulk(text: &str) -> Vec<u8> {
    format!("${}\r\n{text}\r\n", text.len()).into_bytes()
}

fn array(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    bytes.extend(words.iter().flat_map(|word| bulk(word)));
    bytes
}
