//! SENTINEL requests that change something: MONITOR, REMOVE, SET, RESET, FAILOVER.
//!
//! Arguments are checked here, in Sentinel's order. What the cluster alone can know (does the name exist, is it
//! taken) is left to it: this node may be a moment behind. Only when the arguments are wrong as well does an
//! unknown name win here, as it does there. Control characters are refused before all else: a Sentinel would write them
//! into its configuration file, and read them back as lines of their own.

use std::net::IpAddr;

use bytes::Bytes;

use crate::failover::Wish;
use crate::machine::{Command, Outcome, Rejection};
use crate::model::{Address, GroupName, HostName, Setting};
use crate::requests::client::parse_integer;
use crate::requests::lookups::group_named;
use crate::requests::{Effect, Monitoring, Period, Session, View, Write, WriteError, WriteReply, settings};
use crate::resp::Reply;
use crate::sentinel::errors;

pub(super) fn monitor(_: &mut Session, view: &View<'_>, args: &[Bytes]) -> Effect {
    match plain(args, "MONITOR").and_then(|()| parse_monitor(view, args)) {
        Ok(wanted) => write(wanted.into_write(defaults(view), Means::Monitor)),
        Err(refusal) => Effect::Reply(refusal),
    }
}

/// No control characters from the first argument on.
pub(super) fn plain(args: &[Bytes], request: &str) -> Result<(), Reply> {
    let odd = |argument: &Bytes| argument.iter().any(u8::is_ascii_control);
    match args.iter().skip(2).position(odd) {
        Some(position) => Err(errors::control_character(position + 2, request)),
        None => Ok(()),
    }
}

/// What both forms of MONITOR have in common.
struct Wanted {
    name: GroupName,
    place: Place,
    quorum: u32,
}

/// Where the primary is said to be.
enum Place {
    At(Address),
    Named(HostName, u16),
}

/// Which form of MONITOR it was.
enum Means {
    Monitor,
    Configure,
}

impl Wanted {
    fn into_write(self, settings: Vec<Setting>, means: Means) -> Write {
        let Self { name, place, quorum } = self;
        let configures = matches!(means, Means::Configure);
        match place {
            Place::Named(host, port) => Write::Monitor(Monitoring {
                name,
                host,
                port,
                quorum,
                settings,
                configures,
            }),
            Place::At(primary) if configures => Write::Command(Command::Configure {
                name,
                primary,
                host: None,
                quorum,
                settings,
            }),
            Place::At(primary) => Write::Command(Command::Monitor {
                name,
                primary,
                host: None,
                quorum,
                settings,
            }),
        }
    }
}

/// Name, place and quorum, from the third argument on.
fn parse_monitor(view: &View<'_>, args: &[Bytes]) -> Result<Wanted, Reply> {
    let quorum = parse_integer(&args[5]).ok_or(Reply::error(errors::INVALID_QUORUM))?;
    let port = parse_integer(&args[4]).ok_or(Reply::error(errors::INVALID_PORT))?;
    if quorum <= 0 {
        return Err(Reply::error(errors::QUORUM_TOO_SMALL));
    }
    let quorum = u32::try_from(quorum).map_err(|_| Reply::error(errors::INVALID_QUORUM))?;
    let host = std::str::from_utf8(&args[3]).unwrap_or_default();
    let ip: Option<IpAddr> = host.parse().ok();
    // Whether it resolves is for the leader to find out.
    let named = HostName::new(host).ok();
    let named = named.filter(|_| view.state.header().shared.resolve_hostnames);
    if ip.is_none() && named.is_none() {
        return Err(Reply::error(errors::INVALID_HOST));
    }
    let wrong_port = || Reply::error(errors::INVALID_PORT_NUMBER);
    let port = u16::try_from(port)
        .ok()
        .filter(|port| *port != 0)
        .ok_or_else(wrong_port)?;
    let place = match (ip, named) {
        (_, Some(host)) => Place::Named(host, port),
        (ip, None) => {
            let ip = ip.ok_or(Reply::error(errors::INVALID_HOST))?;
            Place::At(Address::new(ip, port).map_err(|_| wrong_port())?)
        }
    };
    let name = GroupName::new(&args[2]).map_err(|_| Reply::error(errors::INVALID_GROUP_NAME))?;
    Ok(Wanted { name, place, quorum })
}

/// What SENTINEL DEBUG has a new group begin with.
fn defaults(view: &View<'_>) -> Vec<Setting> {
    let down_after = view.dials.turned_ms(Period::DownAfter).map(Setting::DownAfterMs);
    let timeout = view
        .dials
        .turned_ms(Period::FailoverTimeout)
        .map(Setting::FailoverTimeoutMs);
    down_after.into_iter().chain(timeout).collect()
}

/// CFG MONITOR: the arguments of MONITOR, and settings behind them as SET takes them. What is not named is as it always
/// is at first, whatever SENTINEL DEBUG says on this node: the same request makes the same group on every node.
pub(super) fn configure(_: &mut Session, view: &View<'_>, args: &[Bytes]) -> Effect {
    const FIRST_OPTION: usize = 6;
    let parsed = plain(args, "MONITOR").and_then(|()| {
        let group = parse_monitor(view, args)?;
        Ok((group, settings::parse(view, &args[FIRST_OPTION..])?))
    });
    match parsed {
        Ok((wanted, settings)) => write(wanted.into_write(settings, Means::Configure)),
        Err(refusal) => Effect::Reply(refusal),
    }
}

pub(super) fn remove(_: &mut Session, _: &View<'_>, args: &[Bytes]) -> Effect {
    match GroupName::new(&args[2]) {
        Ok(name) => write(Write::Command(Command::Remove { name })),
        Err(_) => Effect::Reply(Reply::error(errors::NO_SUCH_MASTER)),
    }
}

/// `FAILOVER name [COORDINATED] [TO host:port]`, the two in either order.
pub(super) fn failover(_: &mut Session, view: &View<'_>, args: &[Bytes]) -> Effect {
    const ARGUMENTS_MAX: usize = 7;
    if args.len() > ARGUMENTS_MAX {
        return Effect::Reply(errors::arity("sentinel|failover"));
    }
    let Ok(name) = GroupName::new(&args[2]) else {
        return Effect::Reply(Reply::error(errors::NO_SUCH_MASTER));
    };
    match parse_wish(&args[3..]) {
        Ok(wish) if wish == Wish::default() => write(Write::Failover { name }),
        Ok(Wish { coordinated, to }) => write(Write::FailoverWith { name, coordinated, to }),
        Err(_) if group_named(view, &args[2]).is_none() => Effect::Reply(Reply::error(errors::NO_SUCH_MASTER)),
        Err(refusal) => Effect::Reply(refusal),
    }
}

fn parse_wish(mut options: &[Bytes]) -> Result<Wish, Reply> {
    let unknown = || Reply::error(errors::UNKNOWN_FAILOVER_OPTION);
    let mut wish = Wish::default();
    while let Some((option, rest)) = options.split_first() {
        options = match option.to_ascii_lowercase().as_slice() {
            b"coordinated" if !wish.coordinated => {
                wish.coordinated = true;
                rest
            }
            b"to" if wish.to.is_none() => {
                let (target, rest) = parse_target(rest)?;
                wish.to = Some(target);
                rest
            }
            _ => return Err(unknown()),
        };
    }
    Ok(wish)
}

/// `host:port`, or the two as arguments of their own.
fn parse_target(words: &[Bytes]) -> Result<(Address, &[Bytes]), Reply> {
    let text = |at: usize| words.get(at).and_then(|word| std::str::from_utf8(word).ok());
    let first = text(0).ok_or(Reply::error(errors::UNKNOWN_FAILOVER_OPTION))?;
    if let Ok(address) = first.parse::<Address>() {
        return Ok((address, &words[1..]));
    }
    let host = first.parse().map_err(|_| Reply::error(errors::INVALID_HOST))?;
    let port = words.get(1).and_then(|port| parse_integer(port));
    let port = port.ok_or(Reply::error(errors::INVALID_PORT))?;
    let port = u16::try_from(port).map_err(|_| Reply::error(errors::INVALID_PORT_NUMBER))?;
    let address = Address::new(host, port).map_err(|_| Reply::error(errors::INVALID_PORT_NUMBER))?;
    Ok((address, &words[2..]))
}

pub(super) fn reset(_: &mut Session, _: &View<'_>, args: &[Bytes]) -> Effect {
    write(Write::Reset {
        pattern: args[2].to_vec(),
    })
}

pub(super) fn set(_: &mut Session, view: &View<'_>, args: &[Bytes]) -> Effect {
    if let Err(refusal) = plain(args, "SET") {
        return Effect::Reply(refusal);
    }
    let Ok(name) = GroupName::new(&args[2]) else {
        return Effect::Reply(Reply::error(errors::NO_SUCH_MASTER));
    };
    match settings::parse(view, &args[3..]) {
        Ok(settings) => write(Write::Command(Command::Set { name, settings })),
        Err(_) if group_named(view, &args[2]).is_none() => Effect::Reply(Reply::error(errors::NO_SUCH_MASTER)),
        Err(refusal) => Effect::Reply(refusal),
    }
}

/// Has the cluster do it, and answers as Sentinel does.
pub(super) fn write(write: Write) -> Effect {
    Effect::Write {
        write,
        render: Box::new(answer),
    }
}

fn answer(result: Result<WriteReply, WriteError>) -> Reply {
    match result {
        Ok(WriteReply::Accepted | WriteReply::Told(_)) => Reply::OK,
        Ok(WriteReply::Outcome { outcome, .. }) => match outcome {
            Outcome::Done { .. } => Reply::OK,
            Outcome::Count(count) => Reply::Integer(i64::try_from(count).unwrap_or(i64::MAX)),
            Outcome::Rejected(rejection) => rejected(&rejection),
        },
        Err(WriteError::NoLeader) => Reply::error(errors::NO_LEADER),
        Err(WriteError::Unknown) => Reply::error(errors::OUTCOME_UNKNOWN),
        Err(WriteError::NoGoodReplica(reasons)) => errors::no_good_replica(&reasons),
        Err(WriteError::NoGoodPrimary(why)) => errors::no_good_primary(&why),
        Err(WriteError::InProgress) => Reply::error(errors::FAILOVER_IN_PROGRESS),
        Err(WriteError::NoSuchGroup) => Reply::error(errors::NO_SUCH_MASTER),
        Err(WriteError::Unresolved) => Reply::error(errors::INVALID_HOST),
        Err(WriteError::Refused(reason)) => errors::refused(reason),
    }
}

fn rejected(rejection: &Rejection) -> Reply {
    match rejection {
        Rejection::NoSuchGroup => Reply::error(errors::NO_SUCH_MASTER),
        Rejection::DuplicateName => Reply::error(errors::DUPLICATE_MASTER),
        Rejection::AddressTaken(group) => errors::address_taken(group),
        Rejection::InProgress => Reply::error(errors::FAILOVER_IN_PROGRESS),
        Rejection::Moved => Reply::error(errors::MOVED),
        Rejection::NoSuchFailover | Rejection::Invalid | Rejection::NotACandidate | Rejection::Broken(_) => {
            errors::refused(rejection)
        }
    }
}
