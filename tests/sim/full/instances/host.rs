//! An instance on the network: its listener and its connections.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use cfgserver::resp::{Decoder, Limits, Reply, encode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use turmoil::net::{TcpListener, TcpStream};

use super::Instances;
use super::stage::{Gate, Way};
use super::talk::Talk;
use crate::redis::Index;

/// An instance: nobody listens while its process does not run, nobody answers while its host is down.
pub(super) async fn run(instances: Instances, who: Index) -> turmoil::Result {
    let changed = instances.stage().changed[who].clone();
    loop {
        let (running, starts, port) = instances.look(|fleet| {
            let server = &fleet.servers[who];
            (server.running, server.starts, server.address.port)
        });
        if running {
            let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await?;
            listen(&instances, who, starts, &listener, &changed).await?;
        } else {
            changed.notified().await;
        }
    }
}

/// Takes connections until the process ends. One that hangs still has a kernel that takes them.
async fn listen(
    instances: &Instances,
    who: Index,
    starts: u32,
    listener: &TcpListener,
    changed: &Notify,
) -> turmoil::Result {
    loop {
        let (lives, host_up) = instances.look(|fleet| {
            let server = &fleet.servers[who];
            (server.running && server.starts == starts, server.host_up)
        });
        if !lives {
            return Ok(());
        }
        tokio::select! {
            biased;
            () = changed.notified() => {}
            accepted = listener.accept(), if host_up => {
                let (stream, peer) = accepted?;
                let taken = instances.stage().connected(who, starts, peer);
                if let Some((wire, close)) = taken {
                    tokio::task::spawn_local(converse(instances.clone(), wire, close, stream));
                }
            }
        }
    }
}

async fn converse(instances: Instances, wire: u64, close: Arc<Notify>, mut stream: TcpStream) {
    tokio::select! {
        biased;
        () = close.notified() => {}
        () = serve(&instances, wire, &mut stream) => {}
    }
    instances.stage().close(wire);
    // The end of a connection travels like its bytes.
    loop {
        let held_ms = instances.stage().held_ms(wire);
        match held_ms {
            Some(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
            None => break,
        }
    }
    instances.stage().disconnected(wire);
}

/// Answers what comes, until either side ends it. What comes while the process stands still is read, and done, later.
async fn serve(instances: &Instances, wire: u64, stream: &mut TcpStream) {
    let mut talk = Talk::default();
    let mut decoder = Decoder::new(Limits::CLIENT);
    let (mut input, mut output) = (BytesMut::new(), BytesMut::new());
    loop {
        if !matches!(stream.read_buf(&mut input).await, Ok(1..)) {
            return;
        }
        if !passes(instances, wire, Way::In).await {
            return;
        }
        let mut ends = false;
        while !ends {
            match decoder.decode(&mut input) {
                Ok(Some(request)) => {
                    let reply = instances.stage().answer(wire, &mut talk, &request);
                    encode(&reply, talk.protocol, &mut output);
                    ends = talk.quits;
                }
                Ok(None) => break,
                Err(error) => {
                    let text = format!("ERR Protocol error: {error}");
                    encode(&Reply::error(text), talk.protocol, &mut output);
                    ends = true;
                }
            }
        }
        if !passes(instances, wire, Way::Out).await {
            return;
        }
        if stream.write_all_buf(&mut output).await.is_err() || ends {
            return;
        }
    }
}

/// Waits until bytes get through; false when the connection has ended meanwhile.
async fn passes(instances: &Instances, wire: u64, way: Way) -> bool {
    loop {
        let gate = instances.stage().gate(wire, way);
        match gate {
            Gate::Open => return true,
            Gate::Closed => return false,
            Gate::Waits(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
        }
    }
}
