//! Asks instances for their role, as a proxy does before it serves clients.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::watch;

/// Who knows the roles of the instances.
pub(crate) enum Roles {
    /// The instances themselves, asked each time.
    Instances,
    /// For a crowd, which would drown them: who said master in the last round of questions.
    Oracle(watch::Receiver<BTreeSet<String>>),
}

impl Roles {
    /// An oracle that asks these instances again and again.
    pub(crate) fn oracle(handle: &Handle, addresses: Vec<String>, pause: Duration) -> Self {
        let (tell, masters) = watch::channel(BTreeSet::new());
        let mut lines: Vec<Line> = addresses.into_iter().map(Line::new).collect();
        handle.spawn(async move {
            loop {
                let mut said = BTreeSet::new();
                for line in &mut lines {
                    if line.ask().await {
                        said.insert(line.address.clone());
                    }
                }
                if tell.send(said).is_err() {
                    return;
                }
                tokio::time::sleep(pause).await;
            }
        });
        Self::Oracle(masters)
    }

    /// For each group, whether the instance at its address (`ip:port`) says `master`.
    pub(crate) async fn masters(&self, addresses: BTreeMap<String, String>) -> BTreeMap<String, bool> {
        let mut said = BTreeMap::new();
        match self {
            Self::Instances => {
                for (group, address) in addresses {
                    said.insert(group, Line::new(address).ask().await);
                }
            }
            Self::Oracle(masters) => {
                let mut masters = masters.clone();
                // What was asked before somebody was promoted is no answer: the round under way, and a whole one.
                for _ in 0..2 {
                    if addresses
                        .values()
                        .all(|address| masters.borrow_and_update().contains(address))
                    {
                        break;
                    }
                    let _ = masters.changed().await;
                }
                let masters = masters.borrow();
                said.extend(
                    addresses
                        .into_iter()
                        .map(|(group, address)| (group, masters.contains(&address))),
                );
            }
        }
        said
    }

    /// Whether the instance at `ip:port` itself says `master`.
    pub(crate) async fn is_master(address: String) -> bool {
        Line::new(address).ask().await
    }
}

/// A connection to an instance, kept between questions.
struct Line {
    address: String,
    stream: Option<TcpStream>,
}

impl Line {
    fn new(address: String) -> Self {
        Self { address, stream: None }
    }

    /// A promotion closes the clients of an instance: then it is asked once more.
    async fn ask(&mut self) -> bool {
        match self.role().await {
            Err(error) if error.kind() != io::ErrorKind::ConnectionRefused => self.role().await.unwrap_or(false),
            answer => answer.unwrap_or(false),
        }
    }

    async fn role(&mut self) -> io::Result<bool> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => TcpStream::connect(self.address.as_str()).await?,
        };
        stream.write_all(b"*1\r\n$4\r\nROLE\r\n").await?;
        let mut answer = Vec::new();
        // To its end: what is left over would be the next answer.
        while !is_whole(&answer) {
            if stream.read_buf(&mut answer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        self.stream = Some(stream);
        Ok(answer.split(|byte| *byte == b'\n').nth(2) == Some(b"master\r"))
    }
}

/// Whether all of an answer to ROLE is there: arrays, bulk strings and integers.
fn is_whole(answer: &[u8]) -> bool {
    let mut lines = answer
        .split_inclusive(|byte| *byte == b'\n')
        .filter(|line| line.ends_with(b"\n"));
    let mut wanted = 1;
    while wanted > 0 {
        let Some(line) = lines.next() else { return false };
        let number = || std::str::from_utf8(&line[1..]).ok()?.trim_end().parse::<usize>().ok();
        match line[0] {
            b'*' => wanted += number().unwrap_or(0),
            b'$' if lines.next().is_none() => return false,
            _ => {}
        }
        wanted -= 1;
    }
    true
}

#[test]
fn an_answer_to_role_is_read_to_its_end() {
    let whole = b"*3\r\n$6\r\nmaster\r\n:7\r\n*1\r\n*3\r\n$9\r\n127.0.0.1\r\n$4\r\n6380\r\n$1\r\n7\r\n";
    assert!(is_whole(whole));
    for end in 0..whole.len() {
        assert!(!is_whole(&whole[..end]), "{end}");
    }
    assert!(is_whole(b"*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"));
}
