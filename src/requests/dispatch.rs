//! From a request to its effect.

use bytes::Bytes;

use crate::requests::{Effect, Face, Session, View, spec};
use crate::resp::{Protocol, Reply, Request};
use crate::sentinel::errors;

/// What peers' requests begin with. They have connections of their own.
const PEER_PREFIX: &[u8] = b"RAFT.";

/// Decides what a request wants done.
///
/// The events up to the view's revision must have been delivered to the session before.
pub fn dispatch(session: &mut Session, view: &View<'_>, request: &Request) -> Effect {
    let answered = session.begin_request();
    let effect = match admit(session, view, &request.0) {
        Ok(spec) => {
            session.note(spec, view.now);
            let effect = (spec.run)(session, view, &request.0);
            // Here, so that no request can be forgotten: whatever it is called, it shall change something.
            if effect.changes_something() && session.face() == Face::Proxy {
                Effect::Reply(errors::questions_only(&view.node.listen))
            } else {
                effect
            }
        }
        Err(refusal) => Effect::Reply(refusal),
    };
    if answered || session.answers_now() {
        effect
    } else {
        effect.unanswered()
    }
}

/// The row of the request, or why it is not carried out.
fn admit(session: &Session, view: &View<'_>, args: &[Bytes]) -> Result<&'static spec::Spec, Reply> {
    let name = args.first().map(Bytes::as_ref).unwrap_or_default();
    if let Some(prefix) = name.get(..PEER_PREFIX.len())
        && prefix.eq_ignore_ascii_case(PEER_PREFIX)
    {
        return Err(match session.face() {
            Face::Open | Face::Strict => Reply::error(errors::PEERS_ONLY),
            Face::Proxy => errors::questions_only(&view.node.listen),
        });
    }
    let spec = spec::find(args, session.last_row())?;
    if session.protocol() == Protocol::Resp2 && session.subscribed() && !spec.while_subscribed {
        return Err(errors::only_while_subscribed(spec.name));
    }
    if !view.node.answers() && spec.waits_until_ready {
        return Err(Reply::error(errors::LOADING));
    }
    Ok(spec)
}
