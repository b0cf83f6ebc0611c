//! redis-rs: a SentinelClient for the primary and one for a replica.
//!
//! Arguments: the group, the key to write, the ports of the nodes.
//! Its connections stay with the instance that they were made to: who gets an error asks for a new one.

use std::io::Read;
use std::thread::{sleep, spawn};
use std::time::Duration;

use redis::sentinel::{SentinelClient, SentinelServerType};
use redis::{Commands, Connection, InfoDict, RedisResult};

const PAUSE: Duration = Duration::from_millis(20);
const LOOK: Duration = Duration::from_millis(200);

/// A handle as an application would have it.
struct Handle {
    client: SentinelClient,
    connection: Option<Connection>,
}

impl Handle {
    fn new(group: &str, ports: &[String], kind: SentinelServerType) -> Self {
        let nodes = ports.iter().map(|port| format!("redis://127.0.0.1:{port}")).collect();
        Self {
            client: SentinelClient::build(nodes, group.to_owned(), None, kind).expect("addresses"),
            connection: None,
        }
    }

    fn run<T>(&mut self, act: impl FnOnce(&mut Connection) -> RedisResult<T>) -> RedisResult<T> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.client.get_connection()?,
        };
        let answer = act(&mut connection)?;
        self.connection = Some(connection);
        Ok(answer)
    }

    fn look(&mut self, role: &str) {
        loop {
            let info = self.run(|connection| redis::cmd("INFO").arg("server").query::<InfoDict>(connection));
            match info {
                Ok(info) => println!(r#"{{"{role}": {}}}"#, info.get::<u16>("tcp_port").unwrap_or(0)),
                Err(error) => println!(r#"{{"trouble": {:?}}}"#, format!("{role}: {error}")),
            }
            sleep(LOOK);
        }
    }

    fn write(&mut self, key: &str) {
        for value in 1.. {
            match self.run(|connection| connection.sadd::<_, _, ()>(key, value)) {
                Ok(()) => println!(r#"{{"wrote": {value}}}"#),
                Err(error) => println!(r#"{{"failed": {value}, "why": {:?}}}"#, error.to_string()),
            }
            sleep(PAUSE);
        }
    }
}

/// The version that the manifest pins.
fn version() -> &'static str {
    let rest = include_str!("../Cargo.toml").split_once("version = \"=");
    rest.and_then(|(_, rest)| rest.split('"').next()).unwrap_or_default()
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [group, key, ports @ ..] = words.as_slice() else {
        panic!("a group, a key and ports");
    };
    println!(r#"{{"client": "redis-rs", "version": "{}"}}"#, version());
    let handle = |kind| Handle::new(group, ports, kind);
    let mut primary = handle(SentinelServerType::Master);
    let mut replica = handle(SentinelServerType::Replica);
    let mut writer = handle(SentinelServerType::Master);
    spawn(move || primary.look("primary"));
    spawn(move || replica.look("replica"));
    let key = key.clone();
    spawn(move || writer.write(&key));
    // Ends with whoever started it.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}
