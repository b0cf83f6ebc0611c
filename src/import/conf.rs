//! A sentinel.conf: read as Redis reads it, and refused where it is not understood.
//!
//! Redis takes a line apart by the rules of inline commands, knows comments on lines of their own only, and carries
//! out `monitor` before all that is about a group, wherever it stands.
//! Values never appear in a fault or a note: a line that is not understood could be the rest of a password.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::ordinary::{Ordinary, ordinary, takes};
use super::source::{Note, Place, Source, Value, Wanted};
use crate::model::GroupName;
use crate::resp::split_line;

/// A line that is refused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("{line}: {fault}")]
pub struct ConfError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong; never a value.
    pub fault: String,
}

/// Reads the file, or tells every line that is wrong.
pub fn parse_conf(text: &[u8]) -> Result<Source, Vec<ConfError>> {
    let mut reader = Reader::default();
    let mut about_groups = Vec::new();
    for (line, words) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        match split(words) {
            Ok(words) if words.is_empty() => {}
            Ok(words) => {
                if let Some(later) = reader.first_pass(line, words) {
                    about_groups.push(later);
                }
            }
            Err(fault) => reader.refuse(line, fault),
        }
    }
    for (line, directive, words) in about_groups {
        let done = reader.about_group(directive, &words);
        done.unwrap_or_else(|fault| reader.refuse(line, fault));
    }
    reader.finish()
}

/// A directive of Sentinel's and how many words follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Directive {
    Monitor,
    /// Its name here, for the cluster.
    Number(&'static str, Least),
    AuthPass,
    AuthUser,
    Script(&'static str),
    RenameCommand,
    /// Sentinel's own book-keeping about a group.
    Epoch(&'static str),
    KnownReplica,
    KnownSentinel,
    MyId,
    CurrentEpoch,
    Global(&'static str, &'static str),
    YesNo(&'static str, &'static str),
    Elsewhere,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Least {
    Zero,
    One,
}

const REBOOT: &str = "master-reboot-down-after-period";
const NAMES_TAKEN: &str = "is set with the first group that has a host name";
const NAMES_TOLD: &str = "holds in the whole cluster, for its clients of today too: set it with SENTINEL CONFIG SET";

/// What a directive is, by its name in lower case, and how many words it takes.
fn directive(name: &[u8]) -> Option<(Directive, std::ops::RangeInclusive<usize>)> {
    use Directive::{AuthPass, AuthUser, CurrentEpoch, Elsewhere, Epoch, Global, KnownReplica, KnownSentinel};
    use Directive::{Monitor, MyId, Number, RenameCommand, Script, YesNo};
    Some(match name {
        b"monitor" => (Monitor, 4..=4),
        b"down-after-milliseconds" => (Number("down-after-milliseconds", Least::One), 2..=2),
        b"failover-timeout" => (Number("failover-timeout", Least::One), 2..=2),
        b"parallel-syncs" => (Number("parallel-syncs", Least::One), 2..=2),
        b"master-reboot-down-after-period" | b"primary-reboot-down-after-period" => {
            (Number(REBOOT, Least::Zero), 2..=2)
        }
        b"auth-pass" => (AuthPass, 2..=2),
        b"auth-user" => (AuthUser, 2..=2),
        b"notification-script" => (Script("notification-script"), 2..=2),
        b"client-reconfig-script" => (Script("client-reconfig-script"), 2..=2),
        b"rename-command" => (RenameCommand, 3..=3),
        b"config-epoch" => (Epoch("config-epoch"), 2..=2),
        b"leader-epoch" => (Epoch("leader-epoch"), 2..=2),
        b"known-replica" | b"known-slave" => (KnownReplica, 3..=3),
        b"known-sentinel" => (KnownSentinel, 3..=4),
        b"myid" => (MyId, 1..=1),
        b"current-epoch" => (CurrentEpoch, 1..=1),
        b"announce-ip" => (Global("announce-ip", OWN_PLACE), 1..=1),
        b"announce-port" => (Global("announce-port", OWN_PLACE), 1..=1),
        b"sentinel-user" => (Global("sentinel-user", OWN_SECRET), 1..=1),
        b"sentinel-pass" => (Global("sentinel-pass", OWN_SECRET), 1..=1),
        b"deny-scripts-reconfig" => (
            YesNo(
                "deny-scripts-reconfig",
                "cfgserver serve has --deny-scripts-reconfig for this",
            ),
            1..=1,
        ),
        b"resolve-hostnames" => (YesNo("resolve-hostnames", NAMES_TAKEN), 1..=1),
        b"announce-hostnames" => (YesNo("announce-hostnames", NAMES_TOLD), 1..=1),
        b"state-config-file" => (Elsewhere, 1..=1),
        _ => return None,
    })
}

const OWN_PLACE: &str = "tell each node its own with SENTINEL CONFIG SET";
const OWN_SECRET: &str = "the nodes have --cluster-secret-file for this";

/// The words of a line; none for a blank line and for a comment.
fn split(line: &[u8]) -> Result<Vec<Bytes>, String> {
    let line = line.trim_ascii();
    if line.is_empty() || line[0] == b'#' {
        return Ok(Vec::new());
    }
    if line.contains(&0) {
        return Err("this is no text".to_owned());
    }
    split_line(line).map_err(|_| "the quotes do not pair up".to_owned())
}

type Later = (usize, Directive, Vec<Bytes>);

#[derive(Default)]
struct Reader {
    groups: BTreeMap<GroupName, Group>,
    notes: Vec<Note>,
    faults: Vec<ConfError>,
    /// `myid` and the epochs were noted.
    state_noted: bool,
}

/// A group while its lines come in.
struct Group {
    primary: Place,
    quorum: u32,
    settings: BTreeMap<&'static str, Value>,
    replicas: BTreeSet<Place>,
    sentinels: usize,
    renamed: BTreeMap<String, String>,
}

impl Reader {
    fn refuse(&mut self, line: usize, fault: impl Into<String>) {
        let fault = fault.into();
        self.faults.push(ConfError { line, fault });
    }

    fn note(&mut self, line: usize, text: impl Into<String>) {
        let text = text.into();
        self.notes.push(Note { line, text });
    }

    /// What is no setting of a group is done here; the others wait until all groups are known.
    fn first_pass(&mut self, line: usize, words: Vec<Bytes>) -> Option<Later> {
        let name = words[0].to_ascii_lowercase();
        if name != b"sentinel" {
            self.ordinary(line, &name, &words[1..]);
            return None;
        }
        let known = words.get(1).and_then(|name| directive(&name.to_ascii_lowercase()));
        let Some((directive, shape)) = known else {
            self.refuse(line, "this is no directive of Sentinel's");
            return None;
        };
        let values = words[2..].to_vec();
        if !shape.contains(&values.len()) {
            self.refuse(line, wrong_number(&values, &shape));
            return None;
        }
        match directive {
            Directive::Monitor => {
                let done = self.monitor(&values);
                done.unwrap_or_else(|fault| self.refuse(line, fault));
                None
            }
            Directive::Elsewhere => {
                let fault = "state-config-file: the groups are where that file says. Import from the running Sentinel \
                             instead (--from)";
                self.refuse(line, fault);
                None
            }
            Directive::MyId | Directive::CurrentEpoch | Directive::Global(..) | Directive::YesNo(..) => {
                let done = self.global(line, directive, &values[0]);
                done.unwrap_or_else(|fault| self.refuse(line, fault));
                None
            }
            _ => Some((line, directive, values)),
        }
    }

    fn ordinary(&mut self, line: usize, name: &[u8], values: &[Bytes]) {
        let name = std::str::from_utf8(name).unwrap_or_default();
        if name == "include" {
            let fault = "include is not followed: put the lines of that file here";
            return self.refuse(line, fault);
        }
        let Some((name, what)) = ordinary(name) else {
            return self.refuse(line, "this is no directive of Redis or Sentinel");
        };
        if !takes(name, values.len()) {
            let comment = comment_hint(values);
            return self.refuse(line, format!("{name}: wrong number of values{comment}"));
        }
        match what {
            Ordinary::Means(what) => self.note(line, format!("{name}: {what}")),
            Ordinary::Nothing => self.note(line, format!("{name}: ignored, it means nothing to a node")),
        }
    }

    fn monitor(&mut self, values: &[Bytes]) -> Result<(), String> {
        let name = group_name(&values[0])?;
        let host = word(&values[1], "monitor")?;
        let port = word(&values[2], "monitor")?;
        let primary = Place::parse(host, port).ok_or("monitor: this is no host and port")?;
        let quorum =
            number(&values[3], "monitor", Least::One).map_err(|_| "monitor: the quorum must be 1 or greater")?;
        let quorum = u32::try_from(quorum).map_err(|_| "monitor: the quorum is too large")?;
        if self.groups.contains_key(&name) {
            return Err(format!("monitor: group {name} stands twice in the file"));
        }
        let defaults = [
            ("down-after-milliseconds", "30000"),
            ("failover-timeout", "180000"),
            ("parallel-syncs", "1"),
            (REBOOT, "0"),
        ];
        let defaults = defaults.map(|(option, value)| (option, Value::Open(value.to_owned())));
        let group = Group {
            primary,
            quorum,
            settings: defaults.into(),
            replicas: BTreeSet::new(),
            sentinels: 0,
            renamed: BTreeMap::new(),
        };
        self.groups.insert(name, group);
        Ok(())
    }

    fn global(&mut self, line: usize, directive: Directive, value: &Bytes) -> Result<(), String> {
        match directive {
            Directive::MyId if value.len() != 40 || !value.iter().all(u8::is_ascii_alphanumeric) => {
                return Err("myid: this is no id of a Sentinel".to_owned());
            }
            Directive::MyId | Directive::CurrentEpoch => {
                if directive == Directive::CurrentEpoch {
                    number(value, "current-epoch", Least::Zero)?;
                }
                if !std::mem::replace(&mut self.state_noted, true) {
                    self.note(line, "ids and epochs of Sentinels: ignored, the cluster has its own");
                }
            }
            Directive::YesNo(name, what) => match value.to_ascii_lowercase().as_slice() {
                b"yes" if name != "deny-scripts-reconfig" => self.note(line, format!("{name}: {what}")),
                b"no" if name == "deny-scripts-reconfig" => self.note(line, format!("{name}: {what}")),
                b"yes" | b"no" => {}
                _ => return Err(format!("{name}: yes or no is needed")),
            },
            Directive::Global(name, what) => {
                if name == "announce-port" {
                    let port = number(value, name, Least::Zero)?;
                    u16::try_from(port).map_err(|_| "announce-port: this is no port")?;
                }
                self.note(line, format!("{name}: {what}"));
            }
            _ => {}
        }
        Ok(())
    }

    fn about_group(&mut self, directive: Directive, values: &[Bytes]) -> Result<(), String> {
        let name = group_name(&values[0])?;
        let group = self.groups.get_mut(&name);
        let group = group.ok_or("there is no 'sentinel monitor' line for this group")?;
        match directive {
            Directive::Number(option, least) => {
                let number = number(&values[1], option, least)?;
                if option == "parallel-syncs" && u32::try_from(number).is_err() {
                    return Err(format!("{option}: the number is too large"));
                }
                group.settings.insert(option, Value::Open(number.to_string()));
            }
            Directive::AuthPass => put_or_clear(group, "auth-pass", word(&values[1], "auth-pass")?, Value::Secret),
            Directive::AuthUser => put_or_clear(group, "auth-user", word(&values[1], "auth-user")?, Value::Open),
            Directive::Script(name) => put_or_clear(group, name, word(&values[1], name)?, Value::Open),
            Directive::RenameCommand => {
                let usual = word(&values[1], "rename-command")?.to_ascii_lowercase();
                let own = word(&values[2], "rename-command")?.to_owned();
                if usual.is_empty() || own.is_empty() {
                    return Err("rename-command: a name is empty".to_owned());
                }
                if group.renamed.insert(usual, own).is_some() {
                    return Err("rename-command: the same command is renamed twice".to_owned());
                }
            }
            Directive::Epoch(name) => _ = number(&values[1], name, Least::Zero)?,
            Directive::KnownReplica => {
                let (host, port) = (word(&values[1], "known-replica")?, word(&values[2], "known-replica")?);
                let place = Place::parse(host, port).ok_or("known-replica: this is no host and port")?;
                group.replicas.insert(place);
            }
            Directive::KnownSentinel => {
                let (host, port) = (word(&values[1], "known-sentinel")?, word(&values[2], "known-sentinel")?);
                Place::parse(host, port).ok_or("known-sentinel: this is no host and port")?;
                // Sentinel ignores the old form, which has no id.
                group.sentinels += usize::from(values.len() == 4);
            }
            Directive::Monitor
            | Directive::MyId
            | Directive::CurrentEpoch
            | Directive::Global(..)
            | Directive::YesNo(..)
            | Directive::Elsewhere => {}
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Source, Vec<ConfError>> {
        if !self.faults.is_empty() {
            self.faults.sort();
            return Err(self.faults);
        }
        let groups = self.groups.into_iter().map(|(name, group)| group.wanted(name));
        Ok(Source {
            groups: groups.collect(),
            notes: self.notes,
        })
    }
}

impl Group {
    fn wanted(mut self, name: GroupName) -> Wanted {
        // While a promotion is not finished, the promoted instance stands among the replicas, too.
        self.replicas.remove(&self.primary);
        if !self.renamed.is_empty() {
            self.settings.insert("rename-command", Value::Names(self.renamed));
        }
        Wanted {
            name,
            primary: self.primary,
            quorum: self.quorum,
            settings: self.settings.into_iter().collect(),
            replicas: self.replicas.into_iter().collect(),
            sentinels: self.sentinels,
            notes: Vec::new(),
        }
    }
}

/// An empty value takes the setting away, as it does in Sentinel.
fn put_or_clear(group: &mut Group, option: &'static str, text: &str, value: fn(String) -> Value) {
    if text.is_empty() {
        group.settings.remove(option);
    } else {
        group.settings.insert(option, value(text.to_owned()));
    }
}

fn wrong_number(values: &[Bytes], shape: &std::ops::RangeInclusive<usize>) -> String {
    let comment = comment_hint(values);
    let (least, most) = (shape.start(), shape.end());
    match least == most {
        true => format!("wrong number of values: {least} needed{comment}"),
        false => format!("wrong number of values: {least} to {most} needed{comment}"),
    }
}

fn comment_hint(values: &[Bytes]) -> &'static str {
    if values.iter().any(|word| word.starts_with(b"#")) {
        return " (Redis knows comments on lines of their own only)";
    }
    ""
}

fn group_name(word: &[u8]) -> Result<GroupName, String> {
    GroupName::new(word).map_err(|error| error.to_string())
}

fn word<'a>(word: &'a [u8], directive: &str) -> Result<&'a str, String> {
    let text = std::str::from_utf8(word).map_err(|_| format!("{directive}: this is no UTF-8"))?;
    match text.bytes().any(|byte| byte.is_ascii_control()) {
        true => Err(format!("{directive}: control characters are not taken over")),
        false => Ok(text),
    }
}

fn number(word: &[u8], directive: &str, least: Least) -> Result<i64, String> {
    let text = std::str::from_utf8(word).ok().filter(|text| !text.starts_with('+'));
    let number = text.and_then(|text| text.parse::<i64>().ok());
    match (number, least) {
        (Some(number), Least::One) if number > 0 => Ok(number),
        (Some(number), Least::Zero) if number >= 0 => Ok(number),
        (Some(_), Least::One) => Err(format!("{directive}: must be 1 or more")),
        (Some(_), Least::Zero) => Err(format!("{directive}: must be 0 or more")),
        (None, _) => Err(format!("{directive}: this is no number")),
    }
}
