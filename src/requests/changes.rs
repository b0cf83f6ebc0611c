//! SENTINEL requests that change something: MONITOR, REMOVE, SET, RESET, FAILOVER.
//!
//! Arguments are checked here, in Sentinel's order. What the cluster alone can know (does the name exist, is it
//! taken) is left to it: this node may be a moment behind. Only when the arguments are wrong as well does an
//! unknown name win here, as it does there. Control characters are refused before all else: a Sentinel would write them
//! into its configuration file, and read them back as lines of their own.

use bytes::Bytes;

use crate::machine::{Command, Outcome, Rejection};
use crate::model::{Address, GroupName, Setting};
use crate::requests::client::parse_integer;
use crate::requests::lookups::group_named;
use crate::requests::{Effect, Period, Session, View, Write, WriteError, WriteReply, settings};
use crate::resp::Reply;
use crate::sentinel::errors;

pub(super) fn monitor(_: &mut Session, view: &View<'_>, args: &[Bytes]) -> Effect {
    match plain(args, "MONITOR").and_then(|()| parse_monitor(args)) {
        Ok((name, primary, quorum)) => write(Write::Command(Command::Monitor {
            name,
            primary,
            quorum,
            settings: defaults(view),
        })),
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

/// Name, address and quorum, from the third argument on.
fn parse_monitor(args: &[Bytes]) -> Result<(GroupName, Address, u32), Reply> {
    let quorum = parse_integer(&args[5]).ok_or(Reply::error(errors::INVALID_QUORUM))?;
    let port = parse_integer(&args[4]).ok_or(Reply::error(errors::INVALID_PORT))?;
    if quorum <= 0 {
        return Err(Reply::error(errors::QUORUM_TOO_SMALL));
    }
    let quorum = u32::try_from(quorum).map_err(|_| Reply::error(errors::INVALID_QUORUM))?;
    let host = std::str::from_utf8(&args[3]).ok().and_then(|host| host.parse().ok());
    let host = host.ok_or(Reply::error(errors::INVALID_HOST))?;
    let port = u16::try_from(port).map_err(|_| Reply::error(errors::INVALID_PORT_NUMBER))?;
    let primary = Address::new(host, port).map_err(|_| Reply::error(errors::INVALID_PORT_NUMBER))?;
    let name = GroupName::new(&args[2]).map_err(|_| Reply::error(errors::INVALID_GROUP_NAME))?;
    Ok((name, primary, quorum))
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
        let group = parse_monitor(args)?;
        Ok((group, settings::parse(view, &args[FIRST_OPTION..])?))
    });
    match parsed {
        Ok(((name, primary, quorum), settings)) => write(Write::Command(Command::Configure {
            name,
            primary,
            quorum,
            settings,
        })),
        Err(refusal) => Effect::Reply(refusal),
    }
}

pub(super) fn remove(_: &mut Session, _: &View<'_>, args: &[Bytes]) -> Effect {
    match GroupName::new(&args[2]) {
        Ok(name) => write(Write::Command(Command::Remove { name })),
        Err(_) => Effect::Reply(Reply::error(errors::NO_SUCH_MASTER)),
    }
}

pub(super) fn failover(_: &mut Session, _: &View<'_>, args: &[Bytes]) -> Effect {
    match GroupName::new(&args[2]) {
        Ok(name) => write(Write::Failover { name }),
        Err(_) => Effect::Reply(Reply::error(errors::NO_SUCH_MASTER)),
    }
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
        Err(WriteError::InProgress) => Reply::error(errors::FAILOVER_IN_PROGRESS),
        Err(WriteError::NoSuchGroup) => Reply::error(errors::NO_SUCH_MASTER),
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
