//! What the agent shows of itself: one document, and the words for people.
//!
//! What does not live here: the folder that it is kept in.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::agent::deliver::Delivering;
use crate::agent::{Following, Table};
use crate::model::{Revision, Timestamp};

/// A running agent writes its status at least this often.
pub const FRESH_MS: u64 = 1_000;
/// A status that is older than this was written by an agent that hangs, or that ended.
const STALE_MS: u64 = 5 * FRESH_MS;
/// A node is asked for a sign of life twice a second: when it is silent for this long, what it told may be old.
const SILENT_MS: u64 = 1_200;

/// An agent at a moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// When this was written.
    pub written: Timestamp,
    /// When the agent started.
    pub started: Timestamp,
    /// Its process.
    pub process_id: u32,
    /// Its version.
    pub version: String,
    /// Its configuration.
    pub config: String,
    /// Digest of that configuration, as it was when the agent started.
    pub config_digest: String,
    /// The configuration is another one now. Only who looks can tell.
    #[serde(skip)]
    pub reconfigured: bool,
    /// The cluster that it follows.
    pub cluster: Option<String>,
    /// Whom it follows.
    pub following: Following,
    /// Where its groups are.
    pub groups: BTreeMap<String, GroupStatus>,
    /// How the passing on goes.
    pub delivering: Delivering,
}

/// A group that the agent needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupStatus {
    /// Where its primary is; `None`: that was never learned.
    pub primary: Option<String>,
    /// By which version.
    pub version: Revision,
    /// Healthy replicas, where they are of use.
    pub replicas: Vec<String>,
    /// When the agent learned that it had moved.
    pub moved: Option<Timestamp>,
    /// The cluster does not know it.
    pub missing: bool,
}

/// The groups of a status.
pub fn groups<'g>(
    names: impl Iterator<Item = &'g String>,
    table: &Table,
    following: &Following,
) -> BTreeMap<String, GroupStatus> {
    let group = |name: &'g String| {
        let route = table.routes.get(name);
        let status = GroupStatus {
            primary: route.map(|route| route.primary.to_string()),
            version: route.map_or(0, |route| route.version),
            replicas: route.map_or_else(Vec::new, |route| {
                route.replicas.iter().map(ToString::to_string).collect()
            }),
            moved: following.moved.get(name).copied(),
            missing: following.missing.contains(name),
        };
        (name.clone(), status)
    };
    names.map(group).collect()
}

impl Status {
    /// Everything that keeps it from being up to date; empty: it is.
    pub fn faults(&self, running: bool, now: Timestamp) -> Vec<String> {
        let mut faults = Vec::new();
        let age_ms = now.0.saturating_sub(self.written.0);
        if !running {
            faults.push("the agent does not run".to_owned());
        } else if age_ms > STALE_MS {
            faults.push(format!("the agent has written no status for {}", length(age_ms)));
        }
        if running && self.reconfigured {
            faults.push(format!("{} has changed: restart the agent", self.config));
        }
        let following = &self.following;
        let silent_ms = following.heard.map_or(0, |heard| now.0.saturating_sub(heard.0));
        match &following.node {
            None => faults.push("no node is followed: the addresses are the last known ones".to_owned()),
            Some(node) if !following.in_contact => {
                faults.push(format!("node {node} is not in contact with a leader"));
            }
            Some(node) if silent_ms > SILENT_MS => {
                faults.push(format!("node {node} is silent for {}", length(silent_ms)));
            }
            Some(_) if !following.complete => faults.push("the groups were not all looked up yet".to_owned()),
            Some(_) => {}
        }
        if self.groups.is_empty() {
            faults.push("nothing is followed: no server of the proxy's file can be".to_owned());
        }
        for (name, group) in &self.groups {
            match (group.missing, &group.primary) {
                (true, _) => faults.push(format!("the cluster has no group {name}")),
                (false, None) => faults.push(format!("group {name} was never found")),
                (false, Some(_)) if following.behind.contains(name) => {
                    faults.push(format!("the node knows less about group {name} than the agent"));
                }
                (false, Some(_)) if following.contradicting.contains(name) => {
                    faults.push(format!(
                        "the node has another address for group {name} under the same version"
                    ));
                }
                (false, Some(_)) => {}
            }
        }
        if let Some(fault) = &following.keeping {
            faults.push(format!("the state cannot be kept: {fault}"));
        }
        self.delivery_faults(now, &mut faults);
        faults
    }

    fn delivery_faults(&self, now: Timestamp, faults: &mut Vec<String>) {
        let delivering = &self.delivering;
        let outlet = &delivering.outlet;
        if let Some(reason) = delivering.refused.as_ref().or(outlet.fault.as_ref()) {
            faults.push(format!("not carried out: {reason}"));
        } else if !delivering.begun {
            faults.push("nothing was carried out yet".to_owned());
        } else if let Some(since) = delivering.pending_since {
            faults.push(format!("a change waits for {}", length(now.0.saturating_sub(since.0))));
        }
        for server in &outlet.stuck {
            faults.push(format!("{} keeps its address: {}", server.server, server.reason));
        }
        if outlet.child.as_ref().is_some_and(|child| child.pid.is_none()) {
            faults.push("the proxy does not run".to_owned());
        }
        match &outlet.hook {
            Some(hook) if hook.fault.is_some() => {
                faults.push(format!("the hook: {}", hook.fault.clone().unwrap_or_default()));
            }
            Some(hook) if hook.pending => faults.push("the hook was not told of everything yet".to_owned()),
            _ => {}
        }
    }

    /// For programs: the document, and what follows from it now.
    pub fn to_json(&self, running: bool, now: Timestamp) -> String {
        #[derive(Serialize)]
        struct Judged<'s> {
            running: bool,
            /// Empty: it is up to date.
            faults: Vec<String>,
            #[serde(flatten)]
            status: &'s Status,
        }
        let judged = Judged {
            running,
            faults: self.faults(running, now),
            status: self,
        };
        let mut text = serde_json::to_string_pretty(&judged).unwrap_or_default();
        text.push('\n');
        text
    }

    /// For people.
    pub fn to_text(&self, running: bool, now: Timestamp) -> String {
        let mut text = String::new();
        let ago = |then: Timestamp| format!("{} ago", length(now.0.saturating_sub(then.0)));
        let mut line = |name: &str, value: String| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name:<10} {value}");
        };
        let following = &self.following;
        line(
            "agent",
            match running {
                true => format!("running, process {}, started {}", self.process_id, ago(self.started)),
                false => format!("not running, last seen {}", ago(self.written)),
            },
        );
        line("config", self.config.clone());
        line(
            "cluster",
            self.cluster.clone().unwrap_or_else(|| "none met yet".to_owned()),
        );
        line(
            "node",
            match (&following.node, following.since) {
                (Some(node), Some(since)) => {
                    let contact = if following.in_contact {
                        "in contact"
                    } else {
                        "NOT in contact"
                    };
                    format!("{node}, connected {}, {contact} with a leader", ago(since))
                }
                _ => match following.heard {
                    Some(heard) => format!("none, last heard {}", ago(heard)),
                    None => "none".to_owned(),
                },
            },
        );
        for (node, fault) in &following.faults {
            line("", format!("{node}: {} ({})", fault.reason, ago(fault.at)));
        }
        self.outlet_lines(&mut line, &ago);
        text.push_str(&self.table(&ago));
        let faults = self.faults(running, now);
        match faults.as_slice() {
            [] => text.push_str("up to date\n"),
            faults => {
                text.push_str("NOT up to date:\n");
                for fault in faults {
                    let _ = writeln!(text, "  {fault}");
                }
            }
        }
        text
    }

    fn outlet_lines(&self, line: &mut impl FnMut(&str, String), ago: &impl Fn(Timestamp) -> String) {
        let outlet = &self.delivering.outlet;
        let when = |then: Option<Timestamp>| then.map_or_else(|| "not yet".to_owned(), ago);
        if let Some(file) = &outlet.file {
            line("file", format!("{}, written {}", file.display(), when(outlet.written)));
            let down = outlet
                .proxy_down_ms
                .map_or_else(String::new, |ms| format!(", took {ms} ms"));
            line("restart", format!("{}{down}", when(outlet.restarted)));
        }
        if let Some(child) = &outlet.child {
            let runs = match (child.pid, child.started) {
                (Some(pid), Some(started)) => format!("process {pid}, started {}", ago(started)),
                (Some(pid), None) => format!("process {pid}"),
                (None, _) => "does not run".to_owned(),
            };
            let ended = child
                .last_end
                .as_ref()
                .map_or_else(String::new, |end| format!(", last ended: {end}"));
            line("proxy", format!("{runs}, revived {} times{ended}", child.revived));
        }
        if let Some(hook) = &outlet.hook {
            let pending = if hook.pending { ", more to tell" } else { "" };
            line("hook", format!("told {}{pending}", when(hook.told)));
        }
        for server in &outlet.unfollowed {
            line("", format!("{} is not followed: {}", server.server, server.reason));
        }
        if let Some(since) = self.delivering.pending_since {
            line("pending", format!("a change, {}", ago(since)));
        }
    }

    fn table(&self, ago: &impl Fn(Timestamp) -> String) -> String {
        let head = ["group", "primary", "version", "moved", "replicas"].map(str::to_owned);
        let mut rows = vec![head];
        for (name, group) in &self.groups {
            let primary = group.primary.clone().unwrap_or_else(|| "unknown".to_owned());
            let missing = if group.missing { " (not in the cluster)" } else { "" };
            rows.push([
                name.clone(),
                format!("{primary}{missing}"),
                group.version.to_string(),
                group.moved.map_or_else(|| "-".to_owned(), ago),
                group.replicas.join(" "),
            ]);
        }
        let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..5).map(width).collect();
        let mut text = String::new();
        for row in &rows {
            let cells: Vec<String> = row
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:<width$}"))
                .collect();
            text.push_str(cells.join("  ").trim_end());
            text.push('\n');
        }
        text
    }
}

/// A length of time as people say it.
fn length(ms: u64) -> String {
    let s = ms / 1_000;
    match s {
        0 => format!("{ms} ms"),
        1..60 => format!("{s} s"),
        60..3_600 => format!("{} min {} s", s / 60, s % 60),
        3_600..86_400 => format!("{} h {} min", s / 3_600, s % 3_600 / 60),
        _ => format!("{} d {} h", s / 86_400, s % 86_400 / 3_600),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use crate::agent::OutletStatus;
    use crate::agent::follow::Fault;
    use crate::agent::outlet::{ChildStatus, HookStatus, Unfollowed};

    const NOW: Timestamp = Timestamp(1_000_000);

    fn good() -> Status {
        let group = GroupStatus {
            primary: Some("10.0.0.1:1".to_owned()),
            version: 5,
            replicas: vec!["10.0.0.1:2".to_owned()],
            moved: Some(Timestamp(NOW.0 - 65_000)),
            missing: false,
        };
        Status {
            written: Timestamp(NOW.0 - 900),
            started: Timestamp(NOW.0 - 500_000),
            process_id: 7,
            version: "1".to_owned(),
            config: "a.toml".to_owned(),
            config_digest: "d".to_owned(),
            reconfigured: false,
            cluster: Some("c".to_owned()),
            following: Following {
                node: Some("n:1".to_owned()),
                since: Some(Timestamp(NOW.0 - 4_000)),
                heard: Some(NOW),
                in_contact: true,
                complete: true,
                ..Following::default()
            },
            groups: [("alpha".to_owned(), group)].into(),
            delivering: Delivering {
                begun: true,
                ..Delivering::default()
            },
        }
    }

    #[track_caller]
    fn told(change: impl FnOnce(&mut Status), fault: &str) {
        let mut status = good();
        change(&mut status);
        let faults = status.faults(true, NOW);
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].contains(fault), "{faults:?}");
        let text = status.to_text(true, NOW);
        assert!(text.contains("NOT up to date:") && text.contains(&faults[0]), "{text}");
    }

    #[test]
    fn an_agent_that_follows_and_delivers_is_up_to_date() {
        assert_eq!(good().faults(true, NOW), Vec::<String>::new());
        let shown = good().to_text(true, NOW);
        let expected = "agent      running, process 7, started 8 min 20 s ago\n\
                        config     a.toml\n\
                        cluster    c\n\
                        node       n:1, connected 4 s ago, in contact with a leader\n\
                        group  primary     version  moved           replicas\n\
                        alpha  10.0.0.1:1  5        1 min 5 s ago   10.0.0.1:2\n\
                        up to date\n";
        let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(squeezed(&shown), squeezed(expected));
    }

    #[test]
    fn everything_that_keeps_it_from_being_up_to_date_is_told() {
        assert_eq!(good().faults(false, NOW), ["the agent does not run"]);
        told(
            |status| status.written = Timestamp(0),
            "has written no status for 16 min 40 s",
        );
        told(|status| status.following.node = None, "no node is followed");
        told(
            |status| status.following.in_contact = false,
            "node n:1 is not in contact",
        );
        told(
            |status| status.following.heard = Some(Timestamp(NOW.0 - 1_300)),
            "node n:1 is silent for 1 s",
        );
        told(|status| status.reconfigured = true, "a.toml has changed");
        told(|status| status.groups.clear(), "nothing is followed");
        let stuck = Unfollowed {
            server: "p/s".to_owned(),
            reason: "why".to_owned(),
        };
        told(
            |status| status.delivering.outlet.stuck.push(stuck),
            "p/s keeps its address: why",
        );
        told(|status| status.following.complete = false, "not all looked up yet");
        told(
            |status| status.following.keeping = Some("full".to_owned()),
            "cannot be kept: full",
        );
        told(
            |status| _ = status.following.behind.insert("alpha".to_owned()),
            "knows less about group alpha",
        );
        told(
            |status| _ = status.following.contradicting.insert("alpha".to_owned()),
            "another address for group alpha",
        );
        told(
            |status| status.groups.get_mut("alpha").unwrap().missing = true,
            "has no group alpha",
        );
        told(
            |status| status.groups.get_mut("alpha").unwrap().primary = None,
            "group alpha was never found",
        );
        told(|status| status.delivering.begun = false, "nothing was carried out yet");
        told(
            |status| status.delivering.refused = Some("why".to_owned()),
            "not carried out: why",
        );
        told(
            |status| status.delivering.outlet.fault = Some("why".to_owned()),
            "not carried out: why",
        );
        told(
            |status| status.delivering.pending_since = Some(Timestamp(NOW.0 - 200)),
            "a change waits for 200 ms",
        );
        told(
            |status| status.delivering.outlet.child = Some(ChildStatus::default()),
            "the proxy does not run",
        );
        let hook = |fault: Option<&str>| OutletStatus {
            hook: Some(HookStatus {
                pending: true,
                fault: fault.map(str::to_owned),
                ..HookStatus::default()
            }),
            ..OutletStatus::default()
        };
        told(|status| status.delivering.outlet = hook(Some("why")), "the hook: why");
        told(
            |status| status.delivering.outlet = hook(None),
            "was not told of everything",
        );
    }

    #[test]
    fn a_node_that_is_not_followed_while_another_is_does_not_matter_but_is_shown() {
        let mut status = good();
        let fault = Fault {
            reason: "refused".to_owned(),
            at: Timestamp(NOW.0 - 3_600_000 / 4),
        };
        status.following.faults.insert("m:2".to_owned(), fault);
        assert!(status.faults(true, NOW).is_empty());
        assert!(status.to_text(true, NOW).contains("m:2: refused (15 min 0 s ago)"));
    }

    #[test]
    fn a_status_reads_back() {
        let text = serde_json::to_string(&good()).unwrap();
        assert_eq!(serde_json::from_str::<Status>(&text).unwrap(), good());
        let judged: serde_json::Value = serde_json::from_str(&good().to_json(false, NOW)).unwrap();
        assert_eq!(judged["running"], false);
        assert_eq!(judged["faults"][0], "the agent does not run");
        assert_eq!(judged["groups"]["alpha"]["version"], 5);
    }
}
