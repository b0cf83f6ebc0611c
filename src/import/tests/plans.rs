//! What there is to do, and what is refused.

use super::*;

#[test]
fn what_the_cluster_has_already_is_nothing_to_do() {
    let present = having("a", "10.0.0.1:6379", &[]);
    assert_eq!(deed(ONE, &present, &Wish::default()), Deed::Nothing);
    assert_eq!(deed(ONE, &present, &in_mode(Mode::Manage)), Deed::Nothing);
}

#[test]
fn only_settings_that_differ_are_set() {
    let present = having("a", "10.0.0.1:6379", &[("quorum", "3"), ("failover-timeout", "5")]);
    let plan = Plan::new(&parsed(ONE), &present, &in_mode(Mode::Observe));
    let request = "SENTINEL SET a quorum 2 mode observe failover-timeout 180000";
    assert_eq!(plan.groups[0].requests(), [request.split(' ').collect::<Vec<_>>()]);
    assert!(
        plan.to_text()
            .contains("~ a: set\n    quorum 3 -> 2, mode manage -> observe, failover-timeout 5 -> 180000\n"),
        "{}",
        plan.to_text()
    );
}

#[test]
fn names_of_commands_are_compared_set_and_taken_back() {
    let text = format!("{ONE}sentinel rename-command a CONFIG mine\nsentinel rename-command a slaveof obey\n");
    let same = having("a", "10.0.0.1:6379", &[("rename-command", "config=mine,slaveof=obey")]);
    assert_eq!(deed(&text, &same, &Wish::default()), Deed::Nothing);
    let other = having("a", "10.0.0.1:6379", &[("rename-command", "client=x,config=yours")]);
    let plan = Plan::new(&parsed(&text), &other, &Wish::default());
    let request = "SENTINEL SET a rename-command client client rename-command config mine rename-command slaveof obey";
    assert_eq!(plan.groups[0].requests(), [request.split(' ').collect::<Vec<_>>()]);
    let none = parsed(ONE);
    assert!(
        Plan::new(&none, &other, &Wish::default()).is_done(),
        "what the file does not say is left"
    );
    let faults = parse_conf(format!("{ONE}sentinel rename-command a config \"\"").as_bytes()).unwrap_err();
    assert_eq!(faults[0].to_string(), "2: rename-command: a name is empty");
}

#[test]
fn scripts_are_taken_over_where_the_nodes_run_them() {
    let text = format!("{ONE}sentinel notification-script a /bin/true\nsentinel client-reconfig-script a /bin/x\n");
    let mut present = having("a", "10.0.0.1:6379", &[("notification-script", "/bin/true")]);
    let plan = Plan::new(&parsed(&text), &present, &Wish::default());
    assert!(plan.is_done(), "{}", plan.to_text());
    assert!(
        plan.to_text()
            .contains("note: client-reconfig-script is not taken over"),
        "{}",
        plan.to_text()
    );
    present.runs_scripts = true;
    let plan = Plan::new(&parsed(&text), &present, &Wish::default());
    let request = "SENTINEL SET a client-reconfig-script /bin/x";
    assert_eq!(plan.groups[0].requests(), [request.split(' ').collect::<Vec<_>>()]);
}

#[test]
fn what_is_written_down_can_be_read_again() {
    let settings = [
        ("rename-command", "config=mine,slaveof=obey"),
        ("notification-script", "/opt/my script"),
    ];
    let mut present = having("a", "10.0.0.1:6379", &settings);
    present.runs_scripts = true;
    let plan = Plan::new(&parsed(&export(&present)), &present, &Wish::default());
    assert!(plan.is_done(), "{}", plan.to_text());
}

#[test]
fn a_group_keeps_its_mode_until_one_is_asked_for_and_a_new_one_observes() {
    let mode_of = |deed: &Deed| match deed {
        Deed::Monitor { settings, .. } => settings[0].1.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(mode_of(&deed(ONE, &empty(3), &Wish::default())), "observe");
    assert_eq!(mode_of(&deed(ONE, &empty(3), &in_mode(Mode::Manage))), "manage");
    let observing = having("a", "10.0.0.1:6379", &[("mode", "observe")]);
    assert_eq!(deed(ONE, &observing, &Wish::default()), Deed::Nothing);
    let plan = Plan::of_modes(&observing, Mode::Manage, &Wish::default());
    assert_eq!(plan.groups[0].requests(), [["SENTINEL", "SET", "a", "mode", "manage"]]);
    assert!(Plan::of_modes(&observing, Mode::Observe, &Wish::default()).is_done());
}

#[test]
fn a_password_that_is_there_is_left_unless_it_shall_be_set() {
    let text = format!("{ONE}sentinel auth-pass a hush\n");
    let bare = having("a", "10.0.0.1:6379", &[]);
    assert!(matches!(deed(&text, &bare, &Wish::default()), Deed::Set(changes) if changes.len() == 1));
    let set = having("a", "10.0.0.1:6379", &[("auth-pass", "******")]);
    let plan = Plan::new(&parsed(&text), &set, &Wish::default());
    assert!(
        plan.is_done() && plan.to_text().contains("cannot be compared"),
        "{}",
        plan.to_text()
    );
    let wish = Wish {
        secrets: Secrets::Set,
        ..Wish::default()
    };
    let plan = Plan::new(&parsed(&text), &set, &wish);
    assert!(!plan.is_done() && plan.is_done_but_for_secrets());
    assert_eq!(
        plan.groups[0].requests(),
        [["SENTINEL", "SET", "a", "auth-pass", "hush"]]
    );
    assert!(plan.to_text().contains("auth-pass ****** -> ******") && !plan.to_text().contains("hush"));
}

#[test]
fn a_password_from_elsewhere_is_for_groups_without_one() {
    let wish = Wish {
        auth: vec![
            ("auth-user", Value::Open("u".to_owned())),
            ("auth-pass", Value::Secret("p".to_owned())),
        ],
        ..Wish::default()
    };
    let words = |text: &str| Plan::new(&parsed(text), &empty(3), &wish).groups[0].requests()[0].join(" ");
    assert!(words(ONE).ends_with("auth-user u auth-pass p"));
    let own = words(&format!("{ONE}sentinel auth-pass a own"));
    assert!(own.contains("auth-pass own") && !own.contains("auth-user"), "{own}");
}

#[test]
fn a_group_elsewhere_is_refused_unless_it_shall_be_replaced() {
    let replica = having("a", "10.0.0.7:6379", &[]);
    let Deed::Refused(why) = deed("sentinel monitor a 10.9.9.9 6379 2", &replica, &Wish::default()) else {
        panic!("not refused");
    };
    assert!(
        why.contains("10.0.0.7:6379") && why.contains("a replica there") && why.contains("--replace"),
        "{why}"
    );
    let Deed::Refused(why) = deed(ONE, &replica, &Wish::default()) else {
        panic!("not refused");
    };
    assert!(why.contains("does not know"), "{why}");
    let wish = Wish {
        elsewhere: Elsewhere::Replace,
        ..Wish::default()
    };
    let plan = Plan::new(&parsed(ONE), &replica, &wish);
    let requests = plan.groups[0].requests();
    assert_eq!(requests[0], ["SENTINEL", "REMOVE", "a"]);
    assert!(
        requests[1]
            .join(" ")
            .starts_with("CFG MONITOR a 10.0.0.1 6379 2 mode manage "),
        "{requests:?}"
    );
    let guarded = having("a", "10.0.0.7:6379", &[("auth-pass", "******")]);
    assert!(matches!(deed(ONE, &guarded, &wish), Deed::Refused(why) if why.contains("would lose")));
}

#[test]
fn a_host_name_is_taken_over_as_one() {
    const NAMED: &str = "sentinel monitor a Redis.example.com 6379 2";
    let plan = Plan::new(&parsed(NAMED), &empty(3), &Wish::default());
    let requests = plan.groups[0].requests();
    assert_eq!(requests[0].join(" "), "SENTINEL CONFIG SET resolve-hostnames yes");
    let monitor = "CFG MONITOR a redis.example.com 6379 2 mode observe ";
    assert!(requests[1].join(" ").starts_with(monitor), "{requests:?}");
    let mut present = having("a", "10.0.0.1:6379", &[("quorum", "2")]);
    assert!(
        matches!(deed(NAMED, &present, &Wish::default()), Deed::Refused(_)),
        "it may be anybody"
    );
    let standing = present.groups.values_mut().next().unwrap();
    standing.host = "redis.example.com".to_owned();
    assert!(matches!(deed(NAMED, &present, &Wish::default()), Deed::Nothing));
    assert!(
        matches!(deed(ONE, &present, &Wish::default()), Deed::Nothing),
        "by its address"
    );
    let written = crate::import::export(&present);
    assert!(
        written.contains("\nsentinel monitor a redis.example.com 6379 2\n"),
        "{written}"
    );
    assert!(written.contains("sentinel resolve-hostnames yes\n"));
}

#[test]
fn what_the_cluster_cannot_have_is_refused() {
    let refused = |text: &str, present: &Present| match deed(text, present, &Wish::default()) {
        Deed::Refused(why) => why,
        other => panic!("{other:?}"),
    };
    let other = having("b", "10.0.0.1:6379", &[]);
    assert_eq!(refused(ONE, &other), "10.0.0.1:6379 belongs to group b of the cluster");
    let replica = refused("sentinel monitor a 10.9.9.9 6379 2", &other);
    assert_eq!(replica, "10.9.9.9:6379 belongs to group b of the cluster");
    let both = format!("{ONE}sentinel monitor b 10.0.0.1 6379 2");
    let plan = Plan::new(&parsed(&both), &empty(3), &Wish::default());
    assert!(plan.is_refused());
    assert!(matches!(&plan.groups[0].deed, Deed::Monitor { .. }));
    assert!(matches!(&plan.groups[1].deed, Deed::Refused(why) if why.contains("group a as well")));
}

#[test]
fn a_quorum_is_kept_unless_the_nodes_cannot_reach_it() {
    let quorum = |wanted: u32, nodes: u32| {
        let text = format!("sentinel monitor a 10.0.0.1 6379 {wanted}");
        let plan = Plan::new(&parsed(&text), &empty(nodes), &Wish::default());
        let Deed::Monitor { quorum, .. } = plan.groups[0].deed else {
            panic!()
        };
        (quorum, plan.groups[0].notes.len())
    };
    assert_eq!(
        [quorum(1, 3), quorum(2, 3), quorum(3, 5), quorum(1, 1)],
        [(1, 0), (2, 0), (3, 0), (1, 0)]
    );
    assert_eq!([quorum(4, 3), quorum(2, 1), quorum(9, 5)], [(2, 1), (1, 1), (3, 1)]);
    assert_eq!(quorum(3, 3), (3, 1), "kept, and told that no node may be down");
}

#[test]
fn only_the_groups_that_are_asked_for_are_planned() {
    let text = "sentinel monitor a-1 10.0.0.1 1 1\nsentinel monitor a-2 10.0.0.1 2 1\nsentinel monitor b 10.0.0.1 3 1";
    let wish = |patterns: &[&str]| Wish {
        only: patterns.iter().map(|pattern| (*pattern).to_owned()).collect(),
        ..Wish::default()
    };
    let plan = Plan::new(&parsed(text), &empty(1), &wish(&["a-*"]));
    assert_eq!((plan.groups.len(), plan.left_out), (2, 1));
    assert!(plan.summary().ends_with("1 not asked for"));
    let plan = Plan::new(&parsed(text), &empty(1), &wish(&["a-[2-9]", "b"]));
    assert_eq!(
        plan.groups.iter().map(|group| group.name.as_str()).collect::<Vec<_>>(),
        ["a-2", "b"]
    );
}
