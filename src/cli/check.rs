//! From merged settings to a configuration: defaults filled in, every contradiction refused.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::cli::config::{Founding, Limits, ServeConfig};
use crate::cli::{ConfigError, Layer, Peers, Secret, Whole, YesNo};
use crate::model::{HostPort, NodeId};

const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 26_379);
const DATA_DIR: &str = "./cfgserver-data";

impl ServeConfig {
    /// Checks merged settings. Reads the secret file and nothing else.
    pub fn from_layer(layer: Layer) -> Result<Self, ConfigError> {
        let node_id = layer.node_id.map_or(1, Whole::get);
        let listen = layer.listen.unwrap_or(LISTEN);
        let limits = limits(&layer)?;
        proxy_listen(listen, layer.proxy_listen)?;
        let founding = founding(node_id, layer.peers, layer.join)?;
        let advertise = advertise(node_id, listen, layer.advertise, &founding)?;
        let secret = layer
            .cluster_secret_file
            .as_deref()
            .map(|path| Secret::read(path, "cluster-secret-file"))
            .transpose()?;
        if secret.is_none() {
            stays_on_loopback(listen, &advertise, &founding)?;
        }
        Ok(Self {
            node_id,
            listen,
            proxy_listen: layer.proxy_listen,
            data_dir: layer.data_dir.unwrap_or_else(|| PathBuf::from(DATA_DIR)),
            founding,
            advertise,
            cluster_secret_file: layer.cluster_secret_file,
            secret,
            log_level: layer.log_level.unwrap_or_default(),
            log_format: layer.log_format.unwrap_or_default(),
            strict_sentinel: layer.strict_sentinel == Some(YesNo::Yes),
            read_policy: layer.read_policy.unwrap_or_default(),
            probed_by: layer.probed_by.unwrap_or_default(),
            deny_scripts_reconfig: layer.deny_scripts_reconfig != Some(YesNo::No),
            run_scripts: layer.run_scripts.unwrap_or_default(),
            limits,
            config_file: layer.config,
        })
    }
}

fn founding(node_id: NodeId, peers: Option<Peers>, join: Option<HostPort>) -> Result<Founding, ConfigError> {
    match (peers, join) {
        (None, None) => Ok(Founding::Alone),
        (None, Some(seed)) => Ok(Founding::Join(seed)),
        (Some(_), Some(_)) => Err(ConfigError::PeersAndJoin),
        (Some(peers), None) if peers.0.contains_key(&node_id) => Ok(Founding::Peers(peers.0)),
        (Some(peers), None) => Err(ConfigError::NotAmongPeers {
            node_id,
            peers: peers.to_string(),
        }),
    }
}

/// The second listener has a port of its own also where another IP address would do: a client that is sent to the
/// other port is told its number.
fn proxy_listen(listen: SocketAddr, proxy_listen: Option<SocketAddr>) -> Result<(), ConfigError> {
    let refuse = |what: String| Err(ConfigError::Address { what });
    match proxy_listen {
        Some(proxy) if proxy.port() == 0 => refuse("proxy-listen needs a port other than 0".to_owned()),
        Some(proxy) if proxy.port() == listen.port() => {
            refuse(format!("proxy-listen {proxy} needs another port than listen {listen}"))
        }
        _ => Ok(()),
    }
}

/// The address that others are told: as said, else the own entry of the peers, else where we listen.
fn advertise(
    node_id: NodeId,
    listen: SocketAddr,
    said: Option<HostPort>,
    founding: &Founding,
) -> Result<HostPort, ConfigError> {
    let refuse = |what: String| Err(ConfigError::Address { what });
    if listen.port() == 0 {
        return refuse("listen needs a port other than 0".to_owned());
    }
    let told = match founding {
        Founding::Peers(peers) => Vec::from_iter(peers.values().chain(&said)),
        Founding::Join(seed) => Vec::from_iter(std::iter::once(seed).chain(&said)),
        Founding::Alone => Vec::from_iter(&said),
    };
    let nowhere = |told: &&HostPort| told.ip().is_some_and(|ip| ip.is_unspecified());
    if let Some(told) = told.into_iter().find(nowhere) {
        return refuse(format!("{told} is no address that others can connect to"));
    }
    match founding {
        Founding::Peers(peers) => {
            let own = &peers[&node_id];
            match said {
                Some(said) if said != *own => refuse(format!(
                    "advertise {said} differs from the own entry of peers, {node_id}={own}"
                )),
                Some(said) => Ok(said),
                None => own_entry(node_id, listen, own),
            }
        }
        Founding::Join(seed) => {
            let listening = HostPort {
                host: listen.ip().to_canonical().to_string(),
                port: listen.port(),
            };
            let own = match said {
                Some(said) => said,
                None if listen.ip().is_unspecified() => {
                    return refuse(format!("listen {listen} says no address to others: set advertise"));
                }
                None => listening.clone(),
            };
            if own == *seed || listening == *seed {
                return refuse(format!("join {seed} is this node itself"));
            }
            Ok(own)
        }
        Founding::Alone => Ok(said.unwrap_or_else(|| alone(listen))),
    }
}

/// The own entry of the peers, when it can be where we listen.
fn own_entry(node_id: NodeId, listen: SocketAddr, own: &HostPort) -> Result<HostPort, ConfigError> {
    let ip = listen.ip().to_canonical();
    let same_host = match own.ip() {
        // A host name is resolved by others; only what can be seen to be wrong is refused.
        None => !ip.is_loopback() || own.is_loopback(),
        Some(entry) => ip == entry || ip.is_unspecified(),
    };
    if own.port != listen.port() || !same_host {
        return Err(ConfigError::Address {
            what: format!(
                "the own entry of peers, {node_id}={own}, is not where this node listens ({listen}): \
                 correct one, or set advertise when an address is translated on the way"
            ),
        });
    }
    Ok(own.clone())
}

/// A cluster of one that listens on every interface can always be reached on this machine.
fn alone(listen: SocketAddr) -> HostPort {
    let host = match listen.ip().to_canonical() {
        IpAddr::V4(ip) if ip.is_unspecified() => "127.0.0.1".to_owned(),
        IpAddr::V6(ip) if ip.is_unspecified() => "::1".to_owned(),
        ip => ip.to_string(),
    };
    HostPort {
        host,
        port: listen.port(),
    }
}

/// Without a secret, a node of a larger cluster neither listens nor connects beyond this machine.
fn stays_on_loopback(listen: SocketAddr, advertise: &HostPort, founding: &Founding) -> Result<(), ConfigError> {
    let others: Vec<&HostPort> = match founding {
        Founding::Alone => return Ok(()),
        Founding::Peers(peers) if peers.len() == 1 => return Ok(()),
        Founding::Peers(peers) => peers.values().collect(),
        Founding::Join(seed) => vec![seed],
    };
    let beyond = |reason: String| Err(ConfigError::SecretMissing { reason });
    if let Some(peer) = others.into_iter().find(|peer| !peer.is_loopback()) {
        return beyond(peer.to_string());
    }
    if !listen.ip().to_canonical().is_loopback() {
        return beyond(format!("listen {listen}"));
    }
    if !advertise.is_loopback() {
        return beyond(format!("advertise {advertise}"));
    }
    Ok(())
}

fn limits(layer: &Layer) -> Result<Limits, ConfigError> {
    let default = Limits::default();
    let count = |said: Option<u64>, default: usize| said.map_or(default, |count| count as usize);
    let period = |said: Option<u64>, default: Duration| said.map_or(default, Duration::from_millis);
    let limits = Limits {
        connections_max: count(layer.connections_max.map(Whole::get), default.connections_max),
        connections_reserve: count(layer.connections_reserve.map(Whole::get), default.connections_reserve),
        subscriber_queue_bytes: count(
            layer.subscriber_queue_bytes.map(Whole::get),
            default.subscriber_queue_bytes,
        ),
        half_frame: period(layer.half_frame_ms.map(Whole::get), default.half_frame),
        forward: period(layer.forward_ms.map(Whole::get), default.forward),
        probe_floor: period(layer.probe_floor_ms.map(Whole::get), default.probe_floor),
        info_every: period(layer.info_every_ms.map(Whole::get), default.info_every),
        stall: period(layer.stall_ms.map(Whole::get), default.stall),
    };
    if limits.connections_reserve >= limits.connections_max {
        return Err(ConfigError::Reserve {
            reserve: limits.connections_reserve as u64,
            max: limits.connections_max as u64,
        });
    }
    Ok(limits)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use std::path::Path;

    use super::*;

    const THREE: &str = "peers = \"1=127.0.0.1:26379,2=127.0.0.1:26380,3=127.0.0.1:26381\"";
    const SPREAD: &str = "peers = \"1=10.0.0.1:26379,2=10.0.0.2:26379,3=10.0.0.3:26379\"";

    fn checked(lines: &[&str]) -> Result<ServeConfig, ConfigError> {
        ServeConfig::from_layer(Layer::from_toml(&lines.join("\n"), Path::new("test")).unwrap())
    }

    #[track_caller]
    fn refused(lines: &[&str], fault: &str) {
        let text = checked(lines).unwrap_err().to_string();
        assert!(text.contains(fault), "{lines:?}: {text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }

    fn secret() -> (tempfile::NamedTempFile, String) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "open sesame").unwrap();
        let line = format!("cluster-secret-file = \"{}\"", file.path().display());
        (file, line)
    }

    #[test]
    fn three_nodes_on_loopback_need_no_secret() {
        let config = checked(&[THREE, "node-id = 2", "listen = \"127.0.0.1:26380\""]).unwrap();
        assert_eq!(config.advertise.to_string(), "127.0.0.1:26380");
        assert!(matches!(config.founding, Founding::Peers(peers) if peers.len() == 3));
    }

    #[test]
    fn the_own_node_must_be_among_the_peers() {
        refused(
            &[THREE, "node-id = 4"],
            "node-id 4 is not among the peers (1=127.0.0.1:26379,2=",
        );
    }

    #[test]
    fn the_own_entry_must_be_where_the_node_listens() {
        refused(
            &[THREE, "node-id = 2"],
            "2=127.0.0.1:26380, is not where this node listens (127.0.0.1:26379)",
        );
        refused(&["peers = \"1=10.0.0.1:26379\""], "is not where this node listens");
        refused(&["peers = \"1=redis-control:26379\""], "is not where this node listens");
        refused(
            &["listen = \"10.0.0.2:26379\"", "peers = \"1=10.0.0.1:26379\""],
            "is not where",
        );
        refused(
            &["listen = \"0.0.0.0:26379\"", "peers = \"1=0.0.0.0:26379\""],
            "no address",
        );
        checked(&["listen = \"0.0.0.0:26379\"", "peers = \"1=10.0.0.1:26379\""]).unwrap();
        checked(&["listen = \"10.0.0.2:26379\"", "peers = \"1=redis-control:26379\""]).unwrap();
        checked(&["peers = \"1=localhost:26379\""]).unwrap();
    }

    #[test]
    fn advertise_must_be_the_own_entry_and_may_be_translated() {
        refused(
            &[THREE, "advertise = \"127.0.0.1:7\""],
            "advertise 127.0.0.1:7 differs from the own entry",
        );
        refused(&["advertise = \"0.0.0.0:7\""], "no address that others can connect to");
        let (_file, secret) = secret();
        let lines = [
            "listen = \"0.0.0.0:7\"",
            SPREAD,
            "advertise = \"10.0.0.1:26379\"",
            &secret,
        ];
        assert_eq!(checked(&lines).unwrap().advertise.to_string(), "10.0.0.1:26379");
    }

    #[test]
    fn founding_and_joining_exclude_each_other() {
        refused(
            &[THREE, "join = \"127.0.0.1:9\""],
            "peers and join contradict each other",
        );
    }

    #[test]
    fn a_node_does_not_join_itself() {
        refused(
            &["join = \"127.0.0.1:26379\""],
            "join 127.0.0.1:26379 is this node itself",
        );
        let translated = ["join = \"127.0.0.1:7\"", "advertise = \"127.0.0.1:7\""];
        refused(&translated, "join 127.0.0.1:7 is this node itself");
    }

    #[test]
    fn beyond_loopback_a_cluster_needs_a_secret() {
        refused(
            &["listen = \"10.0.0.1:26379\"", SPREAD],
            "(10.0.0.1:26379) needs a secret",
        );
        refused(&["join = \"10.0.0.1:26379\""], "(10.0.0.1:26379) needs a secret");
        refused(
            &["join = \"redis-control:26379\""],
            "(redis-control:26379) needs a secret",
        );
        refused(
            &["listen = \"0.0.0.0:26379\"", THREE],
            "(listen 0.0.0.0:26379) needs a secret",
        );
        let joining = ["join = \"127.0.0.1:9\"", "advertise = \"10.0.0.1:26379\""];
        refused(&joining, "(advertise 10.0.0.1:26379) needs a secret");
        let (_file, secret) = secret();
        checked(&["listen = \"10.0.0.1:26379\"", SPREAD, &secret]).unwrap();
    }

    #[test]
    fn a_cluster_of_one_needs_no_secret_anywhere() {
        let config = checked(&["listen = \"0.0.0.0:26379\""]).unwrap();
        assert_eq!(config.advertise.to_string(), "127.0.0.1:26379");
        assert_eq!(
            checked(&["listen = \"[::]:5\""]).unwrap().advertise.to_string(),
            "[::1]:5"
        );
        checked(&["listen = \"10.0.0.1:1\"", "peers = \"1=10.0.0.1:1\""]).unwrap();
    }

    #[test]
    fn a_node_that_joins_says_where_it_is() {
        let (_file, secret) = secret();
        let lines = ["listen = \"0.0.0.0:26379\"", "join = \"10.0.0.1:26379\"", &secret];
        refused(&lines, "says no address to others: set advertise");
        let lines = ["listen = \"10.0.0.4:26379\"", "join = \"10.0.0.1:26379\"", &secret];
        assert_eq!(checked(&lines).unwrap().advertise.to_string(), "10.0.0.4:26379");
    }

    #[test]
    fn old_proxies_have_a_port_of_their_own() {
        let config = checked(&["proxy-listen = \"0.0.0.0:26380\""]).unwrap();
        assert_eq!(config.proxy_listen.unwrap().to_string(), "0.0.0.0:26380");
        assert_eq!(config.advertise.to_string(), "127.0.0.1:26379");
        refused(
            &["proxy-listen = \"127.0.0.1:0\""],
            "proxy-listen needs a port other than 0",
        );
        let fault = "proxy-listen 127.0.0.1:26379 needs another port than listen";
        refused(&["proxy-listen = \"127.0.0.1:26379\""], fault);
        refused(
            &["proxy-listen = \"127.0.0.1:26379\"", "listen = \"0.0.0.0:26379\""],
            fault,
        );
        refused(
            &["proxy-listen = \"127.0.0.1:26379\"", "listen = \"[::1]:26379\""],
            fault,
        );
    }

    #[test]
    fn no_peer_meets_the_port_of_old_proxies_so_it_needs_no_secret() {
        checked(&[THREE, "proxy-listen = \"0.0.0.0:26390\""]).unwrap();
    }

    #[test]
    fn port_0_is_refused() {
        refused(&["listen = \"127.0.0.1:0\""], "a port other than 0");
    }

    #[test]
    fn the_reserve_leaves_room_for_clients() {
        refused(
            &["connections-max = 200", "connections-reserve = 200"],
            "must be smaller than",
        );
    }

    #[test]
    fn a_bad_secret_file_is_refused_even_on_loopback() {
        refused(
            &["cluster-secret-file = \"/does/not/exist\""],
            "cannot read /does/not/exist",
        );
    }
}
