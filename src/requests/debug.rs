//! SENTINEL DEBUG and SIMULATE-FAILURE: dials of this node, back where they were when it starts again.

use bytes::Bytes;

use crate::model::Age;
use crate::requests::client::parse_integer;
use crate::requests::{Dial, Effect, Local, Period, Session, Simulated, View};
use crate::resp::Reply;
use crate::sentinel::errors;

const AFTER_ELECTION: &str = "crash-after-election";
const AFTER_PROMOTION: &str = "crash-after-promotion";

/// Options from left to right; those before a wrong one hold, as with Sentinel.
pub(super) fn debug(_: &mut Session, view: &View<'_>, args: &[Bytes]) -> Effect {
    if args.len() == 2 {
        return Effect::Reply(periods(view));
    }
    let mut dials = Vec::new();
    let mut reply = Reply::OK;
    for pair in args[2..].chunks(2) {
        match parse_pair(pair) {
            Ok(dial) => dials.push(dial),
            Err(refusal) => {
                reply = refusal;
                break;
            }
        }
    }
    if dials.is_empty() {
        return Effect::Reply(reply);
    }
    Effect::then(Local::Turn(dials), Effect::Reply(reply))
}

fn parse_pair(pair: &[Bytes]) -> Result<Dial, Reply> {
    let name = &pair[0];
    match (Period::parse(name), pair.get(1)) {
        (Some(period), Some(value)) => {
            let ms = parse_integer(value).filter(|ms| *ms > 0);
            let ms = ms.and_then(|ms| Age::try_from(ms).ok());
            ms.map(|ms| Dial::Period(period, ms))
                .ok_or_else(|| errors::debug_argument(value, name))
        }
        _ => Err(errors::debug_option(name)),
    }
}

fn periods(view: &View<'_>) -> Reply {
    let pair = |period: Period| {
        let ms = view.dials.period_ms(period);
        (Reply::bulk(period.name()), Reply::bulk(ms.to_string()))
    };
    Reply::Map(Period::ALL.into_iter().map(pair).collect())
}

/// What was asked for before is forgotten first, also when the words are wrong.
pub(super) fn simulate_failure(_: &mut Session, _: &View<'_>, args: &[Bytes]) -> Effect {
    let mut simulated = Simulated::default();
    let mut reply = Reply::OK;
    for word in &args[2..] {
        match word.to_ascii_lowercase().as_slice() {
            word if word == AFTER_ELECTION.as_bytes() => simulated.after_election = true,
            word if word == AFTER_PROMOTION.as_bytes() => simulated.after_promotion = true,
            b"help" => {
                reply = Reply::Array(Reply::bulks([AFTER_ELECTION, AFTER_PROMOTION]));
                break;
            }
            _ => {
                reply = Reply::error(errors::UNKNOWN_FAILURE);
                break;
            }
        }
    }
    Effect::then(Local::Turn(vec![Dial::Simulate(simulated)]), Effect::Reply(reply))
}
