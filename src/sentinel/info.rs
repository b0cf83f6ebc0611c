//! The text of INFO, and its Sentinel section.
//!
//! Modern clients read by key, and proxies of 2014 by position. Those want exactly three lines between the count and
//! the first master line, and to understand each of the counted lines. So every line that Sentinel got later stands
//! after the last master line, and the groups that they understand come first and are the ones that are counted.
//! Sentinel's own order is there for whoever asks for a plain Sentinel. Our own lines are the last in any layout.

use std::fmt::{Display, Write};
use std::net::IpAddr;

use crate::model::{Age, Group, Naming, Place, Sighting};

/// An INFO reply in the making: sections of `key:value` lines, an empty line between sections.
#[derive(Debug, Default)]
pub struct InfoText(String);

impl InfoText {
    /// Begins a section.
    pub fn section(&mut self, name: &str) {
        if !self.0.is_empty() {
            self.0.push_str("\r\n");
        }
        self.push(format_args!("# {name}"));
    }

    /// One line.
    pub fn line(&mut self, key: impl Display, value: impl Display) {
        self.push(format_args!("{key}:{value}"));
    }

    /// The whole text.
    pub fn into_string(self) -> String {
        self.0
    }

    fn push(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a String has no way to fail.
        let _ = self.0.write_fmt(line);
        self.0.push_str("\r\n");
    }
}

/// The order of the lines of the Sentinel section, and what it lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// For everyone: what is read by position comes first. Groups that old proxies do not understand are not counted.
    ByPosition,
    /// The same without the groups that are not counted.
    OldProxies,
    /// As in Sentinel 7.0: every group counts.
    Sentinel,
}

/// The lines of groups, and how many of them count.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct GroupLines {
    text: String,
    counted: usize,
    groups: usize,
}

impl GroupLines {
    /// The lines of `groups`, each with what this node sees of its primary; `nodes` counts this one too.
    pub fn new<'a>(
        groups: impl IntoIterator<Item = (&'a Group, Option<Sighting>)>,
        nodes: usize,
        layout: Layout,
        naming: Naming,
    ) -> Self {
        let plain = layout == Layout::Sentinel;
        let safe = |group: &Group| is_safe_for_old_proxies(group.name.as_str(), &group.told_primary(naming));
        let (counted, mut others): (Vec<_>, Vec<_>) = groups.into_iter().partition(|(group, _)| plain || safe(group));
        let all = counted.len() + others.len();
        if layout == Layout::OldProxies {
            others.clear();
        }
        let mut lines = InfoText::default();
        for (index, (group, sighting)) in counted.iter().chain(&others).enumerate() {
            lines.line(
                format_args!("master{index}"),
                group_line(group, sighting.as_ref(), nodes, naming),
            );
        }
        Self {
            text: lines.into_string(),
            counted: counted.len(),
            groups: all,
        }
    }
}

/// What the Sentinel section shows.
#[derive(Debug)]
pub struct SentinelSection<'a> {
    /// The groups.
    pub groups: &'a GroupLines,
    /// Order and extent.
    pub layout: Layout,
    /// Which failures are simulated, as Sentinel's bits.
    pub simulated: u8,
    /// Scripts that run, and scripts that run or wait.
    pub scripts: (usize, usize),
    /// How long this node has not judged, in milliseconds; `None` when it does.
    pub stalled_ms: Option<Age>,
}

impl SentinelSection<'_> {
    /// Renders the section.
    pub fn render(&self, text: &mut InfoText) {
        let plain = self.layout == Layout::Sentinel;
        let tilt_seconds = self.stalled_ms.map_or(-1, |ms| (ms / 1000) as i64);
        text.section("Sentinel");
        text.line("sentinel_masters", self.groups.counted);
        text.line("sentinel_tilt", u8::from(self.stalled_ms.is_some()));
        if plain {
            text.line("sentinel_tilt_since_seconds", tilt_seconds);
        }
        text.line("sentinel_running_scripts", self.scripts.0);
        text.line("sentinel_scripts_queue_length", self.scripts.1);
        if plain {
            text.line("sentinel_simulate_failure_flags", self.simulated);
        }
        text.0.push_str(&self.groups.text);
        if !plain {
            text.line("sentinel_tilt_since_seconds", tilt_seconds);
            text.line("sentinel_simulate_failure_flags", self.simulated);
        }
        text.line("cfgserver_groups", self.groups.groups);
    }
}

fn group_line(group: &Group, sighting: Option<&Sighting>, nodes: usize, naming: Naming) -> String {
    let down = sighting.is_some_and(|sighting| sighting.verdict.is_down());
    let status = match (group.outage.is_some(), down) {
        (true, _) => "odown",
        (false, true) => "sdown",
        (false, false) => "ok",
    };
    let replicas = group.replicas().count();
    format!(
        "name={},status={status},address={},slaves={replicas},sentinels={nodes}",
        group.name,
        group.told_primary(naming)
    )
}

/// Whether the proxies that read INFO by position understand such a group: a name of two parts around its first
/// dash, without the characters that they cut at, and an IPv4 address. A host name they would resolve in their event
/// loop, and write into their own file cut off.
pub fn is_safe_for_old_proxies(name: &str, primary: &Place) -> bool {
    let (IpAddr::V4(_), None) = (primary.address.ip, &primary.host) else {
        return false;
    };
    let Some((pool, server)) = name.split_once('-') else {
        return false;
    };
    let cuts = |c: char| matches!(c, ',' | '=' | ' ');
    !pool.is_empty() && !server.is_empty() && !pool.contains(|c| cuts(c) || c == ':') && !server.contains(cuts)
}
