//! SHUTDOWN: the end of this node.

use bytes::Bytes;

use crate::requests::{Effect, Local, Session, View};
use crate::resp::Reply;
use crate::sentinel::errors;

pub(super) fn shut_down(_: &mut Session, _: &View<'_>, args: &[Bytes]) -> Effect {
    let (mut save, mut no_save, mut hurry, mut abort) = (false, false, false, false);
    for option in &args[1..] {
        match option.to_ascii_lowercase().as_slice() {
            b"save" => save = true,
            b"nosave" => no_save = true,
            b"now" | b"force" => hurry = true,
            b"abort" => abort = true,
            _ => return Effect::Reply(Reply::error(errors::SYNTAX)),
        }
    }
    if (save && no_save) || (abort && (save || no_save || hurry)) {
        return Effect::Reply(Reply::error(errors::SYNTAX));
    }
    if abort {
        return Effect::Reply(Reply::error(errors::NO_SHUTDOWN));
    }
    Effect::then(Local::ShutDown, Effect::Drop)
}
