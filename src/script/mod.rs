//! Scripts: programs of operators that are told of events.
//!
//! ```text
//! published event, settings of its group -> told() -> words -> Queue -> start this one, end that one, wake me then
//! ```
//!
//! What does not live here: processes (`crate::runner`), and which node it is that runs them.

mod queue;

use crate::model::{Group, Place};
use crate::sentinel::{Level, Published};

pub use queue::{End, JobId, Pending, Queue, Turn, Verdict};

/// Program and arguments.
pub type Words = Vec<String>;

/// In which part a node tells the client-reconfig-script of a switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// It made the switch.
    Leader,
    /// Others did.
    Observer,
}

impl Part {
    /// The part of a node in the switches of a group.
    pub fn of(group: &Group, leads: bool) -> Self {
        if leads && group.config.mode == crate::model::Mode::Manage {
            Self::Leader
        } else {
            Self::Observer
        }
    }
}

/// What an event gives to run: the notification-script of its group for what Sentinel warns of, the
/// client-reconfig-script for a switch. Events that belong to no group are told to nobody.
pub fn told(event: &Published, group: &Group, part: Part) -> Vec<Words> {
    let config = &group.config;
    let mut jobs = Vec::new();
    if event.level == Level::Warning && !config.notification_script.is_empty() {
        let payload = String::from_utf8_lossy(&event.payload).into_owned();
        jobs.push(vec![
            config.notification_script.clone(),
            event.channel.to_owned(),
            payload,
        ]);
    }
    if let Some((from, to)) = &event.switch {
        jobs.extend(reconfigured(group, part, from, to));
    }
    jobs
}

/// What tells the client-reconfig-script of a switch; `None` without one.
pub fn reconfigured(group: &Group, part: Part, from: &Place, to: &Place) -> Option<Words> {
    let script = &group.config.client_reconfig_script;
    let part = match part {
        Part::Leader => "leader",
        Part::Observer => "observer",
    };
    (!script.is_empty()).then(|| {
        vec![
            script.clone(),
            group.name.to_string(),
            part.to_owned(),
            "start".to_owned(),
            from.host(),
            from.address.port.to_string(),
            to.host(),
            to.address.port.to_string(),
        ]
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;
