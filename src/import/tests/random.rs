//! Files that nobody would write.

use proptest::prelude::*;

use super::*;

/// Lines that mean something, with one group or another, and some that do not.
fn any_file() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        4 => prop::sample::select(vec!["a", "b", "10.0.0.1", "::1", "6379", "2", "1", "yes", "host", "\"\"", "'x y'"]),
        1 => prop::sample::select(vec!["-1", "#", "\"", "'", "\\x41", "99999999999999999999", "\u{fc}", "\0"]),
    ];
    let start = prop::sample::select(vec![
        "sentinel monitor a 10.0.0.1 6379 2",
        "sentinel monitor",
        "sentinel down-after-milliseconds",
        "sentinel failover-timeout",
        "sentinel parallel-syncs",
        "sentinel auth-pass",
        "sentinel auth-user",
        "sentinel rename-command",
        "sentinel known-replica",
        "sentinel known-sentinel",
        "sentinel config-epoch",
        "sentinel notification-script",
        "sentinel resolve-hostnames",
        "sentinel announce-port",
        "sentinel",
        "port",
        "bind",
        "user",
        "#",
        "",
    ]);
    let line =
        (start, prop::collection::vec(word, 0..5)).prop_map(|(start, words)| format!("{start} {}", words.join(" ")));
    prop::collection::vec(line, 0..12).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn any_file_is_refused_or_gives_the_same_plan_twice(text in any_file()) {
        let once = parse_conf(text.as_bytes());
        prop_assert_eq!(&once, &parse_conf(text.as_bytes()));
        let lines = text.split('\n').count();
        match once {
            Ok(source) => {
                let plan = |wish: &Wish| Plan::new(&source, &empty(3), wish).to_text();
                prop_assert_eq!(plan(&Wish::default()), plan(&Wish::default()));
            }
            Err(faults) => {
                prop_assert!(!faults.is_empty());
                prop_assert!(faults.iter().all(|fault| (1..=lines).contains(&fault.line)), "{:?}", faults);
            }
        }
    }

    #[test]
    fn any_bytes_are_a_file_or_a_fault(text in prop::collection::vec(any::<u8>(), 0..300)) {
        _ = parse_conf(&text);
    }

    #[test]
    fn a_secret_is_in_no_plan_and_no_fault(secret in "[A-Z]{12}", rest in any_file(), broken in any::<bool>()) {
        let quote = if broken { "\"" } else { "" };
        let text = format!(
            "sentinel monitor z 10.7.0.1 6379 2\nsentinel auth-pass z {secret}{quote}\nrequirepass {secret}\n{rest}"
        );
        let shown = match parse_conf(text.as_bytes()) {
            Ok(source) => format!("{source:?}{}", Plan::new(&source, &empty(3), &Wish::default()).to_text()),
            Err(faults) => format!("{faults:?}"),
        };
        prop_assert!(!shown.contains(&secret), "{}", shown);
        let unknown = format!("{secret} {secret}\nsentinel {secret}\nsentinel auth-pass {secret} {secret}");
        let shown = format!("{:?}", parse_conf(unknown.as_bytes()));
        prop_assert!(!shown.contains(&secret), "{}", shown);
    }
}
