//! The instances against themselves: small simulations with a client that asks as a node does.

use std::time::Duration;

use bytes::BytesMut;
use cfgserver::host::Host;
use cfgserver::model::Address;
use cfgserver::net::{TcpStream, connect, weather};
use cfgserver::resp::{AnswerDecoder, AnswerLimits, Reply, encode_request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};
use turmoil::{Builder, Sim};

use super::Instances;
use crate::fact::Fact;
use crate::redis::{Fleet, Index, Replica, Server};

const P: Index = 0;
const R: Index = 1;
const CLIENT: &str = "10.9.9.1";

/// Every check, by name.
pub(crate) const CHECKS: &[(&str, fn())] = &[
    ("a primary answers and a stopped one refuses", answers_and_refuses),
    ("an order in a transaction promotes and is told", promotes),
    ("a hanging instance does late what it was told", late),
    ("a host that is down says nothing", host_down),
    ("CLIENT KILL closes other connections only", kills),
    ("a loading instance says LOADING and takes no order", loading),
    ("without CONFIG the transaction is discarded", discarded),
    ("cut one way, answers come after the cut", one_way),
    ("a restarted replica follows what its file says", restarted),
    ("what is unknown is an error", unknown),
];

fn address(who: Index) -> Address {
    format!("10.0.0.{}:6379", who + 1).parse().unwrap()
}

fn fleet() -> Fleet {
    let mut fleet = Fleet::default();
    let lineage = fleet.lineages.fresh();
    for who in [P, R] {
        let mut server = Server::new(format!("A{who}"), address(who), Some(0), lineage);
        server.offset = 1_000;
        server.keys = 10;
        if who == R {
            server.follows = Some(address(P));
            server.saved_follows = server.follows;
            server.replica = Replica::Up { from: P, stalled: None };
        }
        fleet.add(server);
    }
    fleet
}

struct Client {
    stream: TcpStream,
    input: BytesMut,
    decoder: AnswerDecoder,
}

impl Client {
    async fn connect(who: Index) -> std::io::Result<Self> {
        let stream = connect(&address(who).to_string(), Duration::from_secs(60)).await?;
        Ok(Self {
            stream,
            input: BytesMut::new(),
            decoder: AnswerDecoder::new(AnswerLimits::INSTANCE),
        })
    }

    async fn send(&mut self, text: &str) {
        let mut output = BytesMut::new();
        for line in text.split(" / ") {
            let words: Vec<&str> = line.split(' ').collect();
            encode_request(&words, &mut output);
        }
        self.stream.write_all(&output).await.unwrap();
    }

    async fn next(&mut self) -> Option<Reply> {
        loop {
            if let Some(reply) = self.decoder.decode(&mut self.input).unwrap() {
                return Some(reply);
            }
            if !matches!(self.stream.read_buf(&mut self.input).await, Ok(1..)) {
                return None;
            }
        }
    }

    async fn ask(&mut self, text: &str) -> Reply {
        self.send(text).await;
        self.next().await.expect("the connection ended")
    }

    async fn info(&mut self) -> String {
        match self.ask("INFO").await {
            Reply::Bulk(text) => String::from_utf8_lossy(&text).into_owned(),
            other => panic!("{other:?}"),
        }
    }
}

/// Runs a client against two instances.
fn simulate<F>(change: impl FnOnce(&mut Fleet), client: impl FnOnce(Instances) -> F) -> Instances
where
    F: Future<Output = ()> + 'static,
{
    let mut fleet = fleet();
    change(&mut fleet);
    let instances = Instances::new(fleet);
    let mut sim: Sim<'_> = Builder::new()
        .simulation_duration(Duration::from_secs(60))
        .max_message_latency(Duration::from_millis(2))
        .tcp_capacity(4_096)
        .rng_seed(1)
        .build();
    instances.join(&mut sim);
    weather::clear();
    let run = Host::new("client", CLIENT.parse().unwrap(), 1).run(client(instances.clone()));
    sim.client(CLIENT, async move {
        run.await;
        Ok(())
    });
    loop {
        let done = sim.step().unwrap();
        instances.step(sim.elapsed());
        if done {
            return instances;
        }
    }
}

async fn ms(ms: u64) {
    sleep(Duration::from_millis(ms)).await;
}

fn answers_and_refuses() {
    simulate(
        |_| {},
        |instances| async move {
            let mut client = Client::connect(P).await.unwrap();
            assert_eq!(client.ask("ping").await, Reply::Simple("PONG".into()));
            assert!(client.info().await.contains("role:master"));
            let Reply::Array(role) = client.ask("ROLE").await else {
                panic!()
            };
            assert_eq!(role[0], Reply::bulk("master"));
            instances.crash(P);
            assert_eq!(client.next().await, None);
            let refused = Client::connect(P).await.err().expect("somebody listens");
            assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
            instances.restart(P, true, 5);
            ms(10).await;
            let mut client = Client::connect(P).await.unwrap();
            assert_eq!(client.ask("PING").await, Reply::Simple("PONG".into()));
        },
    );
}

const PROMOTE: &str =
    "MULTI / SLAVEOF NO ONE / CONFIG REWRITE / CLIENT KILL TYPE normal / CLIENT KILL TYPE pubsub / EXEC / INFO";

fn promotes() {
    let instances = simulate(
        |_| {},
        |_| async {
            let mut client = Client::connect(R).await.unwrap();
            let named = client.ask("CLIENT SETNAME cfgserver-00000001-leader-7").await;
            assert_eq!(named, Reply::OK);
            client.send(PROMOTE).await;
            assert_eq!(client.next().await, Some(Reply::OK));
            for _ in 0..4 {
                assert_eq!(client.next().await, Some(Reply::Simple("QUEUED".into())));
            }
            let Some(Reply::Array(done)) = client.next().await else {
                panic!()
            };
            assert_eq!(done[..2], [Reply::OK, Reply::OK]);
            let Some(Reply::Bulk(info)) = client.next().await else {
                panic!()
            };
            assert!(String::from_utf8_lossy(&info).contains("role:master"));
        },
    );
    assert!(instances.look(|fleet| fleet.servers[R].is_primary() && fleet.servers[R].saved_follows.is_none()));
    // No group is known: the order is only told.
    assert!(
        instances
            .take_story()
            .iter()
            .any(|(_, who, text)| *who == R && text.contains("leader-7"))
    );
    assert!(
        !instances
            .take_facts()
            .iter()
            .any(|fact| matches!(fact, Fact::OrderDone { .. }))
    );
}

fn late() {
    let instances = simulate(
        |_| {},
        |instances| async move {
            let mut client = Client::connect(R).await.unwrap();
            client.info().await;
            instances.hang(R, 500);
            client.send("SLAVEOF NO ONE").await;
            assert!(timeout(Duration::from_millis(300), client.next()).await.is_err());
            // The kernel of a process that stands still takes connections.
            let other = Client::connect(R).await.unwrap();
            drop((client, other));
            ms(100).await;
            assert!(instances.look(|fleet| !fleet.servers[R].is_primary()));
            ms(300).await;
        },
    );
    assert!(instances.look(|fleet| fleet.servers[R].is_primary()));
}

fn host_down() {
    simulate(
        |_| {},
        |instances| async move {
            let mut client = Client::connect(P).await.unwrap();
            client.info().await;
            instances.host_down(P);
            client.send("PING").await;
            assert!(timeout(Duration::from_millis(500), client.next()).await.is_err());
            assert!(timeout(Duration::from_millis(500), Client::connect(P)).await.is_err());
            let before = instances.look(|fleet| fleet.servers[P].run_id());
            instances.host_up(P, 1);
            assert_eq!(client.next().await, None);
            let mut client = Client::connect(P).await.unwrap();
            assert!(!client.info().await.contains(&before.to_string()));
        },
    );
}

fn kills() {
    simulate(
        |_| {},
        |_| async {
            let mut one = Client::connect(P).await.unwrap();
            let mut other = Client::connect(P).await.unwrap();
            let mut listener = Client::connect(P).await.unwrap();
            other.ask("CLIENT SETNAME cfgserver-00000002-leader-6").await;
            listener.ask("SUBSCRIBE something").await;
            let Reply::Bulk(list) = one.ask("CLIENT LIST").await else {
                panic!()
            };
            let list = String::from_utf8_lossy(&list).into_owned();
            let line = list
                .lines()
                .find(|line| line.contains("leader-6"))
                .expect("it has a name");
            let id = line.strip_prefix("id=").unwrap().split(' ').next().unwrap().to_owned();
            assert_eq!(one.ask(&format!("CLIENT KILL ID {id}")).await, Reply::Integer(1));
            assert_eq!(other.next().await, None);
            assert_eq!(one.ask("CLIENT KILL TYPE normal").await, Reply::Integer(0));
            assert_eq!(one.ask("CLIENT KILL TYPE pubsub").await, Reply::Integer(1));
            assert_eq!(listener.next().await, None);
        },
    );
}

fn loading() {
    simulate(
        |_| {},
        |instances| async move {
            instances.crash(R);
            instances.restart(R, true, 300);
            ms(5).await;
            let mut client = Client::connect(R).await.unwrap();
            let says_loading = |reply: Reply| matches!(reply, Reply::Error(text) if text.starts_with("LOADING"));
            assert!(says_loading(client.ask("PING").await));
            assert!(says_loading(client.ask("SLAVEOF NO ONE").await));
            assert!(client.info().await.contains("loading:1"));
            ms(400).await;
            assert_eq!(client.ask("SLAVEOF NO ONE").await, Reply::OK);
        },
    );
}

fn discarded() {
    simulate(
        |fleet| fleet.servers[R].no_config_command = true,
        |_| async {
            let mut client = Client::connect(R).await.unwrap();
            client.send(PROMOTE).await;
            let mut replies = Vec::new();
            for _ in 0..7 {
                replies.push(client.next().await.expect("seven answers"));
            }
            assert!(matches!(&replies[2], Reply::Error(text) if text.starts_with("ERR unknown command")));
            assert!(matches!(&replies[5], Reply::Error(text) if text.starts_with("EXECABORT")));
            assert!(client.info().await.contains("role:slave"));
            assert_eq!(client.ask("SLAVEOF NO ONE").await, Reply::OK);
            assert!(client.info().await.contains("role:master"));
        },
    );
}

fn one_way() {
    simulate(
        |_| {},
        |instances| async move {
            let mut client = Client::connect(R).await.unwrap();
            client.info().await;
            let way = (address(R).ip, CLIENT.parse().unwrap());
            weather::cut(way);
            client.send("SLAVEOF NO ONE").await;
            assert!(timeout(Duration::from_millis(300), client.next()).await.is_err());
            assert!(instances.look(|fleet| fleet.servers[R].is_primary()));
            weather::mend(way);
            assert_eq!(client.next().await, Some(Reply::OK));
        },
    );
}

fn restarted() {
    simulate(
        |_| {},
        |instances| async move {
            instances.write(P, 50);
            ms(50).await;
            instances.crash(R);
            ms(10).await;
            instances.restart(R, false, 1);
            ms(5).await;
            let mut client = Client::connect(R).await.unwrap();
            assert!(client.info().await.contains("role:slave"));
            ms(3_000).await;
            let info = client.info().await;
            assert!(
                info.contains("master_link_status:up") && info.contains("db0:keys=10"),
                "{info}"
            );
            assert!(info.contains("slave_repl_offset:1050"), "{info}");
        },
    );
}

fn unknown() {
    let instances = simulate(
        |_| {},
        |_| async {
            let mut client = Client::connect(P).await.unwrap();
            let error = client.ask("GETEX a b").await;
            let text = "ERR unknown command 'GETEX', with args beginning with: 'a' 'b' ";
            assert_eq!(error, Reply::error(text));
            let error = client.ask("SLAVEOF NO").await;
            assert_eq!(
                error,
                Reply::error("ERR wrong number of arguments for 'slaveof' command")
            );
        },
    );
    assert_eq!(instances.take_coverage().of("instance: unknown command"), 1);
}
