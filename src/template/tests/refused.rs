//! Each file that cannot be followed, and what its operator reads.

use std::collections::BTreeMap;

use super::{BDRP, bdrp, to, with};
use crate::template::{Dialect, Template};

#[track_caller]
fn refused(dialect: Dialect, text: &str, line: usize, words: &str) {
    let error = Template::parse(text, dialect).unwrap_err();
    assert_eq!(error.line, line, "{error}");
    assert!(error.to_string().contains(words), "{error}");
}

fn server(line: &str) -> String {
    format!("a:\n  redis: true\n  servers:\n   - {line}\n")
}

#[test]
fn what_is_no_list_of_pools_is_refused() {
    use Dialect::Nutcracker as N;
    refused(N, "", 1, "no pools");
    refused(N, "# nothing\n\n", 1, "no pools");
    refused(N, "{}", 1, "no pools");
    refused(N, "- a\n- b\n", 1, "no pools");
    refused(N, "a:\n  b: [1\nc: 2\n", 3, "not YAML");
    refused(N, "a:\n\tb: 1\n", 2, "not YAML");
    refused(N, "a: 1\n", 1, "pool 'a' has no settings");
    refused(N, "a:\n  b: 1\na:\n  b: 1\n", 3, "pool 'a' stands twice");
    refused(N, "a:\n  servers: x\n", 2, "no list");
    refused(N, "a:\n  servers:\n   - b: c\n", 3, "no list");
    refused(N, "a:\n  [b]: c\n", 2, "expected a name");
}

#[test]
fn what_the_proxies_do_not_know_is_refused() {
    use Dialect::Nutcracker as N;
    refused(N, "a: &x\n  b: 1\n", 1, "anchors and aliases");
    refused(N, "a:\n  b: 1\n  c: *x\n", 3, "");
    refused(N, "a:\n  b: !!str 1\n", 2, "tags");
    refused(N, "a:\n  b: 1\n---\nc:\n  d: 1\n", 3, "several documents");
    refused(N, &format!("a:\n  b: {}", "[".repeat(20)), 2, "levels deep");
    refused(N, &format!("a:\n  b: {}", "[".repeat(100_000)), 2, "recursion limit");
    refused(N, &format!("a:\n{}", "- ".repeat(100_000)), 2, "");
    refused(N, &"#".repeat(2 << 20), 1, "2097152 bytes");
}

#[test]
fn a_line_that_is_no_server_is_refused_with_its_number() {
    for (line, words) in [
        ("", "written plainly"),
        ("nonsense", "is no server"),
        (":1 x", "is no server"),
        (":6379:1 x", "is no server"),
        ("10.0.0.1:6379 x", "has no weight"),
        ("/run/a.sock x", "has no weight"),
        ("10.0.0.1:6379:0 x", "bad weight"),
        ("10.0.0.1:6379:-1 x", "bad weight"),
        ("10.0.0.1:6379:99999999999 x", "bad weight"),
        ("10.0.0.1:0:1 x", "bad port"),
        ("10.0.0.1:65536:1 x", "bad port"),
        ("10.0.0.1:+1:1 x", "bad port"),
        ("10.0.0.1:6379:1 x y", "is no server"),
        ("10.0.0.1:6379:1  x", "written plainly"),
        ("10.0.0.1:6379:1\tx", "written plainly"),
        ("'10.0.0.1:6379:1 x '", "written plainly"),
        ("\"10.0.0.1:6379:1\\x20x\"", "written plainly"),
        (">\n     10.0.0.1:6379:1 x", "written plainly"),
    ] {
        let where_it_begins = if line.starts_with('>') { 5 } else { 4 };
        refused(Dialect::Nutcracker, &server(line), where_it_begins, words);
    }
    let twice = "a:\n  servers:\n   - 1.1.1.1:1:1 x\n   - 1.1.1.2:1:1 y\n   - 1.1.1.3:1:1 x\n";
    refused(
        Dialect::Nutcracker,
        twice,
        5,
        "'x' stands twice in pool 'a', first on line 3",
    );
}

#[test]
fn what_bdrp_could_not_read_back_is_refused() {
    for (line, words) in [
        ("127.0.0.1:6379:1", "has no name"),
        ("127.0.0.1:6379\n     127.0.0.1:6380:1", "has no name"),
        ("x", "has no address"),
        ("x 10.0.0.1:6379", "has no weight"),
        ("x 10.0.0.1:0:1", "bad port"),
        ("x ::1:6379:1", "IPv6"),
        ("x 10.0.0.1:6379:1 fe80::1:6379:1", "IPv6"),
        ("x a-very-long-name.example.org:6379:1", "longer than the 31 bytes"),
        ("x 10.0.0.1:6379:1 y", "is no server"),
    ] {
        refused(Dialect::Bdrp, &server(line), 4, words);
    }
    refused(
        Dialect::Bdrp,
        &server("x 24-bytes-long-host.local:16379:1"),
        4,
        "longer than",
    );
    bdrp(&server("x 24-bytes-long-host.local:6379:1"));
}

#[test]
fn bdrp_is_never_given_an_ipv6_address_or_a_text_too_long_for_it() {
    let template = bdrp(BDRP);
    for placement in [
        to("[fe80::1]:6379"),
        with("10.0.0.1:6379", &["10.0.0.2:6379", "[::1]:6379"]),
    ] {
        let error = template.render(&BTreeMap::from([(0, placement)])).unwrap_err();
        assert_eq!(error.line, 4);
        assert!(error.to_string().contains("IPv6"), "{error}");
    }
    let heavy = bdrp(&server("x 1.1.1.1:1:1000000000"));
    let error = heavy
        .render(&BTreeMap::from([(0, to("100.100.100.100:10000"))]))
        .unwrap_err();
    assert!(error.to_string().contains("longer than"), "{error}");
}
