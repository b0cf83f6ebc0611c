//! SENTINEL requests that change something: MONITOR, REMOVE, SET, RESET, FAILOVER.
//!
//! Arguments are checked here, in Sentinel's order. What the cluster alone can know (does the name exist, is it
//! taken) is left to it: this node may be a moment behind. Only when the arguments are wrong as well does an
//! unknown name win here, as it does there.

use bytes::Bytes;

use crate::machine::{Command, Outcome, Rejection};
use crate::model::{Address, GroupName, Identity, Mode, Setting};
use crate::requests::client::parse_integer;
use crate::requests::lookups::group_named;
use crate::requests::{Effect, Session, View, Write, WriteError, WriteReply};
use crate::resp::Reply;
use crate::sentinel::errors;

pub(super) fn monitor(_: &mut Session, _: &View<'_>, args: &[Bytes]) -> Effect {
    match parse_monitor(args) {
        Ok((name, primary, quorum)) => write(Write::Command(Command::Monitor { name, primary, quorum })),
        Err(refusal) => Effect::Reply(refusal),
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

/// CFG MONITOR: the arguments of MONITOR, and settings behind them as SET takes them.
pub(super) fn configure(_: &mut Session, _: &View<'_>, args: &[Bytes]) -> Effect {
    const FIRST_OPTION: usize = 6;
    let parsed = parse_monitor(args).and_then(|group| Ok((group, parse_settings(args, FIRST_OPTION)?)));
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
    let Ok(name) = GroupName::new(&args[2]) else {
        return Effect::Reply(Reply::error(errors::NO_SUCH_MASTER));
    };
    const FIRST_OPTION: usize = 3;
    match parse_settings(args, FIRST_OPTION) {
        Ok(settings) => write(Write::Command(Command::Set { name, settings })),
        Err(_) if group_named(view, &args[2]).is_none() => Effect::Reply(Reply::error(errors::NO_SUCH_MASTER)),
        Err(refusal) => Effect::Reply(refusal),
    }
}

/// The options from left to right; the first wrong one refuses them all.
fn parse_settings(args: &[Bytes], first: usize) -> Result<Vec<Setting>, Reply> {
    let mut settings = Vec::new();
    let mut at = first;
    while let Some(option) = args.get(at) {
        let value = args.get(at + 1).ok_or_else(|| errors::set_option(option))?;
        if value.iter().any(u8::is_ascii_control) {
            return Err(errors::set_control_character(at + 1));
        }
        if option.eq_ignore_ascii_case(b"rename-command") {
            return Err(refuse_rename(option, &args[at + 1..]));
        }
        settings.push(parse_setting(option, value)?);
        at += 2;
    }
    Ok(settings)
}

fn parse_setting(option: &[u8], value: &[u8]) -> Result<Setting, Reply> {
    let wrong = || errors::set_argument(value, option);
    let number = |minimum: i64| {
        let number = parse_integer(value).filter(|number| *number >= minimum);
        number.and_then(|number| u64::try_from(number).ok()).ok_or_else(wrong)
    };
    let count = || number(1).and_then(|number| u32::try_from(number).map_err(|_| wrong()));
    let text = || String::from_utf8(value.to_vec()).map_err(|_| wrong());
    Ok(match option.to_ascii_lowercase().as_slice() {
        b"quorum" => Setting::Quorum(count()?),
        b"down-after-milliseconds" => Setting::DownAfterMs(number(1)?),
        b"failover-timeout" => Setting::FailoverTimeoutMs(number(1)?),
        b"parallel-syncs" => Setting::ParallelSyncs(count()?),
        b"refused-after-milliseconds" => Setting::RefusedAfterMs(number(0)?),
        b"master-reboot-down-after-period" => Setting::RebootDownAfterMs(number(0)?),
        b"auth-user" => Setting::AuthUser(text()?),
        b"auth-pass" => Setting::AuthPass(text()?),
        b"mode" => Setting::Mode(match value.to_ascii_lowercase().as_slice() {
            b"manage" => Mode::Manage,
            b"observe" => Mode::Observe,
            _ => return Err(wrong()),
        }),
        b"identity" => Setting::Identity(match value.to_ascii_lowercase().as_slice() {
            b"open" => Identity::Open,
            b"strict" => Identity::Strict,
            _ => return Err(wrong()),
        }),
        b"notification-script" | b"client-reconfig-script" => return Err(Reply::error(errors::SCRIPTS_DENIED)),
        _ => return Err(errors::set_option(option)),
    })
}

fn refuse_rename(option: &[u8], values: &[Bytes]) -> Reply {
    match values {
        [old, new, ..] => match [old, new].into_iter().find(|value| value.is_empty()) {
            Some(empty) => errors::set_argument(empty, option),
            None => Reply::error(errors::RENAME_COMMAND),
        },
        _ => errors::set_option(option),
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
        Ok(WriteReply::Accepted) => Reply::OK,
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
