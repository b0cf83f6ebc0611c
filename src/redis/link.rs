//! One connection to an instance.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::model::{Address, GroupConfig, HostPort};
use crate::net::{self, TcpStream};
use crate::redis::LinkError;
use crate::resp::{AnswerDecoder, AnswerLimits, Reply, encode_request};

/// What an instance answers to one request.
pub type Answer = Reply;

/// An empty buffer that is larger than this is given back: INFO is about 5 KB, the rest are a few bytes, and there may
/// be thousands of links.
const KEEP_BYTES: usize = 128;

/// Which instance, how to get in, and what it calls its commands.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// Where it listens.
    pub address: Address,
    /// User name; empty for the default user.
    pub user: String,
    /// Password; empty for none.
    pub password: String,
    /// What it calls commands, by their usual names in lower case.
    pub renamed: BTreeMap<String, String>,
}

/// A connection. Requests are answered in their order; any number may be on their way.
///
/// Every method that waits can be dropped while it waits and called again. After an error the link is of no use.
#[derive(Debug)]
pub struct Link {
    stream: TcpStream,
    /// What the other side calls commands.
    renamed: BTreeMap<String, String>,
    output: BytesMut,
    input: BytesMut,
    decoder: AnswerDecoder,
    /// The next answer is that of AUTH.
    auth_pending: bool,
    /// Requests that were not answered yet, AUTH not counted.
    pending: usize,
    broken: Option<LinkError>,
}

impl Target {
    /// An instance of a group with these settings.
    pub fn new(address: Address, config: &GroupConfig) -> Self {
        Self {
            address,
            user: config.auth_user.clone(),
            password: config.auth_pass.to_string(),
            renamed: config.renamed.clone(),
        }
    }

    /// The same instance under the same user: only the names of commands may be others.
    pub fn presents_as(&self, other: &Self) -> bool {
        (self.address, &self.user, &self.password) == (other.address, &other.user, &other.password)
    }

    fn auth(&self) -> Option<Vec<Bytes>> {
        auth(&self.user, &self.password)
    }
}

/// The AUTH request; `None` without a password.
fn auth(user: &str, password: &str) -> Option<Vec<Bytes>> {
    if password.is_empty() {
        return None;
    }
    let user = (!user.is_empty()).then_some(user);
    let parts = [Some("AUTH"), user, Some(password)];
    Some(parts.into_iter().flatten().map(owned).collect())
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("address", &self.address)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl Link {
    /// Connects within `limit`. AUTH, when configured, goes out with the first request; its refusal is the error of
    /// the first answer.
    pub async fn connect(target: &Target, limit: Duration) -> Result<Self, LinkError> {
        let place = target.address.to_string();
        let mut link = Self::open(&place, AnswerLimits::INSTANCE, limit).await?;
        link.renamed.clone_from(&target.renamed);
        link.authenticate(target.auth());
        Ok(link)
    }

    /// The names for commands from the next request on.
    pub fn follow_names(&mut self, target: &Target) {
        self.renamed.clone_from(&target.renamed);
    }

    /// The same towards a node or a Sentinel, which may have a host name and tell about a thousand groups at once.
    pub async fn dial(place: &HostPort, user: &str, password: &str, limit: Duration) -> Result<Self, LinkError> {
        let mut link = Self::open(&place.to_string(), AnswerLimits::PEER, limit).await?;
        link.authenticate(auth(user, password));
        Ok(link)
    }

    async fn open(place: &str, limits: AnswerLimits, limit: Duration) -> Result<Self, LinkError> {
        let stream = net::connect(place, limit)
            .await
            .map_err(|error| LinkError::connecting(&error))?;
        Ok(Self {
            stream,
            renamed: BTreeMap::new(),
            output: BytesMut::new(),
            input: BytesMut::new(),
            decoder: AnswerDecoder::new(limits),
            auth_pending: false,
            pending: 0,
            broken: None,
        })
    }

    fn authenticate(&mut self, auth: Option<Vec<Bytes>>) {
        if let Some(auth) = auth {
            encode(&auth, &self.renamed, &mut self.output);
            self.auth_pending = true;
        }
    }

    /// Sends requests in one write and waits for all answers, together at most `limit`.
    pub async fn call(&mut self, commands: &[Vec<Bytes>], limit: Duration) -> Result<Vec<Answer>, LinkError> {
        let mut answers = VecDeque::new();
        match tokio::time::timeout(limit, self.exchange(commands, &mut answers)).await {
            Ok(done) => done.map(|()| answers.into()),
            Err(_) => Err(self.fail(LinkError::TimedOut)),
        }
    }

    /// Sends requests in one write and collects answers, so that those that came are known even when the rest does
    /// not come.
    pub(super) async fn exchange(
        &mut self,
        commands: &[Vec<Bytes>],
        answers: &mut VecDeque<Answer>,
    ) -> Result<(), LinkError> {
        for command in commands {
            self.queue(command);
        }
        for _ in commands {
            answers.push_back(self.answer().await?);
        }
        Ok(())
    }

    /// Puts a request behind those that are on their way, under the name that the other side has for it. It is sent
    /// with the next [`Link::answer`].
    pub fn queue(&mut self, command: &[Bytes]) {
        encode(command, &self.renamed, &mut self.output);
        self.pending += 1;
    }

    /// How many requests were not answered yet.
    pub fn pending(&self) -> usize {
        self.pending
    }

    /// Sends what is queued and waits for the next answer, or, when none is due, for the end of the connection.
    pub async fn answer(&mut self) -> Result<Answer, LinkError> {
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        loop {
            let answer = match self.next().await {
                Ok(answer) => answer,
                Err(error) => return Err(self.fail(error)),
            };
            if self.auth_pending {
                self.auth_pending = false;
                if let Some(text) = auth_refusal(&answer) {
                    return Err(self.fail(LinkError::Auth(text)));
                }
                continue;
            }
            if self.pending == 0 {
                return Err(self.fail(LinkError::Protocol("an answer that nobody asked for".to_owned())));
            }
            self.pending -= 1;
            return Ok(answer);
        }
    }

    async fn next(&mut self) -> Result<Answer, LinkError> {
        loop {
            if let Some(answer) = self.decoder.decode(&mut self.input)? {
                self.release();
                return Ok(answer);
            }
            self.advance().await.map_err(|error| LinkError::connected(&error))?;
        }
    }

    /// Reads and writes what is possible. Reads first: what was said before the end tells more than the end.
    async fn advance(&mut self) -> io::Result<()> {
        match net::take_arrived(&self.stream, &mut self.input)? {
            Some(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Some(_) => return Ok(()),
            None => {}
        }
        net::send_ready(&self.stream, &mut self.output)?;
        if self.output.is_empty() {
            return net::readable(&self.stream).await;
        }
        tokio::select! {
            biased;
            ready = net::readable(&self.stream) => ready,
            ready = self.stream.writable() => ready,
        }
    }

    /// Gives memory back between answers: most links are idle most of the time.
    fn release(&mut self) {
        for buffer in [&mut self.input, &mut self.output] {
            if buffer.is_empty() && buffer.capacity() > KEEP_BYTES {
                *buffer = BytesMut::new();
            }
        }
    }

    pub(super) fn fail(&mut self, error: LinkError) -> LinkError {
        self.broken = Some(error.clone());
        error
    }
}

/// What AUTH was refused with. That a server has no password to compare with is no refusal.
fn auth_refusal(answer: &Answer) -> Option<String> {
    let Answer::Error(text) = answer else { return None };
    let tolerated = ["without any password", "no password is set", "LOADING", "MASTERDOWN"];
    let refused = !tolerated.iter().any(|part| text.contains(part));
    refused.then(|| text.clone().into_owned())
}

/// Writes a request whose command the other side may call something else (Redis's `rename-command`, which knows no
/// subcommands).
fn encode(command: &[Bytes], renamed: &BTreeMap<String, String>, output: &mut BytesMut) {
    let usual = command.first().filter(|_| !renamed.is_empty());
    let name = usual.and_then(|name| renamed.get(&std::str::from_utf8(name).ok()?.to_ascii_lowercase()));
    match name {
        Some(name) => {
            let mut command = command.to_vec();
            command[0] = owned(name);
            encode_request(&command, output);
        }
        None => encode_request(command, output),
    }
}

/// What an instance said, with what may be the cause when it does not know a command that every Redis has.
pub(crate) fn explained(text: &str) -> Cow<'_, str> {
    if text.starts_with("ERR unknown command") {
        return format!(
            "{} (renamed there? rename-command of the group tells the name)",
            text.trim_end()
        )
        .into();
    }
    text.into()
}

/// A request from text.
pub fn request<const N: usize>(parts: [&str; N]) -> Vec<Bytes> {
    parts.into_iter().map(owned).collect()
}

fn owned(part: &str) -> Bytes {
    Bytes::copy_from_slice(part.as_bytes())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn target(user: &str, password: &str) -> Target {
        Target {
            address: "10.0.0.1:6379".parse().unwrap(),
            user: user.to_owned(),
            password: password.to_owned(),
            renamed: BTreeMap::new(),
        }
    }

    #[test]
    fn a_command_goes_out_under_the_name_that_the_instance_has_for_it() {
        let renamed = BTreeMap::from([("slaveof".to_owned(), "obey".to_owned())]);
        let sent = |command: &[Bytes], renamed: &BTreeMap<String, String>| {
            let mut output = BytesMut::new();
            encode(command, renamed, &mut output);
            String::from_utf8(output.to_vec()).unwrap()
        };
        let order = request(["SLAVEOF", "SLAVEOF", "ONE"]);
        let usual = "*3\r\n$7\r\nSLAVEOF\r\n$7\r\nSLAVEOF\r\n$3\r\nONE\r\n";
        assert_eq!(sent(&order, &BTreeMap::new()), usual);
        assert_eq!(sent(&order, &renamed), usual.replacen("$7\r\nSLAVEOF", "$4\r\nobey", 1));
        assert_eq!(sent(&request(["PING"]), &renamed), "*1\r\n$4\r\nPING\r\n");
        assert_eq!(sent(&[], &renamed), "*0\r\n");
    }

    #[test]
    fn only_an_unknown_command_is_explained() {
        let unknown = "ERR unknown command 'SLAVEOF', with args beginning with: 'NO' 'ONE' ";
        assert!(explained(unknown).starts_with(unknown.trim_end()));
        assert!(explained(unknown).contains("rename-command"));
        assert_eq!(explained("NOPERM this user"), "NOPERM this user");
    }

    #[test]
    fn a_password_is_never_shown() {
        let shown = format!("{:?}", target("some", "secret"));
        assert!(shown.contains("some") && !shown.contains("secret"), "{shown}");
    }

    #[test]
    fn auth_has_a_user_only_when_there_is_one() {
        assert_eq!(target("", "").auth(), None);
        assert_eq!(target("some", "").auth(), None);
        assert_eq!(target("", "secret").auth(), Some(request(["AUTH", "secret"])));
        assert_eq!(
            target("some", "secret").auth(),
            Some(request(["AUTH", "some", "secret"]))
        );
    }

    #[test]
    fn only_a_refused_password_is_a_refusal() {
        let refused = |text: &'static str| auth_refusal(&Answer::error(text)).is_some();
        assert!(refused("WRONGPASS invalid username-password pair or user is disabled."));
        assert!(refused("ERR invalid password"));
        assert!(refused("DENIED protected mode"));
        assert!(!refused("ERR Client sent AUTH, but no password is set"));
        assert!(!refused(
            "ERR AUTH <password> called without any password configured for the default user."
        ));
        assert!(!refused("LOADING Redis is loading the dataset in memory"));
        assert_eq!(auth_refusal(&Answer::OK), None);
    }
}
