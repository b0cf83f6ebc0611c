//! A server that speaks RESP and misbehaves as told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::BytesMut;
use cfgserver::model::Address;
use cfgserver::net::{self, TcpStream};
use cfgserver::resp::{Decoder, Limits};
use cfgserver::task::Tasks;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What to do about a request.
pub(crate) enum Deed {
    /// Answer with these bytes.
    Say(String),
    /// Answer nothing, now and later.
    Nothing,
    /// Close the connection.
    Close,
}

/// What a server does: told by the number of the connection, the number of the request on it, and its name.
pub(crate) type Manner = dyn Fn(usize, usize, &str) -> Deed + Send + Sync;

/// The server; it ends when dropped.
pub(crate) struct FakeRedis {
    pub(crate) address: Address,
    connections: Arc<AtomicUsize>,
    tasks: Tasks,
}

impl FakeRedis {
    pub(crate) fn start(manner: impl Fn(usize, usize, &str) -> Deed + Send + Sync + 'static) -> Self {
        let manner: Arc<Manner> = Arc::new(manner);
        let listener = net::listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let port = listener.local_addr().unwrap().port();
        let tasks = Tasks::default();
        let connections = Arc::new(AtomicUsize::new(0));
        let fake = Self {
            address: Address::parse("127.0.0.1", &port.to_string()).unwrap(),
            connections: connections.clone(),
            tasks: tasks.clone(),
        };
        let stop = tasks.stopping();
        fake.tasks.spawn("fake", async move {
            loop {
                let stream = tokio::select! {
                    () = stop.cancelled() => return,
                    accepted = listener.accept() => accepted.unwrap().0,
                };
                let number = connections.fetch_add(1, Ordering::SeqCst);
                let (stop, manner) = (stop.clone(), manner.clone());
                tasks.spawn("fake-connection", async move {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = serve(stream, number, manner) => {}
                    }
                });
            }
        });
        fake
    }

    /// How many connections there were.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for FakeRedis {
    fn drop(&mut self) {
        self.tasks.stopping().cancel();
    }
}

async fn serve(mut stream: TcpStream, connection: usize, manner: Arc<Manner>) {
    let mut decoder = Decoder::new(Limits::CLIENT);
    let mut input = BytesMut::new();
    let mut is_silent = false;
    for number in 0.. {
        let request = loop {
            if let Some(request) = decoder.decode(&mut input).unwrap() {
                break request;
            }
            if !matches!(stream.read_buf(&mut input).await, Ok(1..)) {
                return;
            }
        };
        let name = String::from_utf8_lossy(request.name()).to_ascii_uppercase();
        match manner(connection, number, &name) {
            Deed::Say(_) if is_silent => {}
            Deed::Say(text) => stream.write_all(text.as_bytes()).await.unwrap_or_default(),
            Deed::Nothing => is_silent = true,
            Deed::Close => return,
        }
    }
}

/// INFO of a process in a role.
pub(crate) fn info(run_id: &str, role: &str) -> Deed {
    let text = format!("run_id:{run_id}\r\nrole:{role}\r\n");
    Deed::Say(format!("${}\r\n{text}\r\n", text.len()))
}

/// What a healthy primary answers.
pub(crate) fn healthy(name: &str) -> Deed {
    match name {
        "INFO" => info("aa", "master"),
        "PING" => Deed::Say("+PONG\r\n".to_owned()),
        _ => Deed::Say("+OK\r\n".to_owned()),
    }
}
