//! Requests and replies, as the calls and answers that a history is made of.

use std::collections::BTreeMap;

use cfgserver::resp::Reply;
use cfgserver::sentinel::errors;

use super::{Answer, Call, QUORUM, Seen};

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Answer(Answer),
    /// Nothing was done, and that is what the reply says.
    NothingDone,
    Unknown,
}

/// What a request asks, and of which name; `None`: something else.
pub(crate) fn asked(request: &str) -> Option<(String, Call)> {
    let words: Vec<&str> = request.split(' ').collect();
    let (["SENTINEL", verb, name], rest) = words.split_first_chunk()? else {
        return None;
    };
    let call = match (verb.to_ascii_lowercase().as_str(), rest) {
        ("monitor", [ip, port, quorum]) => Call::Monitor {
            primary: format!("{ip}:{port}"),
            quorum: quorum.parse().ok()?,
        },
        ("remove", []) => Call::Remove,
        ("failover", _) => Call::Failover,
        ("master" | "get-master-addr-by-name", []) => Call::Read,
        ("set", options) => {
            let pairs = options.chunks_exact(2);
            Call::Set(pairs.map(|pair| (pair[0].to_owned(), pair[1].to_owned())).collect())
        }
        _ => return None,
    };
    Some(((*name).to_owned(), call))
}

/// What a reply says.
pub(crate) fn said(call: &Call, reply: &Reply) -> Said {
    let answer = match (call, reply) {
        (_, Reply::Error(text)) => return refused(call, text),
        (Call::Read, Reply::Null | Reply::NullArray) => Answer::Seen(None),
        (Call::Read, reply) => match seen(reply) {
            Some(seen) => Answer::Seen(Some(seen)),
            None => return Said::NothingDone,
        },
        _ => Answer::Done,
    };
    Said::Answer(answer)
}

fn refused(call: &Call, text: &str) -> Said {
    Said::Answer(match text {
        errors::NO_SUCH_MASTER if *call == Call::Read => Answer::Seen(None),
        errors::NO_SUCH_MASTER => Answer::NoSuchGroup,
        errors::DUPLICATE_MASTER => Answer::Duplicate,
        errors::FAILOVER_IN_PROGRESS => Answer::InProgress,
        errors::OUTCOME_UNKNOWN => return Said::Unknown,
        errors::NO_LEADER | errors::MOVED | errors::LOADING => return Said::NothingDone,
        _ if text.starts_with("ERR Address already belongs to group") => Answer::Taken,
        // Why FAILOVER is not possible now.
        _ if *call == Call::Failover => Answer::NotNow,
        _ => return Said::NothingDone,
    })
}

/// An address, or the map of a primary, flat or not.
fn seen(reply: &Reply) -> Option<Seen> {
    let text = |reply: &Reply| match reply {
        Reply::Bulk(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        _ => None,
    };
    let fields: BTreeMap<String, String> = match reply {
        Reply::Endpoint(place) => {
            return Some(Seen {
                primary: Some(place.to_string()),
                settings: BTreeMap::new(),
            });
        }
        Reply::Array(parts) if parts.len() == 2 => {
            let primary = format!("{}:{}", text(&parts[0])?, text(&parts[1])?);
            return Some(Seen {
                primary: Some(primary),
                settings: BTreeMap::new(),
            });
        }
        Reply::Array(parts) => {
            let pairs = parts.chunks_exact(2);
            pairs
                .map(|pair| Some((text(&pair[0])?, text(&pair[1])?)))
                .collect::<Option<_>>()?
        }
        Reply::Map(pairs) => {
            let pairs = pairs.iter();
            pairs
                .map(|(name, value)| Some((text(name)?, text(value)?)))
                .collect::<Option<_>>()?
        }
        _ => return None,
    };
    let primary = format!("{}:{}", fields.get("ip")?, fields.get("port")?);
    let shown = [QUORUM, "down-after-milliseconds", "failover-timeout", "parallel-syncs"];
    let settings = shown
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), fields.get(*name)?.clone())));
    Some(Seen {
        primary: Some(primary),
        settings: settings.collect(),
    })
}
