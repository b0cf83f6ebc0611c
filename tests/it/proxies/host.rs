//! What a host's text resolves to, without asking anybody: the proxies resolve with a blocking `getaddrinfo`.

use std::net::Ipv6Addr;

/// The family of the first address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

/// `localhost` and literals resolve, nothing else does. IPv4 is read as `inet_aton` reads it, so that `0177.0.0.1`
/// is an address too.
pub(crate) fn resolve(host: &str) -> Option<Family> {
    let octets: Vec<&str> = host.split('.').collect();
    let is_number = |octet: &&str| !octet.is_empty() && octet.bytes().all(|byte| byte.is_ascii_digit());
    if host == "localhost" || (octets.len() <= 4 && octets.iter().all(is_number)) {
        Some(Family::V4)
    } else {
        host.parse::<Ipv6Addr>().is_ok().then_some(Family::V6)
    }
}

#[test]
fn literals_and_localhost_resolve() {
    for host in ["127.0.0.1", "localhost", "0000000000000000000177.0.0.1"] {
        assert_eq!(resolve(host), Some(Family::V4), "{host}");
    }
    for host in ["::1", "fe80::1"] {
        assert_eq!(resolve(host), Some(Family::V6), "{host}");
    }
    for host in [
        "",
        "no-such-host.invalid",
        "bar,address=127.0.0.1",
        "[::1]",
        "1.2.3.4.5",
    ] {
        assert_eq!(resolve(host), None, "{host}");
    }
}
