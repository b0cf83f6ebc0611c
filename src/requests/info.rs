//! INFO: facts about this node, by section.

use std::sync::Arc;

use bytes::Bytes;

use crate::model::Group;
use crate::requests::told::ListKind;
use crate::requests::{Effect, Face, RaftRole, Session, View, lists};
use crate::resp::Reply;
use crate::sentinel::{GroupLines, InfoText, Layout, REDIS_VERSION, SentinelSection, errors};

/// A section, in the order of the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Section {
    Server,
    Clients,
    Stats,
    Cpu,
    Sentinel,
    Raft,
}

const SECTIONS: [(&str, Section); 6] = [
    ("server", Section::Server),
    ("clients", Section::Clients),
    ("stats", Section::Stats),
    ("cpu", Section::Cpu),
    ("sentinel", Section::Sentinel),
    ("raft", Section::Raft),
];

/// What Redis's timer ticks in.
const HZ: u64 = 10;
/// Redis's clock for the age of keys has 24 bits of seconds.
const LRU_CLOCK_MAX: u64 = (1 << 24) - 1;
/// As Redis names it.
const OS: &str = if cfg!(target_os = "linux") {
    "Linux"
} else if cfg!(target_os = "macos") {
    "Darwin"
} else {
    "Unix"
};

pub(super) fn info(session: &mut Session, view: &View<'_>, args: &[Bytes]) -> Effect {
    let wanted = wanted_sections(&args[1..]);
    if wanted.contains(&Section::Sentinel) {
        session.asked_for_list(ListKind::Info);
        if !view.node.answers() {
            return Effect::Reply(Reply::error(errors::LOADING));
        }
        session.listed(view);
    }
    let mut text = InfoText::default();
    for section in wanted {
        match section {
            Section::Server => server(&mut text, view),
            Section::Clients => clients(&mut text, view),
            Section::Stats => stats(&mut text, view),
            Section::Cpu => cpu(&mut text, view),
            Section::Sentinel => sentinel(&mut text, session.face(), view),
            Section::Raft => raft(&mut text, view),
        }
    }
    Effect::Reply(Reply::Bulk(Bytes::from(text.into_string())))
}

/// The sections that were named; all when none was, or with one of the words for all. Unknown names are nothing.
fn wanted_sections(names: &[Bytes]) -> Vec<Section> {
    let is_all = |name: &Bytes| {
        let words: [&[u8]; 3] = [b"default", b"all", b"everything"];
        words.iter().any(|word| name.eq_ignore_ascii_case(word))
    };
    let all = names.is_empty() || names.iter().any(is_all);
    let named = |wanted: &str| names.iter().any(|name| name.eq_ignore_ascii_case(wanted.as_bytes()));
    let chosen = SECTIONS.iter().filter(|(name, _)| all || named(name));
    chosen.map(|(_, section)| *section).collect()
}

fn server(text: &mut InfoText, view: &View<'_>) {
    let node = view.node;
    let uptime_s = view.now.since(node.started) / 1000;
    let (ip, port) = node.listen.rsplit_once(':').unwrap_or(("", "0"));
    text.section("Server");
    text.line("redis_version", REDIS_VERSION);
    text.line("redis_git_sha1", "00000000");
    text.line("redis_git_dirty", 0);
    text.line("redis_build_id", 0);
    text.line("redis_mode", "sentinel");
    text.line("os", OS);
    text.line("arch_bits", usize::BITS);
    text.line("monotonic_clock", "POSIX clock_gettime");
    text.line("multiplexing_api", "epoll");
    text.line("atomicvar_api", "rust");
    text.line("gcc_version", "0.0.0");
    text.line("process_id", node.process_id);
    text.line("process_supervised", "no");
    text.line("run_id", &node.run_id);
    text.line("tcp_port", port);
    text.line("server_time_usec", view.wall.0.saturating_mul(1000));
    text.line("uptime_in_seconds", uptime_s);
    text.line("uptime_in_days", uptime_s / 86_400);
    text.line("hz", HZ);
    text.line("configured_hz", HZ);
    text.line("lru_clock", (view.wall.0 / 1000) & LRU_CLOCK_MAX);
    text.line("executable", &node.executable);
    text.line("config_file", &node.config_file);
    text.line("io_threads_active", 0);
    let ip = ip.trim_start_matches('[').trim_end_matches(']');
    text.line("listener0", format_args!("name=tcp,bind={ip},port={port}"));
    text.line("cfgserver_version", env!("CARGO_PKG_VERSION"));
}

fn clients(text: &mut InfoText, view: &View<'_>) {
    text.section("Clients");
    text.line("connected_clients", view.clients.count());
    text.line("cluster_connections", 0);
    text.line("maxclients", view.node.connections_max);
    zeros(
        text,
        &["client_recent_max_input_buffer", "client_recent_max_output_buffer"],
    );
    // Nothing blocks here, and there are no keys that could be tracked or watched.
    zeros(text, &["blocked_clients", "tracking_clients"]);
    text.line("pubsub_clients", view.clients.subscribers());
    zeros(
        text,
        &[
            "watching_clients",
            "clients_in_timeout_table",
            "total_watched_keys",
            "total_blocking_keys",
            "total_blocking_keys_on_nokey",
        ],
    );
}

fn stats(text: &mut InfoText, view: &View<'_>) {
    let stats = view.stats;
    let per_second = |bytes: u64| {
        let hundredths = bytes * 100 / 1024;
        format!("{}.{:02}", hundredths / 100, hundredths % 100)
    };
    text.section("Stats");
    text.line("total_connections_received", stats.connections_received);
    text.line("total_commands_processed", stats.commands_processed);
    text.line("instantaneous_ops_per_sec", stats.ops_per_second);
    text.line("total_net_input_bytes", stats.input_bytes);
    text.line("total_net_output_bytes", stats.output_bytes);
    zeros(text, &["total_net_repl_input_bytes", "total_net_repl_output_bytes"]);
    text.line("instantaneous_input_kbps", per_second(stats.input_bytes_per_second));
    text.line("instantaneous_output_kbps", per_second(stats.output_bytes_per_second));
    text.line("instantaneous_input_repl_kbps", per_second(0));
    text.line("instantaneous_output_repl_kbps", per_second(0));
    text.line("rejected_connections", stats.rejected_connections);
    zeros(text, &DATA_STATS);
    text.line("pubsub_channels", stats.channels);
    text.line("pubsub_patterns", stats.patterns);
    text.line("pubsubshard_channels", 0);
    zeros(text, &["unexpected_error_replies"]);
    text.line("total_error_replies", stats.error_replies);
    zeros(
        text,
        &[
            "acl_access_denied_auth",
            "acl_access_denied_cmd",
            "acl_access_denied_key",
            "acl_access_denied_channel",
        ],
    );
    text.line("slow_subscribers", stats.slow_subscribers);
}

/// What a server with data counts; a Sentinel shows them as well.
const DATA_STATS: [&str; 9] = [
    "sync_full",
    "sync_partial_ok",
    "sync_partial_err",
    "expired_keys",
    "evicted_keys",
    "evicted_clients",
    "keyspace_hits",
    "keyspace_misses",
    "total_forks",
];

fn zeros(text: &mut InfoText, keys: &[&str]) {
    for key in keys {
        text.line(key, 0);
    }
}

fn cpu(text: &mut InfoText, view: &View<'_>) {
    let seconds = |us: u64| format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
    let (system_us, user_us) = view.stats.cpu_us;
    text.section("CPU");
    text.line("used_cpu_sys", seconds(system_us));
    text.line("used_cpu_user", seconds(user_us));
    text.line("used_cpu_sys_children", seconds(0));
    text.line("used_cpu_user_children", seconds(0));
    // There is no thread that does it all: what all of them used is as near as can be.
    text.line("used_cpu_sys_main_thread", seconds(system_us));
    text.line("used_cpu_user_main_thread", seconds(user_us));
}

fn sentinel(text: &mut InfoText, face: Face, view: &View<'_>) {
    let layout = match face {
        Face::Open => Layout::ByPosition,
        Face::Strict => Layout::Sentinel,
        Face::Proxy => Layout::OldProxies,
    };
    let make = || {
        let seen = |group: &Arc<Group>| view.sightings.sighting(group.id, group.primary);
        let groups = view.state.groups_by_name().map(|group| (group.as_ref(), seen(group)));
        GroupLines::new(groups, view.other_nodes().count() + 1, layout, view.naming(face))
    };
    let section = SentinelSection {
        groups: &lists::lines(layout, view, make),
        layout,
        scripts: (
            view.scripts.iter().filter(|script| script.turn.runs()).count(),
            view.scripts.len(),
        ),
        simulated: view.dials.simulated.flags(),
        stalled_ms: view.node.stalled_since.map(|since| view.now.since(since)),
    };
    section.render(text);
}

fn raft(text: &mut InfoText, view: &View<'_>) {
    let node = view.node;
    let age = |ms: Option<u64>| ms.map_or(-1, |ms| ms as i64);
    let leader = node.leader.and_then(|id| view.state.nodes().get(&id));
    text.section("Raft");
    text.line("raft_node_id", node.id);
    text.line("raft_role", role_name(node.role));
    text.line("raft_leader", node.leader.unwrap_or(0));
    text.line("raft_leader_address", leader.map_or("", |leader| &leader.address));
    text.line("raft_term", node.term);
    text.line("raft_last_applied", node.last_applied);
    text.line("raft_last_log", node.last_log);
    text.line("raft_contact_ms", age(node.contact_ms));
    text.line("raft_ready", u8::from(node.answers()));
    text.line("raft_nodes", view.other_nodes().count() + 1);
    text.line("raft_electorate", view.electorate_size());
    text.line("scripts_denied", u8::from(node.denies_scripts));
    text.line(
        "cluster_id",
        view.state.header().cluster.as_ref().map_or("", |cluster| &cluster.0),
    );
    text.line("revision", view.state.revision());
    for (id, peer) in view.other_nodes() {
        let status = view.peer(*id);
        let contact_ms = age(status.and_then(|status| status.contact_ms));
        let matched = age(status.and_then(|status| status.matched));
        let down = u8::from(view.peer_is_down(*id));
        let line = format!(
            "id={id},address={},contact_ms={contact_ms},matched={matched},down={down}",
            peer.address
        );
        text.line(format_args!("raft_peer{id}"), line);
    }
}

/// As INFO and CFG NODES show it.
pub(super) fn role_name(role: RaftRole) -> &'static str {
    match role {
        RaftRole::Leader => "leader",
        RaftRole::Follower => "follower",
        RaftRole::Candidate => "candidate",
        RaftRole::Learner => "learner",
    }
}
