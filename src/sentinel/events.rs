//! Events as subscribers see them: the only place with channel names and payload bytes.

use std::fmt;

use bytes::Bytes;

use crate::model::{Address, Event, EventKind, GroupId, GroupName, InstanceRef, Revision};

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
    /// Of `+switch-master`: the address before and after.
    pub switch: Option<(Address, Address)>,
    /// Of `+monitor`: the group's name and its primary.
    pub monitored: Option<(GroupName, Address)>,
    /// How loud it is.
    pub level: Level,
    /// Where it is published.
    pub channel: &'static str,
    /// What is published.
    pub payload: Bytes,
}

impl Published {
    /// A `+switch-master` that says `from` is the old address.
    pub fn switch(group: GroupId, name: &GroupName, revision: Option<Revision>, from: Address, to: Address) -> Self {
        Self {
            revision,
            group: Some(group),
            switch: Some((from, to)),
            monitored: None,
            level: Level::Warning,
            channel: SWITCH_CHANNEL,
            payload: Bytes::from(switch_payload(name, from, to)),
        }
    }

    /// Makes a `+switch-master` of group `name` say that `from` is the old address. Other events stay as they are.
    pub fn rewrite_from(&mut self, name: &GroupName, from: Address) {
        if let Some((_, to)) = self.switch {
            self.switch = Some((from, to));
            self.payload = Bytes::from(switch_payload(name, from, to));
        }
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

/// Renders an event.
pub fn publish(event: &Event) -> Published {
    let (channel, mut payload) = render(&event.kind);
    while payload.len() > PAYLOAD_BYTES_MAX {
        payload.pop();
    }
    let switch = match event.kind {
        EventKind::Switch { from, to, .. } => Some((from, to)),
        _ => None,
    };
    let monitored = match &event.kind {
        EventKind::Monitor {
            primary: InstanceRef::Primary { group, address },
            ..
        } => Some((group.clone(), *address)),
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

fn render(kind: &EventKind) -> (&'static str, String) {
    match kind {
        EventKind::Monitor { primary, quorum } => ("+monitor", format!("{} quorum {quorum}", At(primary))),
        EventKind::Set { primary, option, value } => ("+set", format!("{} {option} {value}", At(primary))),
        EventKind::Outage { primary, votes, quorum } => ("+odown", format!("{} #quorum {votes}/{quorum}", At(primary))),
        EventKind::NewEpoch(epoch) => ("+new-epoch", epoch.to_string()),
        EventKind::Switch { group, from, to } => (SWITCH_CHANNEL, switch_payload(group, *from, *to)),
        EventKind::RoleChange {
            instance,
            to_primary,
            agrees,
        } => {
            let channel = if *agrees { "+role-change" } else { "-role-change" };
            let role = if *to_primary { "master" } else { "slave" };
            (channel, format!("{} new reported role is {role}", At(instance)))
        }
        EventKind::NodeMoved {
            primary,
            my_id,
            host,
            port,
        } => (
            "+sentinel-address-switch",
            format!("{} ip {host} port {port} for {my_id}", At(primary)),
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

fn about(channel: &'static str, instance: &InstanceRef) -> (&'static str, String) {
    (channel, At(instance).to_string())
}

/// The five words that proxies parse; nothing may follow them.
fn switch_payload(name: &GroupName, from: Address, to: Address) -> String {
    format!("{name} {} {} {} {}", from.ip, from.port, to.ip, to.port)
}

/// Sentinel's `%@`.
struct At<'a>(&'a InstanceRef);

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            InstanceRef::Primary { group, address } => {
                write!(f, "master {group} {} {}", address.ip, address.port)
            }
            InstanceRef::Replica {
                group,
                address,
                primary,
            } => {
                write!(f, "slave {address} {} {}", address.ip, address.port)?;
                write!(f, " @ {group} {} {}", primary.ip, primary.port)
            }
            InstanceRef::Node {
                group,
                my_id,
                host,
                port,
                primary,
            } => {
                write!(f, "sentinel {my_id} {host} {port}")?;
                write!(f, " @ {group} {} {}", primary.ip, primary.port)
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
        let mut event = Published::switch(GroupId(1), &name, Some(4), at(1), at(2));
        assert_eq!(event.payload, "g-1 10.0.0.1 1 10.0.0.1 2");
        assert_eq!(event.switched_name(), "g-1");
        event.rewrite_from(&name, at(9));
        assert_eq!(event.payload, "g-1 10.0.0.1 9 10.0.0.1 2");
        assert_eq!(event.switch, Some((at(9), at(2))));
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
