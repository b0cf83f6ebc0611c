//! The door of whoever runs the experiment: kills, hangs and revives ranges of instances, and reads the numbers.

use std::ops::RangeInclusive;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::fleet::client::Floor;
use crate::fleet::listener::Shared;
use crate::fleet::orders::word;
use crate::fleet::world::{Deed, Whom};
use crate::model::Instant;
use crate::net::{self, TcpListener, TcpStream};
use crate::resp::{Decoder, Limits, Protocol, Reply, Request, encode};

const HELP: &[&str] = &[
    "FLEET <subcommand>. Subcommands are:",
    "KILL <primaries|replicas|all> [A-B]",
    "    End the processes of groups A to B, or of all groups; how many it changed.",
    "HANG <primaries|replicas|all> [A-B]",
    "    Let them hold their connections and say nothing.",
    "REVIVE <primaries|replicas|all> [A-B] [EMPTY]",
    "    Let them go on, or start again: with what they had, or EMPTY. A killed one starts in the role that it had.",
    "STATUS",
    "    How many instances are up, hung and killed; groups with one primary; groups that are well.",
    "STATS [RESET]",
    "    Connections now and so far, and how often each command came; RESET begins to count anew.",
    "HELP",
    "    Print this help.",
];

/// Serves the control port as long as the fleet runs.
pub(super) async fn listen(shared: Shared, listener: TcpListener) {
    let stop = shared.tasks.stopping();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        if let Ok((stream, _)) = accepted {
            let (stop, serving) = (stop.clone(), shared.clone());
            shared.tasks.spawn("fleet-control", async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = serve(&serving, stream) => {}
                }
            });
        }
    }
}

async fn serve(shared: &Shared, mut stream: TcpStream) {
    if net::prepare(&stream).is_err() {
        return;
    }
    let mut decoder = Decoder::new(Limits::CLIENT);
    let (mut input, mut output) = (BytesMut::new(), BytesMut::new());
    while matches!(stream.read_buf(&mut input).await, Ok(1..)) {
        let mut goes_on = true;
        while goes_on {
            let reply = match decoder.decode(&mut input) {
                Ok(Some(request)) => answer(&mut shared.floor(), &request, shared.clock.now()),
                Ok(None) => break,
                Err(fault) => {
                    goes_on = false;
                    Reply::error(format!("ERR Protocol error: {fault}"))
                }
            };
            encode(&reply, Protocol::Resp2, &mut output);
        }
        if stream.write_all_buf(&mut output).await.is_err() || !goes_on {
            return;
        }
    }
}

fn answer(floor: &mut Floor, request: &Request, now: Instant) -> Reply {
    let words: Vec<String> = request.0.iter().map(word).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["PING"] => Reply::Simple("PONG".into()),
        ["COMMAND", ..] => Reply::Array(Vec::new()),
        ["FLEET", "STATUS"] => status(floor),
        ["FLEET", "STATS"] => stats(floor),
        ["FLEET", "STATS", "RESET"] => {
            floor.counters.reset();
            Reply::OK
        }
        ["FLEET", "HELP"] | ["HELP"] => {
            let lines = HELP.iter().map(|line| Reply::Simple((*line).into()));
            Reply::Array(lines.collect())
        }
        ["FLEET", verb, whom, rest @ ..] => match deed(verb, whom, rest) {
            Ok((deed, whom, numbers)) => {
                let changed = floor.act(deed, whom, numbers, now);
                Reply::Integer(i64::try_from(changed).unwrap_or(i64::MAX))
            }
            Err(text) => Reply::error(text),
        },
        _ => Reply::error("ERR unknown request. Try FLEET HELP."),
    }
}

type Meant = (Deed, Whom, RangeInclusive<u32>);

fn deed(verb: &str, whom: &str, rest: &[&str]) -> Result<Meant, String> {
    let (range, is_empty) = match rest {
        [] => (None, false),
        ["EMPTY"] => (None, true),
        [range] => (Some(*range), false),
        [range, "EMPTY"] => (Some(*range), true),
        _ => return Err("ERR too many words. Try FLEET HELP.".to_owned()),
    };
    let deed = match (verb, is_empty) {
        ("KILL", false) => Deed::Kill,
        ("HANG", false) => Deed::Hang,
        ("REVIVE", false) => Deed::Revive,
        ("REVIVE", true) => Deed::ReviveEmpty,
        _ => return Err(format!("ERR unknown subcommand '{verb}'. Try FLEET HELP.")),
    };
    let whom = match whom {
        "PRIMARIES" => Whom::Primaries,
        "REPLICAS" => Whom::Replicas,
        "ALL" => Whom::All,
        other => return Err(format!("ERR '{other}' is none of primaries, replicas, all")),
    };
    let numbers = range.map_or(Some(0..=u32::MAX), numbers);
    let numbers =
        numbers.ok_or_else(|| format!("ERR '{}' is not a range of groups, A-B", range.unwrap_or_default()))?;
    Ok((deed, whom, numbers))
}

/// `A-B`, or `A` alone.
fn numbers(text: &str) -> Option<RangeInclusive<u32>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let numbers = first.parse().ok()?..=last.parse().ok()?;
    (!numbers.is_empty()).then_some(numbers)
}

fn pairs(pairs: impl IntoIterator<Item = (String, u64)>) -> Reply {
    let pair = |(name, count)| {
        (
            Reply::bulk(name),
            Reply::Integer(i64::try_from(count).unwrap_or(i64::MAX)),
        )
    };
    Reply::Map(pairs.into_iter().map(pair).collect())
}

fn status(floor: &Floor) -> Reply {
    let count = floor.world.count();
    let lines = [
        ("groups", floor.world.layout.groups as usize),
        ("instances", floor.world.instances.len()),
        ("up", count.up),
        ("hung", count.hung),
        ("killed", count.killed),
        ("groups-with-one-primary", count.one_primary),
        ("groups-well", count.well),
    ];
    pairs(lines.map(|(name, count)| (name.to_owned(), count as u64)))
}

fn stats(floor: &Floor) -> Reply {
    let counters = &floor.counters;
    let total = [
        ("connections", floor.connected() as u64),
        ("connections-accepted", counters.connections),
        ("commands", counters.commands.values().sum()),
    ];
    let total = total.map(|(name, count)| (name.to_owned(), count));
    let each = counters.commands.iter();
    let each = each.map(|(name, count)| (format!("command-{}", name.to_ascii_lowercase()), *count));
    pairs(total.into_iter().chain(each))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use crate::fleet::world::tests::world;
    use crate::resp::split_line;

    const NOW: Instant = Instant(1_000_000);

    fn say(floor: &mut Floor, line: &str) -> Reply {
        answer(floor, &Request(split_line(line.as_bytes()).unwrap()), NOW)
    }

    fn number(reply: &Reply, name: &str) -> i64 {
        let Reply::Map(pairs) = reply else { panic!("{reply:?}") };
        let found = pairs.iter().find(|(key, _)| *key == Reply::bulk(name));
        let Some((_, Reply::Integer(number))) = found else {
            panic!("{name} in {reply:?}")
        };
        *number
    }

    #[test]
    fn ranges_are_killed_and_revived() {
        let mut floor = Floor::new(world(10, 1));
        assert_eq!(say(&mut floor, "FLEET KILL primaries 0-3"), Reply::Integer(4));
        assert_eq!(say(&mut floor, "fleet hang replicas 9"), Reply::Integer(1));
        let status = say(&mut floor, "FLEET STATUS");
        assert_eq!((number(&status, "killed"), number(&status, "hung")), (4, 1));
        assert_eq!(number(&status, "groups-with-one-primary"), 6);
        assert_eq!(say(&mut floor, "FLEET REVIVE all"), Reply::Integer(5));
        assert_eq!(number(&say(&mut floor, "FLEET STATUS"), "groups-well"), 10);
    }

    #[test]
    fn nonsense_is_refused_and_does_nothing() {
        let mut floor = Floor::new(world(2, 1));
        for line in [
            "FLEET KILL some",
            "FLEET KILL all 3-1",
            "FLEET KILL all x",
            "FLEET KILL all 0-1 EMPTY",
            "FLEET KILL all 0 1 2",
            "FLEET BURN all",
            "FLEET",
            "KILL all",
        ] {
            assert!(matches!(say(&mut floor, line), Reply::Error(_)), "{line}");
        }
        assert_eq!(floor.world.count().up, 4);
    }
}
