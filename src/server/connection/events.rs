//! Events of the hub on their way into a connection.

use std::sync::Arc;

use tracing::warn;

use super::{Connection, Phase, Stage};
use crate::model::Revision;
use crate::pubsub::{Subscription, Wanted};
use crate::requests::{View, WriteReply};
use crate::sentinel::Published;
use crate::server::glance::{asks_for_events, asks_for_more_than_switches};

impl Connection {
    /// Subscribes to the hub before the state is loaded from which a subscription will be confirmed, so that no
    /// event falls in between.
    pub(super) fn keep_subscription(&mut self) {
        let wants = self.session.subscribed() || self.requests.iter().any(asks_for_events);
        match (&self.subscription, wants) {
            (None, true) => self.subscription = Some(self.shared.hub.subscribe()),
            (Some(_), false) => self.subscription = None,
            _ => {}
        }
        if let Some(subscription) = &mut self.subscription {
            let asks_for_more = self.requests.iter().any(asks_for_more_than_switches);
            subscription.want(if self.session.hears_only_switches() && !asks_for_more {
                Wanted::Switches
            } else {
                Wanted::Everything
            });
        }
    }

    pub(super) fn deliver(&mut self, view: &View<'_>) {
        let Some(mut subscription) = self.subscription.take() else {
            return;
        };
        if subscription.overflowed() {
            warn!(target: "cfgserver::server", id = self.seat.id(), "subscriber is too slow, closing it");
            self.phase = Phase::Gone;
            return;
        }
        if let Some(before) = self.told_before_answer() {
            self.deliver_up_to(before.min(view.state.revision()), &mut subscription, view);
            if self.has_room() {
                let held = self.answer_write();
                held.iter().for_each(|event| self.tell(event, view));
            }
        }
        if self.told_before_answer().is_none() {
            self.deliver_up_to(view.state.revision(), &mut subscription, view);
        }
        self.subscription = Some(subscription);
    }

    fn deliver_up_to(&mut self, revision: Revision, subscription: &mut Subscription, view: &View<'_>) {
        while self.has_room()
            && self.writing.as_ref().is_none_or(|writing| writing.held.is_none())
            && let Some(event) = subscription.try_next(revision)
        {
            match &mut self.writing {
                Some(writing) if writing.holds(&event) => writing.held = Some(event),
                _ => self.tell(&event, view),
            }
        }
    }

    fn tell(&mut self, event: &Published, view: &View<'_>) {
        if let Some(reply) = self.session.deliver(event, view) {
            self.put(&reply);
        }
    }

    /// A write that came back is answered when the events up to this revision are told.
    pub(super) fn told_before_answer(&self) -> Option<Revision> {
        let writing = self.writing.as_ref()?;
        match &writing.stage {
            Stage::Waits(_) => None,
            Stage::Done(Ok(WriteReply::Outcome { revision, .. })) => Some(*revision),
            Stage::Done(_) => Some(0),
        }
    }

    /// Answers a write that came back. Gives back the event that waited for that.
    pub(super) fn answer_write(&mut self) -> Option<Arc<Published>> {
        let writing = self.writing.take()?;
        if let (Stage::Done(result), Some(render)) = (writing.stage, writing.render) {
            self.put(&render(result));
        }
        writing.held
    }
}
