//! Being written.
use crate::model::*;
use bytes::Bytes;
/// An event, rendered once.
pub struct Published {
    /// Revision.
    pub revision: Option<Revision>,
    /// Group.
    pub group: Option<GroupId>,
    /// Switch.
    pub switch: Option<(Address, Address)>,
    /// Channel.
    pub channel: &'static str,
    /// Payload.
    pub payload: Bytes,
}
/// Renders.
pub fn publish(event: &Event) -> Published {
    let EventKind::NewEpoch(epoch) = event.kind else {
        todo!()
    };
    Published {
        revision: event.revision,
        group: event.group,
        switch: None,
        channel: "+new-epoch",
        payload: epoch.to_string().into(),
    }
}
