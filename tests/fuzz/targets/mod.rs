//! What is fuzzed: functions that take any bytes and panic when a rule is broken.
//!
//! libFuzzer feeds them under `scripts/fuzz`; the tests of every build feed them the corpus and random bytes.

mod choices;
mod commands;
mod import;
mod info;
mod machine;
mod redis;
mod resp;
mod template;

/// A rule about any bytes.
pub(crate) type Target = fn(&[u8]);

/// The targets that need nothing but the public interface.
pub(crate) const OPEN: &[(&str, Target)] = &[
    ("resp-request", resp::request),
    ("resp-answer", resp::answer),
    ("info", info::agrees_with_the_model),
    ("client-list", redis::client_list),
    ("template", template::stays_itself),
    ("sentinel-conf", import::gives_one_plan),
    ("state-machine", machine::any_log),
];

/// All of them. The others look into what is private, and are replayed by unit tests beside it.
#[cfg(feature = "fuzzing")]
pub(crate) fn all() -> Vec<(&'static str, Target)> {
    let hidden: [(&str, Target); 5] = [
        ("log-entry", cfgserver::raft::fuzzed::log_entry),
        ("state-records", cfgserver::raft::fuzzed::state_records),
        ("data-directory", cfgserver::raft::fuzzed::data_directory),
        ("peer-body", cfgserver::raft::fuzzed::peer_body),
        ("peer-greeting", cfgserver::peer::fuzzed::greeting),
    ];
    OPEN.iter().copied().chain(hidden).collect()
}
