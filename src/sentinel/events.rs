//! Events as subscribers see them: the only place with channel names and payload bytes.

use std::fmt;

use bytes::Bytes;

use crate::machine::State;
use crate::model::{Address, Event, EventKind, GroupId, GroupName, InstanceRef, Naming, Place, Revision};

/// The channel of a changed address.
pub const SWITCH_CHANNEL: &str = "+switch-master";

/// Longest payload, in bytes. Sentinel's own limit.
const PAYLOAD_BYTES_MAX: usize = 1023;

/// How loud Sentinel says an event in its log. Scripts hear warnings only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// `verbose`
    Verbose,
    /// `notice`
    Notice,
    /// `warning`
    Warning,
}

/// An event, rendered once for all subscribers of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Revision of the replicated state that caused it; `None` for this node's own sightings.
    pub revision: Option<Revision>,
    /// The group that it is about.
    pub group: Option<GroupId>,
    /// Of `+switch-master`: where the primary was, and where it is.
    pub switch: Option<(Place, Place)>,
    /// Of `+monitor`: the group's name and where its primary is.
    pub monitored: Option<(GroupName, Place)>,
    /// How loud it is.
    pub level: Level,
    /// Where it is published.
    pub channel: &'static str,
    /// What is published.
    pub payload: Bytes,
}

impl Published {
    /// A `+switch-master` that says `from` is the old address.
    pub fn switch(group: GroupId, name: &GroupName, revision: Option<Revision>, from: Place, to: Place) -> Self {
        Self {
            revision,
            group: Some(group),
            channel: SWITCH_CHANNEL,
            payload: Bytes::from(switch_payload(name, &from, &to)),
            switch: Some((from, to)),
            monitored: None,
            level: Level::Warning,
        }
    }

    /// A `+switch-master` of group `name` that says this. Other events stay as they are.
    pub fn switched(&self, name: &GroupName, from: Place, to: Place) -> Self {
        let mut event = self.clone();
        if event.switch.is_some() {
            event.payload = Bytes::from(switch_payload(name, &from, &to));
            event.switch = Some((from, to));
        }
        event
    }

    /// Whether somebody may learn from it that a name has another address.
    pub fn says_where(&self) -> bool {
        self.switch.is_some() || self.monitored.is_some()
    }

    /// The name of the group in a `+switch-master`; empty for other events.
    pub fn switched_name(&self) -> &str {
        if self.switch.is_none() {
            return "";
        }
        let name = self.payload.split(|byte| *byte == b' ').next().unwrap_or_default();
        std::str::from_utf8(name).unwrap_or_default()
    }
}

/// The states before and after what events are about: they have the host names, when those are told. Who is gone after
/// it, or was elsewhere before, is known by one of them.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    /// Before.
    pub before: &'a State,
    /// After.
    pub after: &'a State,
}

/// Where instances are told to be.
struct Places<'a> {
    around: Option<Around<'a>>,
    group: Option<GroupId>,
}

impl Places<'_> {
    fn of(&self, address: Address) -> Place {
        let naming = |around: &Around<'_>| around.after.header().shared.naming();
        let around = self.around.filter(|around| naming(around) == Naming::Names);
        let states = around.map(|around| [around.after, around.before]);
        let groups = states
            .into_iter()
            .flatten()
            .filter_map(|state| state.group(self.group?));
        let host = groups.filter_map(|group| group.hosts.get(&address)).next().cloned();
        Place { address, host }
    }
}

/// Renders an event; instances are told by their addresses.
pub fn publish(event: &Event) -> Published {
    published(event, None)
}

/// Renders an event; instances are told by their host names when that is set.
pub fn publish_around(event: &Event, around: Around<'_>) -> Published {
    published(event, Some(around))
}

fn published(event: &Event, around: Option<Around<'_>>) -> Published {
    let places = Places {
        around,
        group: event.group,
    };
    let (channel, mut payload) = render(&event.kind, &places);
    while payload.len() > PAYLOAD_BYTES_MAX {
        payload.pop();
    }
    let switch = match event.kind {
        EventKind::Switch { from, to, .. } => Some((places.of(from), places.of(to))),
        _ => None,
    };
    let monitored = match &event.kind {
        EventKind::Monitor {
            primary: InstanceRef::Primary { group, address },
            ..
        } => Some((group.clone(), places.of(*address))),
        _ => None,
    };
    Published {
        revision: event.revision,
        group: event.group,
        switch,
        monitored,
        level: level(&event.kind),
        channel,
        payload: Bytes::from(payload),
    }
}

fn level(kind: &EventKind) -> Level {
    match kind {
        EventKind::RoleChange { .. } => Level::Verbose,
        EventKind::SendPromote(_)
        | EventKind::WaitPromotion(_)
        | EventKind::Replica(_)
        | EventKind::ReconfSent(_)
        | EventKind::ReconfInProgress(_)
        | EventKind::ReconfDone(_)
        | EventKind::ReconfTimeout(_)
        | EventKind::NodeAdded(_)
        | EventKind::NodeMoved { .. }
        | EventKind::Reboot(_)
        | EventKind::ConvertToReplica(_)
        | EventKind::FixReplica(_) => Level::Notice,
        _ => Level::Warning,
    }
}

fn render(kind: &EventKind, places: &Places<'_>) -> (&'static str, String) {
    let about = |channel: &'static str, instance: &InstanceRef| (channel, At(instance, places).to_string());
    match kind {
        EventKind::Monitor { primary, quorum } => ("+monitor", format!("{} quorum {quorum}", At(primary, places))),
        EventKind::Set { primary, option, value } => ("+set", format!("{} {option} {value}", At(primary, places))),
        EventKind::Outage { primary, votes, quorum } => {
            ("+odown", format!("{} #quorum {votes}/{quorum}", At(primary, places)))
        }
        EventKind::NewEpoch(epoch) => ("+new-epoch", epoch.to_string()),
        EventKind::Switch { group, from, to } => (
            SWITCH_CHANNEL,
            switch_payload(group, &places.of(*from), &places.of(*to)),
        ),
        EventKind::RoleChange {
            instance,
            to_primary,
            agrees,
        } => {
            let channel = if *agrees { "+role-change" } else { "-role-change" };
            let role = if *to_primary { "master" } else { "slave" };
            (channel, format!("{} new reported role is {role}", At(instance, places)))
        }
        EventKind::NodeMoved {
            primary,
            my_id,
            host,
            port,
        } => (
            "+sentinel-address-switch",
            format!("{} ip {host} port {port} for {my_id}", At(primary, places)),
        ),
        EventKind::Tilt { entered: true } => ("+tilt", "#tilt mode entered".to_owned()),
        EventKind::Tilt { entered: false } => ("-tilt", "#tilt mode exited".to_owned()),
        EventKind::ScriptError { path, signal, code } => ("-script-error", format!("{path} {signal} {code}")),
        EventKind::ScriptTimeout { path, process } => ("-script-timeout", format!("{path} {process}")),
        EventKind::Unmonitor(instance) => about("-monitor", instance),
        EventKind::Reset(instance) => about("+reset-master", instance),
        EventKind::Down(instance) => about("+sdown", instance),
        EventKind::NotDown(instance) => about("-sdown", instance),
        EventKind::OutageOver(instance) => about("-odown", instance),
        EventKind::TryFailover(instance) => about("+try-failover", instance),
        EventKind::ElectedLeader(instance) => about("+elected-leader", instance),
        EventKind::SelectReplica(instance) => about("+failover-state-select-slave", instance),
        EventKind::AbortNoGoodReplica(instance) => about("-failover-abort-no-good-slave", instance),
        EventKind::SelectedReplica(instance) => about("+selected-slave", instance),
        EventKind::SendPromote(instance) => about("+failover-state-send-slaveof-noone", instance),
        EventKind::WaitPromotion(instance) => about("+failover-state-wait-promotion", instance),
        EventKind::AbortReplicaTimeout(instance) => about("-failover-abort-slave-timeout", instance),
        EventKind::AbortPrimaryTimeout(instance) => about("-failover-abort-master-timeout", instance),
        EventKind::Promoted(instance) => about("+promoted-slave", instance),
        EventKind::ReconfReplicas(instance) => about("+failover-state-reconf-slaves", instance),
        EventKind::Replica(instance) => about("+slave", instance),
        EventKind::ReconfSent(instance) => about("+slave-reconf-sent", instance),
        EventKind::ReconfInProgress(instance) => about("+slave-reconf-inprog", instance),
        EventKind::ReconfDone(instance) => about("+slave-reconf-done", instance),
        EventKind::ReconfTimeout(instance) => about("-slave-reconf-sent-timeout", instance),
        EventKind::FailoverEndForTimeout(instance) => about("+failover-end-for-timeout", instance),
        EventKind::FailoverEnd(instance) => about("+failover-end", instance),
        EventKind::NodeAdded(instance) => about("+sentinel", instance),
        EventKind::Reboot(instance) => about("+reboot", instance),
        EventKind::ConvertToReplica(instance) => about("+convert-to-slave", instance),
        EventKind::FixReplica(instance) => about("+fix-slave-config", instance),
    }
}

/// The five words that proxies parse; nothing may follow them.
fn switch_payload(name: &GroupName, from: &Place, to: &Place) -> String {
    format!("{name} {} {}", Words(from), Words(to))
}

/// Host and port.
struct Words<'a>(&'a Place);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0.host(), self.0.address.port)
    }
}

/// Sentinel's `%@`.
struct At<'a>(&'a InstanceRef, &'a Places<'a>);

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(instance, places) = self;
        match instance {
            InstanceRef::Primary { group, address } => {
                write!(f, "master {group} {}", Words(&places.of(*address)))
            }
            InstanceRef::Replica {
                group,
                address,
                primary,
            } => {
                let replica = places.of(*address);
                write!(f, "slave {replica} {}", Words(&replica))?;
                write!(f, " @ {group} {}", Words(&places.of(*primary)))
            }
            InstanceRef::Node {
                group,
                my_id,
                host,
                port,
                primary,
            } => {
                write!(f, "sentinel {my_id} {host} {port}")?;
                write!(f, " @ {group} {}", Words(&places.of(*primary)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> Address {
        Address::parse("10.0.0.1", &port.to_string()).unwrap()
    }

    fn primary() -> InstanceRef {
        InstanceRef::Primary {
            group: GroupName::new("g-1").unwrap(),
            address: at(1),
        }
    }

    fn replica() -> InstanceRef {
        InstanceRef::Replica {
            group: GroupName::new("g-1").unwrap(),
            address: Address::parse("::1", "2").unwrap(),
            primary: at(1),
        }
    }

    fn shown(kind: EventKind) -> String {
        let published = publish(&Event {
            revision: Some(3),
            group: Some(GroupId(1)),
            kind,
        });
        format!("{} {}", published.channel, String::from_utf8_lossy(&published.payload))
    }

    #[test]
    fn payloads_that_are_more_than_an_instance_have_sentinels_words() {
        let set = EventKind::Set {
            primary: primary(),
            option: "quorum".into(),
            value: "3".into(),
        };
        let role = |to_primary, agrees| EventKind::RoleChange {
            instance: replica(),
            to_primary,
            agrees,
        };
        let v6 = "slave [::1]:2 ::1 2 @ g-1 10.0.0.1 1";
        assert_eq!(shown(set), "+set master g-1 10.0.0.1 1 quorum 3");
        assert_eq!(
            shown(role(true, false)),
            format!("-role-change {v6} new reported role is master")
        );
        assert_eq!(
            shown(role(false, true)),
            format!("+role-change {v6} new reported role is slave")
        );
        assert_eq!(shown(EventKind::Tilt { entered: true }), "+tilt #tilt mode entered");
        assert_eq!(shown(EventKind::Tilt { entered: false }), "-tilt #tilt mode exited");
        assert_eq!(shown(EventKind::NewEpoch(7)), "+new-epoch 7");
        let error = EventKind::ScriptError {
            path: "/a b".into(),
            signal: 9,
            code: 0,
        };
        let timeout = EventKind::ScriptTimeout {
            path: "/a".into(),
            process: 77,
        };
        assert_eq!(shown(error), "-script-error /a b 9 0");
        assert_eq!(shown(timeout), "-script-timeout /a 77");
        assert_eq!(
            shown(EventKind::Reset(primary())),
            "+reset-master master g-1 10.0.0.1 1"
        );
        assert_eq!(
            shown(EventKind::ConvertToReplica(replica())),
            format!("+convert-to-slave {v6}")
        );
    }

    #[test]
    fn a_switch_is_five_words_and_can_start_from_another_address() {
        let name = GroupName::new("g-1").unwrap();
        let event = Published::switch(GroupId(1), &name, Some(4), at(1).into(), at(2).into());
        assert_eq!(event.payload, "g-1 10.0.0.1 1 10.0.0.1 2");
        assert_eq!(event.switched_name(), "g-1");
        let event = event.switched(&name, at(9).into(), at(2).into());
        assert_eq!(event.payload, "g-1 10.0.0.1 9 10.0.0.1 2");
        assert_eq!(event.switch, Some((at(9).into(), at(2).into())));
    }

    #[test]
    fn a_payload_is_cut_at_sentinels_limit_between_characters() {
        let set = EventKind::Set {
            primary: primary(),
            option: "auth-user".into(),
            value: "\u{e9}".repeat(2000).into(),
        };
        let published = publish(&Event {
            revision: Some(3),
            group: Some(GroupId(1)),
            kind: set,
        });
        assert!(published.payload.len() <= PAYLOAD_BYTES_MAX);
        assert!(published.payload.len() > PAYLOAD_BYTES_MAX - 4);
        assert!(std::str::from_utf8(&published.payload).is_ok());
    }
}
