//! SENTINEL CONFIG: settings that are not of one group.
//!
//! Whether host names are resolved and told is one thing for the whole cluster. Under which address a node is told to
//! clients is its own, and the others know it; how much it logs concerns nobody else.

use bytes::Bytes;

use crate::machine::{Command, SharedSetting};
use crate::requests::changes::{plain, write};
use crate::requests::client::parse_integer;
use crate::requests::{Dial, Effect, Local, LogWord, Session, View, Write};
use crate::resp::{Reply, glob_matches};
use crate::sentinel::errors;

/// Longest host that is announced, in bytes.
const HOST_BYTES_MAX: usize = 255;

/// The parameters, in Sentinel's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parameter {
    ResolveHostnames,
    AnnounceHostnames,
    AnnounceIp,
    AnnouncePort,
    SentinelUser,
    SentinelPass,
    LogLevel,
}

impl Parameter {
    const ALL: [Self; 7] = [
        Self::ResolveHostnames,
        Self::AnnounceHostnames,
        Self::AnnounceIp,
        Self::AnnouncePort,
        Self::SentinelUser,
        Self::SentinelPass,
        Self::LogLevel,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::ResolveHostnames => "resolve-hostnames",
            Self::AnnounceHostnames => "announce-hostnames",
            Self::AnnounceIp => "announce-ip",
            Self::AnnouncePort => "announce-port",
            Self::SentinelUser => "sentinel-user",
            Self::SentinelPass => "sentinel-pass",
            Self::LogLevel => "loglevel",
        }
    }

    fn parse(name: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|parameter| parameter.name().as_bytes().eq_ignore_ascii_case(name))
    }
}

pub(super) fn config(_: &mut Session, view: &View<'_>, args: &[Bytes]) -> Effect {
    match (args[2].to_ascii_lowercase().as_slice(), &args[3..]) {
        (b"get", patterns) => get(view, patterns),
        (b"set", [_, _, ..]) => set(view, args),
        _ => Effect::Reply(Reply::error(errors::CONFIG_SHAPE)),
    }
}

/// Pattern by pattern, each parameter once.
fn get(view: &View<'_>, patterns: &[Bytes]) -> Effect {
    let mut found: Vec<Parameter> = Vec::new();
    for pattern in patterns {
        let pattern = pattern.to_ascii_lowercase();
        let matches = |parameter: &Parameter| glob_matches(&pattern, parameter.name().as_bytes());
        for parameter in Parameter::ALL.into_iter().filter(matches) {
            if !found.contains(&parameter) {
                found.push(parameter);
            }
        }
    }
    let pairs = found
        .into_iter()
        .map(|parameter| (Reply::bulk(parameter.name()), Reply::bulk(value(view, parameter))));
    Effect::Reply(Reply::Map(pairs.collect()))
}

fn value(view: &View<'_>, parameter: Parameter) -> String {
    let yes_no = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    let shared = &view.state.header().shared;
    let announced = shared.announced.get(&view.node.id);
    match parameter {
        Parameter::ResolveHostnames => yes_no(shared.resolve_hostnames),
        Parameter::AnnounceHostnames => yes_no(shared.announce_hostnames),
        Parameter::AnnounceIp => announced.map(|announced| announced.host.clone()).unwrap_or_default(),
        Parameter::AnnouncePort => announced.map_or(0, |announced| announced.port).to_string(),
        Parameter::SentinelUser | Parameter::SentinelPass => String::new(),
        Parameter::LogLevel => view.dials.log.as_str().to_owned(),
    }
}

/// All or nothing.
fn set(view: &View<'_>, args: &[Bytes]) -> Effect {
    let (settings, log) = match parse_set(view, args) {
        Ok(parsed) => parsed,
        Err(refusal) => return Effect::Reply(refusal),
    };
    let then = if settings.is_empty() {
        Effect::Reply(Reply::OK)
    } else {
        write(Write::Command(Command::Share { settings }))
    };
    match log {
        Some(word) => Effect::then(Local::Turn(vec![Dial::Log(word)]), then),
        None => then,
    }
}

fn parse_set(view: &View<'_>, args: &[Bytes]) -> Result<(Vec<SharedSetting>, Option<LogWord>), Reply> {
    const FIRST_PARAMETER: usize = 3;
    plain(args, "CONFIG SET")?;
    let (mut settings, mut log, mut seen) = (Vec::new(), None, Vec::new());
    let mut at = FIRST_PARAMETER;
    while let Some(name) = args.get(at) {
        let parameter = Parameter::parse(name).ok_or_else(|| errors::config_argument(name))?;
        if seen.contains(&parameter) {
            return Err(errors::config_duplicate(name));
        }
        seen.push(parameter);
        let value = args.get(at + 1).ok_or_else(|| errors::config_missing(name))?;
        let wrong = || errors::config_value(value, name);
        let node = view.node.id;
        match parameter {
            Parameter::ResolveHostnames => {
                settings.push(SharedSetting::ResolveHostnames(yes_no(value).ok_or_else(wrong)?));
            }
            Parameter::AnnounceHostnames => {
                settings.push(SharedSetting::AnnounceHostnames(yes_no(value).ok_or_else(wrong)?));
            }
            Parameter::AnnounceIp => {
                let host = host(value).ok_or_else(wrong)?;
                settings.push(SharedSetting::AnnounceHost { node, host });
            }
            Parameter::AnnouncePort => {
                let port = parse_integer(value).and_then(|port| u16::try_from(port).ok());
                let port = port.ok_or_else(wrong)?;
                settings.push(SharedSetting::AnnouncePort { node, port });
            }
            Parameter::SentinelUser | Parameter::SentinelPass => {
                return Err(Reply::error(errors::CONFIG_NO_USERS_YET));
            }
            Parameter::LogLevel => log = Some(LogWord::parse(value).ok_or_else(wrong)?),
        }
        at += 2;
    }
    Ok((settings, log))
}

fn yes_no(value: &[u8]) -> Option<bool> {
    match value.to_ascii_lowercase().as_slice() {
        b"yes" => Some(true),
        b"no" => Some(false),
        _ => None,
    }
}

/// A host as it can stand in a reply that others cut at spaces and commas; empty for none of its own.
fn host(value: &[u8]) -> Option<String> {
    let fits = |byte: &u8| byte.is_ascii_graphic() && *byte != b',';
    let good = value.len() <= HOST_BYTES_MAX && value.iter().all(fits);
    good.then(|| String::from_utf8_lossy(value).into_owned())
}
