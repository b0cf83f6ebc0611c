//! The effective configuration, as a file that can be used again.

use std::path::Path;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::agent::{Config, Pace, Process};
use crate::telemetry::{LogFormat, LogLevel};

impl Config {
    /// Tells one configuration from another, whatever they log.
    pub fn digest(&self) -> String {
        let quiet = Self {
            log_level: LogLevel::default(),
            log_format: LogFormat::default(),
            ..self.clone()
        };
        let hash = Sha256::digest(quiet.to_toml().as_bytes());
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The configuration as TOML. Its paths hold from the folder that the original was meant from.
    pub fn to_toml(&self) -> String {
        let mut lines = Lines::default();
        let nodes: Vec<String> = self.nodes.iter().map(ToString::to_string).collect();
        lines.put("nodes", &nodes);
        if let Some(cluster) = &self.cluster {
            lines.put("cluster", cluster);
        }
        lines.put("state-dir", &path(&self.state_dir));
        lines.put("log-level", self.log_level.as_str());
        let format = match self.log_format {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        };
        lines.put("log-format", format);
        if let Some(proxy) = &self.proxy {
            lines.section("proxy");
            lines.put("kind", &proxy.kind);
            lines.put("template", &path(&proxy.template));
            lines.put("output", &path(&proxy.output));
            lines.put("check", &proxy.check);
            match &proxy.process {
                Process::Restart(command) => lines.put("restart", command),
                Process::Run(command) => lines.put("run", command),
            }
            lines.section("groups");
            for (server, group) in &self.groups {
                lines.put_quoted(server, group);
            }
        }
        if let Some(hook) = &self.hook {
            lines.section("hook");
            lines.put("command", &hook.command);
            if let Some(groups) = &hook.groups {
                lines.put("groups", groups);
            }
            lines.put("timeout-ms", &(hook.timeout.as_millis() as u64));
        }
        lines.section("pace");
        let Pace {
            debounce,
            debounce_max,
            restart_pause,
            settle,
            refresh,
        } = self.pace;
        let periods = [
            ("debounce-ms", debounce),
            ("debounce-max-ms", debounce_max),
            ("restart-pause-ms", restart_pause),
            ("settle-ms", settle),
            ("refresh-ms", refresh),
        ];
        for (name, period) in periods {
            lines.put(name, &(period.as_millis() as u64));
        }
        lines.0
    }
}

fn path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Lines of TOML.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn section(&mut self, name: &str) {
        self.0.push_str(&format!("\n[{name}]\n"));
    }

    fn put(&mut self, name: &str, value: &(impl Serialize + ?Sized)) {
        self.0.push_str(&format!("{name} = {}\n", literal(value)));
    }

    fn put_quoted(&mut self, name: &str, value: &(impl Serialize + ?Sized)) {
        self.0.push_str(&format!("{} = {}\n", literal(name), literal(value)));
    }
}

/// JSON's texts, numbers and lists are TOML's too; but TOML refuses DEL as it is.
fn literal(value: &(impl Serialize + ?Sized)) -> String {
    let json = serde_json::to_string(value).unwrap_or_default();
    json.replace('\u{7f}', "\\u007F")
}
