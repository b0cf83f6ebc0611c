//! The rules of BDRP's proxy, one by one. What was tried on the real one is played from `captures/` besides.

use super::super::double::outcome;
use super::*;

const CONFIRMED: &str = "*3\r\n$10\r\npsubscribe\r\n$14\r\n+switch-master\r\n:1\r\n";
const MOVED: &str = "sigma-server1:127.0.0.1:21101>127.0.0.1:21102";

fn proxy() -> Bdrp {
    let servers = [
        ("sigma-server1", "127.0.0.1:21101".to_owned()),
        ("sigma-server2", "127.0.0.1:21201".to_owned()),
    ];
    let mut proxy = Bdrp::new(&servers, 2000);
    proxy.connected();
    proxy
}

/// Subscribed, with the addresses that it began with.
fn subscribed() -> Bdrp {
    let mut proxy = proxy();
    let info = bulk("# Sentinel\r\nsentinel_masters:0\r\n\r\n\r\n");
    assert_eq!(outcome(&proxy.received(info.as_bytes())), "");
    assert_eq!(outcome(&proxy.received(CONFIRMED.as_bytes())), "");
    proxy
}

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

/// INFO with as many counted masters as lines, each line without its end.
fn info(masters: &[&str]) -> String {
    let lines: String = masters.iter().map(|line| format!("{line}\r\n")).collect();
    let count = masters.len();
    bulk(&format!(
        "# Sentinel\r\nsentinel_masters:{count}\r\nsentinel_tilt:0\r\nsentinel_running_scripts:0\r\n\
         sentinel_scripts_queue_length:0\r\n{lines}"
    ))
}

fn message(payload: &str) -> String {
    let head = "*4\r\n$8\r\npmessage\r\n$14\r\n+switch-master\r\n$14\r\n+switch-master\r\n";
    format!("{head}{}", bulk(payload))
}

#[test]
fn it_sends_70_bytes_at_once_and_then_nothing() {
    let mut proxy = Bdrp::new(&[("a-b", "10.0.0.1:1".to_owned())], 10_000);
    let request = "*2\r\n$4\r\ninfo\r\n$8\r\nsentinel\r\n*2\r\n$10\r\nPSUBSCRIBE\r\n$14\r\n+switch-master\r\n";
    assert_eq!(request.len(), 70);
    assert_eq!(proxy.connected(), [Action::Send(request.as_bytes().to_vec())]);
    assert_eq!(proxy.timer_ms(), None);
    assert_eq!(outcome(&proxy.timer()), "");
    assert_eq!(outcome(&proxy.roles(&BTreeMap::new())), "");
    assert_eq!(proxy.sentinel(), 0);
}

#[test]
fn info_is_read_by_the_place_of_its_lines() {
    let head = "# Sentinel\r\nsentinel_masters:1\r\na\r\nb\r\nc\r\n";
    let server = "master0:name=sigma-server1,status=ok,address=127.0.0.1:21102,";
    let rows = [
        (
            "line 1 is the length, 2 anything",
            format!("x\r\n{}{server}\r\n", &head[12..]),
            MOVED,
        ),
        (
            "lines 4 to 6 may be empty",
            format!("\r\nsentinel_masters:1\r\n\r\n\r\n\r\n{server}"),
            MOVED,
        ),
        (
            "one line too many before the masters",
            format!("{head}d\r\n{server}\r\n"),
            "close",
        ),
        (
            "one line too few",
            format!("x\r\nsentinel_masters:1\r\na\r\nb\r\n{server}\r\n"),
            "close",
        ),
        (
            "line 3 must be the count",
            format!("{}{server}\r\n", &head[12..]),
            "close",
        ),
        (
            "the count's name is lower case",
            "x\r\nSentinel_masters:0\r\na\r\nb\r\nc\r\n".into(),
            "close",
        ),
        (
            "the count is digits only",
            "x\r\nsentinel_masters: 0\r\na\r\nb\r\nc\r\n".into(),
            "close",
        ),
        (
            "the count is not empty",
            "x\r\nsentinel_masters:\r\na\r\nb\r\nc\r\n".into(),
            "abort",
        ),
        (
            "the count ends with CR",
            "x\r\nsentinel_masters:0\na\r\nb\r\nc\r\n".into(),
            "close",
        ),
        (
            "with none the bulk's end is a line",
            "x\r\nsentinel_masters:0\r\na\r\nb\r\n".into(),
            "",
        ),
        (
            "but one line is not enough",
            "x\r\nsentinel_masters:0\r\na\r\n".into(),
            "close",
        ),
        (
            "lines after the counted ones are not read",
            format!("{head}{server}\r\nmaster1:name=bad\r\n-\r\n"),
            MOVED,
        ),
        (
            "counted lines must be there",
            format!("{}{server}\r\n", head.replace(":1", ":2")),
            &format!("{MOVED} close"),
        ),
    ];
    for (rule, text, wanted) in rows {
        assert_eq!(outcome(&proxy().received(bulk(&text).as_bytes())), wanted, "{rule}");
    }
}

#[test]
fn a_masters_line_is_consumed_from_left_to_right() {
    let rows = [
        ("0:=sigma-server1,status=ok,=127.0.0.1:21102,", MOVED),
        (
            "master0:name=sigma-server1,status=odown,address=127.0.0.1:21102,x",
            MOVED,
        ),
        ("master0:name=sigma-server1,status=ok,address=127.0.0.1:021102,", MOVED),
        ("master0:name=sigma-server1,status=ok,address=127.0.0.1:21101,", ""),
        ("master0 name=sigma-server1,status=ok,address=127.0.0.1,", "close"),
        ("master0:name:sigma-server1,status:ok,address:1,", "close"),
        ("master0:name=sigma,status=ok,address=127.0.0.1:21102,", "close"),
        ("master0:name=sigma-server1", "close"),
        ("master0:name=sigma-server1,status=ok", "close"),
        ("master0:name=sigma-server1,status=ok,address=127.0.0.1", "close"),
        ("master0:name=sigma-server1,status=ok,address=127.0.0.1:21102", "close"),
        ("master0:name=sigma-server1,status=ok,address=127.0.0.1:2110x,", "close"),
        ("master0:name=-server1,status=ok,address=127.0.0.1:21102,", "abort"),
        ("master0:name=sigma-,status=ok,address=127.0.0.1:21102,", "abort"),
        ("master0:name=sigma-server1,status=ok,address=:21102,", "abort"),
        ("master0:name=sigma-server1,status=ok,address=127.0.0.1:,", "abort"),
        ("master0:name=sigma-server1,status=ok,address=::1:21102,", "abort"),
        ("master0:name=other-x,status=ok,address=::1:21102,", "abort"),
        ("master0:name=sigma-server1,status=ok,address=fe80::1:21102,", "close"),
        ("master0:name=other-x,status=ok,address=[::1]:21102,", "close"),
        ("master0:name=sigma-server1,status=ok,address=127.0.0.1:0,", "abort"),
        ("master0:name=sigma-server1,status=ok,address=127.0.0.1:65536,", "abort"),
        ("master0:name=other-x,status=ok,address=127.0.0.1:0,", ""),
        ("master0:name=sigma-server1-x,status=ok,address=127.0.0.1:21102,", ""),
        ("master0:name=SIGMA-server1,status=ok,address=127.0.0.1:21102,", ""),
        (
            "master0:name=sigma-server1,status=ok,address=no-such-host.invalid:21102,",
            "",
        ),
    ];
    for (line, wanted) in rows {
        assert_eq!(outcome(&proxy().received(info(&[line]).as_bytes())), wanted, "{line}");
    }
}

#[test]
fn masters_before_a_bad_line_are_applied_and_those_after_it_are_not() {
    let good = "master0:name=sigma-server1,status=ok,address=127.0.0.1:21102,";
    let other = "master2:name=sigma-server2,status=ok,address=127.0.0.1:21202,";
    let mut proxy = proxy();
    let actions = proxy.received(info(&[good, "master1:name=mymaster", other]).as_bytes());
    assert_eq!(outcome(&actions), format!("{MOVED} close"));
    assert_eq!(proxy.addresses()["sigma-server1"], "127.0.0.1:21102");
    assert_eq!(proxy.addresses()["sigma-server2"], "127.0.0.1:21201");
}

#[test]
fn a_line_must_fit_in_a_buffer() {
    let line = |bytes: usize| {
        let mut line = "master0:name=sigma-server1,status=ok,address=127.0.0.1:21102,".to_owned();
        line.push_str(&"x".repeat(bytes - line.len() - 2));
        line
    };
    for (buffer, fits) in [(16_384, 16_336), (512, 464)] {
        let mut narrow = proxy().with_buffer(buffer);
        assert_eq!(outcome(&narrow.received(info(&[&line(fits)]).as_bytes())), MOVED);
        let mut narrow = proxy().with_buffer(buffer);
        assert_eq!(outcome(&narrow.received(info(&[&line(fits + 1)]).as_bytes())), "close");
    }
}

#[test]
fn what_is_no_info_closes() {
    for reply in [
        "-LOADING x\r\n",
        "-NOAUTH x\r\n",
        "$-1\r\n",
        "*0\r\n",
        "*-1\r\n",
        "+OK\r\n",
        ":1\r\n",
        "$0\r\n\r\n",
    ] {
        let mut proxy = proxy();
        assert_eq!(outcome(&proxy.received(reply.as_bytes())), "close", "{reply:?}");
        assert_eq!((proxy.ready(), proxy.retry_ms()), (true, 2000));
    }
    assert_eq!(
        outcome(&proxy().received(CONFIRMED.as_bytes())),
        "close",
        "the confirmation before INFO"
    );
}

#[test]
fn the_confirmation_is_compared_exactly() {
    let rows = [
        (CONFIRMED.to_owned(), ""),
        (CONFIRMED.replace(":1", ":2"), "close"),
        (CONFIRMED.replace(":1", ":11"), "close"),
        (CONFIRMED.replace(":1", ":01"), "close"),
        (CONFIRMED.replace(":1", "$1\r\n1"), "close"),
        (CONFIRMED.replace("psub", "PSUB"), "close"),
        (CONFIRMED.replace("$10\r\npsubscribe", "$11\r\npsubscribeX"), "close"),
        (CONFIRMED.replace("$10\r\npsubscribe", "$9\r\nsubscribe"), "close"),
        (
            CONFIRMED.replace("$14\r\n+switch-master", "$15\r\n+switch-masterX"),
            "close",
        ),
        (CONFIRMED.replace("$14\r\n+switch-master", "$1\r\n*"), "close"),
        (CONFIRMED.replace("*3", ">3"), "close"),
        ("-ERR x\r\n".to_owned(), "close"),
        (message("sigma-server1 127.0.0.1 21101 127.0.0.1 21102"), "close"),
    ];
    for (reply, wanted) in rows {
        let mut proxy = proxy();
        assert_eq!(outcome(&proxy.received(info(&[]).as_bytes())), "");
        assert_eq!(outcome(&proxy.received(reply.as_bytes())), wanted, "{reply:?}");
    }
}

#[test]
fn a_message_is_read_by_its_lines_3_7_and_9() {
    let valid = message("sigma-server1 127.0.0.1 21101 127.0.0.1 21102");
    let rows = [
        (valid.clone(), MOVED),
        (valid.replacen("$14\r\n+switch-master", "$1\r\n*", 1), MOVED),
        (valid.replace("pmessage", "PMESSAGE"), "close"),
        (valid.replace("$8\r\npmessage", "$7\r\nmessage"), "close"),
        (
            "*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$6\r\n+sdown\r\n$3\r\na-b\r\n".to_owned(),
            "close",
        ),
        (valid.replace("-master\r\n$45", "-masteR\r\n$45"), "close"),
        (
            "*3\r\n$8\r\npmessage\r\n$14\r\n+switch-master\r\n$14\r\n+switch-master\r\n".to_owned(),
            "close",
        ),
        (CONFIRMED.to_owned(), "close"),
        ("+PONG\r\n".to_owned(), "close"),
        ("*0\r\n".to_owned(), "close"),
        ("\r\n".to_owned(), "close"),
    ];
    for (reply, wanted) in rows {
        assert_eq!(outcome(&subscribed().received(reply.as_bytes())), wanted, "{reply:?}");
    }
}

#[test]
fn a_payload_is_five_words_and_a_dash() {
    let rows = [
        ("sigma-server1 x y 127.0.0.1 21102", MOVED),
        ("sigma-server1 127.0.0.1 21101 127.0.0.1 21101", ""),
        ("sigma-server1-x 1 1 127.0.0.1 21102", ""),
        ("other-server1 1 1 127.0.0.1 0", ""),
        ("other-server1 1 1 ::1 1", ""),
        ("sigma-server1 1 1 no-such-host.invalid 1", ""),
        ("sigma-server1 1 1 ::1 1", "abort"),
        ("sigma-server1 1 1 127.0.0.1 0", "abort"),
        ("sigma-server1 1 1 127.0.0.1 70000", "abort"),
        ("sigma-server1 1 1 127.0.0.1 ", "abort"),
        ("mymaster 1 1 127.0.0.1 21102", "close"),
        ("mymaster 1 1 my-host 21102", "close"),
        ("sigma-server1 1 1 127.0.0.1 21102 ", "close"),
        ("sigma-server1 1 1 127.0.0.1 21102 x", "close"),
        ("sigma-server1 1 1 127.0.0.1  21102", "close"),
        ("sigma-server1  1 1 127.0.0.1 21102", "close"),
        ("sigma-server1 1 1 127.0.0.1", "close"),
        ("", "close"),
    ];
    for (payload, wanted) in rows {
        assert_eq!(
            outcome(&subscribed().received(message(payload).as_bytes())),
            wanted,
            "{payload:?}"
        );
    }
}

#[test]
fn replies_that_came_with_a_bad_one_are_still_handled() {
    let good = message("sigma-server1 1 1 127.0.0.1 21102");
    let actions = subscribed().received(format!("{}{good}", message("mymaster 1 1 1.1.1.1 1")).as_bytes());
    assert_eq!(outcome(&actions), format!("{MOVED} close"));
    let mut proxy = subscribed();
    assert_eq!(
        outcome(&proxy.received(format!("?{good}").as_bytes())),
        "close",
        "its parser is lost"
    );
    assert_eq!(
        outcome(&proxy.received(good.as_bytes())),
        "",
        "the connection is closed"
    );
}

#[test]
fn it_serves_whatever_becomes_of_the_sentinel_and_asks_again() {
    let mut proxy = subscribed();
    proxy.received(message("sigma-server1 1 1 127.0.0.1 21102").as_bytes());
    assert_eq!(outcome(&proxy.disconnected()), "");
    assert!(proxy.ready());
    assert_eq!(proxy.retry_ms(), 2000);
    assert_eq!(proxy.connected(), [Action::Send(REQUEST.to_vec())]);
    // An older answer is applied as any other.
    let older = info(&["master0:name=sigma-server1,status=ok,address=127.0.0.1:21101,"]);
    let back = "sigma-server1:127.0.0.1:21102>127.0.0.1:21101";
    assert_eq!(outcome(&proxy.received(older.as_bytes())), back);
}

#[test]
fn addresses_are_compared_as_texts_of_31_characters() {
    assert_eq!(pname("255.255.255.255:65535"), "255.255.255.255:65535:1");
    let mut proxy = subscribed();
    let to_name = proxy.received(message("sigma-server1 1 1 localhost 21101").as_bytes());
    assert_eq!(outcome(&to_name), "sigma-server1:127.0.0.1:21101>localhost:21101");
    let long = "0000000000000000000177.0.0.1";
    let actions = proxy.received(message(&format!("sigma-server1 1 1 {long} 21102")).as_bytes());
    assert!(
        matches!(&actions[0], Action::Warn(why) if why.contains("will not load")),
        "{actions:?}"
    );
    let same = proxy.received(message(&format!("sigma-server1 1 1 {long} 21999")).as_bytes());
    assert_eq!(same, [], "the ports are cut off after two digits");
}

#[test]
fn after_an_abort_nothing_is_left() {
    let mut proxy = subscribed();
    assert_eq!(
        outcome(&proxy.received(message("sigma-server1 1 1 ::1 1").as_bytes())),
        "abort"
    );
    assert!(!proxy.ready());
    assert_eq!(proxy.connected(), []);
    assert_eq!(proxy.received(b"+OK\r\n"), []);
    assert_eq!(proxy.closed_at_once(), []);
}
