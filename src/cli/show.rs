//! The effective configuration, as a file that can be given to `--config` again.

use std::fmt::Write;

use crate::cli::config::{Founding, ServeConfig};
use crate::cli::{Peers, ReadPolicy, RunScripts, YesNo};
use crate::telemetry::LogFormat;

impl ServeConfig {
    /// The configuration as TOML. The secret is named by its file and never shown.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name} = {value}");
        };
        line("node-id", self.node_id.to_string());
        line("listen", quoted(&self.listen.to_string()));
        if let Some(proxy_listen) = self.proxy_listen {
            line("proxy-listen", quoted(&proxy_listen.to_string()));
        }
        line("data-dir", quoted(&self.data_dir.to_string_lossy()));
        match &self.founding {
            Founding::Alone => {}
            Founding::Peers(peers) => line("peers", quoted(&Peers(peers.clone()).to_string())),
            Founding::Join(seed) => line("join", quoted(&seed.to_string())),
        }
        line("advertise", quoted(&self.advertise.to_string()));
        if let Some(path) = &self.cluster_secret_file {
            line("cluster-secret-file", quoted(&path.to_string_lossy()));
        }
        line("log-level", quoted(self.log_level.as_str()));
        line(
            "log-format",
            quoted(match self.log_format {
                LogFormat::Text => "text",
                LogFormat::Json => "json",
            }),
        );
        let strict = if self.strict_sentinel { YesNo::Yes } else { YesNo::No };
        line("strict-sentinel", quoted(strict.as_str()));
        line("read-policy", quoted(self.read_policy.as_str()));
        line("probed-by", quoted(self.probed_by.as_str()));
        let deny = if self.deny_scripts_reconfig {
            YesNo::Yes
        } else {
            YesNo::No
        };
        line("deny-scripts-reconfig", quoted(deny.as_str()));
        line("run-scripts", quoted(self.run_scripts.as_str()));
        let limits = &self.limits;
        line("connections-max", limits.connections_max.to_string());
        line("connections-reserve", limits.connections_reserve.to_string());
        line("subscriber-queue-bytes", limits.subscriber_queue_bytes.to_string());
        line("half-frame-ms", limits.half_frame.as_millis().to_string());
        line("forward-ms", limits.forward.as_millis().to_string());
        line("probe-floor-ms", limits.probe_floor.as_millis().to_string());
        line("info-every-ms", limits.info_every.as_millis().to_string());
        line("stall-ms", limits.stall.as_millis().to_string());
        text
    }
}

impl YesNo {
    fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
        }
    }
}

impl ReadPolicy {
    fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Contact => "contact",
        }
    }
}

impl RunScripts {
    fn as_str(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Always => "always",
        }
    }
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            control if control.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(control));
            }
            _ => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use std::path::Path;

    use clap::{Args, Command};

    use super::*;
    use crate::cli::Layer;

    fn read(text: &str) -> ServeConfig {
        ServeConfig::from_layer(Layer::from_toml(text, Path::new("shown")).unwrap()).unwrap()
    }

    #[test]
    fn what_is_shown_reads_back_as_the_same_configuration() {
        for text in [
            "",
            "node-id = 2\nlisten = \"[::1]:5\"\npeers = \"2=[::1]:5,3=localhost:7\"\nstrict-sentinel = \"yes\"\nread-policy = \"contact\"",
            "proxy-listen = \"[::1]:9\"\njoin = \"127.0.0.1:9\"\nlog-format = \"json\"\nlog-level = \"trace\"\nstall-ms = 123",
            "data-dir = \"/a \\\"b\\\" \\\\ \\u0001 c\"\nconnections-max = 999",
        ] {
            let config = read(text);
            assert_eq!(read(&config.to_toml()), config, "{}", config.to_toml());
        }
    }

    #[test]
    fn every_option_is_shown_and_the_secret_is_not() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "open sesame").unwrap();
        let secret = format!("cluster-secret-file = \"{}\"\n", file.path().display());
        let founding = read(&format!("{secret}peers = \"1=127.0.0.1:26379\"")).to_toml();
        let joining = read(&format!(
            "{secret}join = \"127.0.0.1:9\"\nproxy-listen = \"127.0.0.1:5\""
        ))
        .to_toml();
        let shown = founding + &joining;
        for option in Layer::augment_args(Command::new("test")).get_arguments() {
            let name = option.get_long().unwrap();
            assert!(name == "config" || shown.contains(&format!("{name} = ")), "{name}");
        }
        assert!(!shown.contains("sesame"));
    }
}
