//! The file: changed as a whole or not at all, never without its check, never without its restart.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use cfgserver::agent::{Outcome, Table};

use super::place::{Place, TEMPLATE, eventually, home, moved, one_at, open, refused, table};

#[tokio::test]
async fn a_move_changes_one_address_and_restarts_the_proxy_once() {
    let place = Place::new();
    let mut outlet = open(&place.restarted("")).await;
    assert_eq!(outlet.groups(), ["one", "two"].map(str::to_owned).into());
    assert_eq!(outlet.begin(&home()).await, Outcome::Unchanged);
    assert_eq!(
        (place.read("proxy.yml").as_str(), place.count("restarted")),
        (TEMPLATE, 0)
    );
    let outcome = outlet.apply(&one_at("10.0.0.9:7000", 2)).await;
    assert_eq!(moved(&outcome), ["alpha/one 10.0.0.1:6379 10.0.0.9:7000"]);
    assert_eq!(
        place.read("proxy.yml"),
        TEMPLATE.replace("10.0.0.1:6379", "10.0.0.9:7000")
    );
    assert_eq!(
        place.read("restarted").trim(),
        place.path("proxy.yml").to_str().unwrap()
    );
    assert_eq!(outlet.apply(&one_at("10.0.0.9:7000", 3)).await, Outcome::Unchanged);
    assert_eq!((place.count("checked"), place.count("restarted")), (1, 1));
    let expected = [
        "agent.toml",
        "check",
        "checked",
        "proxy.yml",
        "restart",
        "restarted",
        "state",
    ];
    assert_eq!(place.names(), expected[1..], "nothing is left behind");
    let status = outlet.status();
    assert!(status.written.is_some() && status.restarted.is_some() && status.fault.is_none());
}

#[tokio::test]
async fn mode_owner_and_a_link_stay() {
    let place = Place::new();
    fs::rename(place.path("proxy.yml"), place.path("real.yml")).unwrap();
    symlink("real.yml", place.path("proxy.yml")).unwrap();
    fs::set_permissions(place.path("real.yml"), fs::Permissions::from_mode(0o640)).unwrap();
    let before = fs::metadata(place.path("real.yml")).unwrap();
    let mut outlet = open(&place.restarted("")).await;
    moved(&outlet.apply(&one_at("10.0.0.9:7000", 2)).await);
    assert!(place.path("proxy.yml").is_symlink());
    assert!(place.read("real.yml").contains("10.0.0.9:7000"));
    let after = fs::metadata(place.path("real.yml")).unwrap();
    assert_eq!(
        (before.mode(), before.uid(), before.gid()),
        (after.mode(), after.uid(), after.gid())
    );
    assert_ne!(before.ino(), after.ino(), "replaced, not written over");
}

#[tokio::test]
async fn what_the_check_refuses_is_never_installed() {
    let place = Place::new();
    place.script("check", "grep . $1 > seen; echo 'no  such'; echo thing >&2; exit 3");
    let mut outlet = open(&place.restarted("")).await;
    let reason = refused(&outlet.apply(&one_at("10.0.0.9:7000", 2)).await);
    assert!(
        reason.contains("ended with code 3: no  such | thing") || reason.contains("thing | no  such"),
        "{reason}"
    );
    assert!(place.read("seen").contains("10.0.0.9:7000"), "it saw the new file");
    assert_eq!(
        (place.read("proxy.yml").as_str(), place.count("restarted")),
        (TEMPLATE, 0)
    );
    assert!(!place.names().iter().any(|name| name.contains("cfgserver-new")));
    assert_eq!(outlet.status().fault, Some(reason));
    place.script("check", "true");
    moved(&outlet.apply(&one_at("10.0.0.9:7000", 2)).await);
    assert_eq!(outlet.status().fault, None);
}

#[tokio::test]
async fn a_check_that_cannot_run_or_hangs_installs_nothing() {
    let place = Place::new();
    fs::remove_file(place.path("check")).unwrap();
    let mut outlet = open(&place.restarted("")).await;
    let reason = refused(&outlet.apply(&one_at("10.0.0.9:7000", 2)).await);
    assert!(reason.contains("cannot run './check "), "{reason}");
    place.script("check", "echo waiting; sleep 600");
    let reason = refused(&outlet.apply(&one_at("10.0.0.9:7000", 2)).await);
    assert!(
        reason.contains("took longer than 5000 ms and was ended: waiting"),
        "{reason}"
    );
    assert_eq!(place.read("proxy.yml"), TEMPLATE);
}

#[tokio::test]
async fn a_failed_restart_is_told_and_tried_again_also_by_the_next_agent() {
    let place = Place::new();
    place.script("restart", "echo x >> restarted; echo broken; exit 1");
    let config = place.restarted("");
    let mut outlet = open(&config).await;
    for turn in 1..3 {
        let reason = refused(&outlet.apply(&one_at("10.0.0.9:7000", 2)).await);
        assert!(
            reason.contains("the file is in place") && reason.contains("code 1: broken"),
            "{reason}"
        );
        assert_eq!((place.count("restarted"), place.count("checked")), (turn, 1));
    }
    outlet.stop().await;
    place.script("restart", "echo x >> restarted");
    let mut next = open(&config).await;
    assert_eq!(moved(&next.begin(&one_at("10.0.0.9:7000", 2)).await), [""; 0]);
    assert_eq!(next.apply(&one_at("10.0.0.9:7000", 2)).await, Outcome::Unchanged);
    assert_eq!(place.count("restarted"), 3);
}

#[tokio::test]
async fn a_restart_that_leaves_the_proxy_in_the_background_is_not_waited_for() {
    let place = Place::new();
    place.script("restart", "sleep 30 & echo $! > pid");
    let mut outlet = open(&place.restarted("")).await;
    let outcome = outlet.apply(&one_at("10.0.0.9:7000", 2)).await;
    let Outcome::Applied { proxy_down_ms, .. } = outcome else {
        panic!("{outcome:?}")
    };
    assert!(proxy_down_ms < 10_000, "{proxy_down_ms}");
    let pid = place.read("pid").trim().to_owned();
    assert!(fs::exists(format!("/proc/{pid}/exe")).unwrap(), "it goes on");
    std::process::Command::new("kill").arg(pid).status().unwrap();
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_leaves_the_old_file_until_it_can() {
    let place = Place::new();
    let mut outlet = open(&place.restarted("")).await;
    // The place of the new file is taken by a folder: also root cannot write there.
    fs::create_dir_all(place.path(".proxy.yml.cfgserver-new/x")).unwrap();
    let reason = refused(&outlet.apply(&one_at("10.0.0.9:7000", 2)).await);
    assert!(
        reason.starts_with("cannot write ") && reason.contains("proxy.yml"),
        "{reason}"
    );
    assert_eq!(
        (place.read("proxy.yml").as_str(), place.count("restarted")),
        (TEMPLATE, 0)
    );
    fs::remove_dir_all(place.path(".proxy.yml.cfgserver-new")).unwrap();
    moved(&outlet.apply(&one_at("10.0.0.9:7000", 2)).await);
}

#[tokio::test]
async fn what_a_killed_agent_left_beside_the_file_is_replaced_and_never_followed() {
    let place = Place::new();
    place.write("precious", "untouched");
    symlink("precious", place.path(".proxy.yml.cfgserver-new")).unwrap();
    let mut outlet = open(&place.restarted("")).await;
    moved(&outlet.apply(&one_at("10.0.0.9:7000", 2)).await);
    assert_eq!(place.read("precious"), "untouched");
    assert!(!place.path("proxy.yml").is_symlink());
}

#[tokio::test]
async fn a_group_that_is_not_known_keeps_the_address_that_the_proxy_has() {
    let place = Place::new();
    place.write("out.yml", &TEMPLATE.replace("10.0.0.2:6379", "10.0.0.8:6379"));
    let mut outlet = open(&place.restarted("output = \"out.yml\"")).await;
    assert_eq!(outlet.begin(&Table::default()).await, Outcome::Unchanged);
    let only_one = table(&[("one", "10.0.0.9:7000", 2, &[])]);
    assert_eq!(
        moved(&outlet.apply(&only_one).await),
        ["alpha/one 10.0.0.1:6379 10.0.0.9:7000"]
    );
    let expected = TEMPLATE
        .replace("10.0.0.1:6379", "10.0.0.9:7000")
        .replace("10.0.0.2:6379", "10.0.0.8:6379");
    assert_eq!(place.read("out.yml"), expected);
    assert_eq!(place.read("proxy.yml"), TEMPLATE, "the template is the operator's");
}

#[tokio::test]
async fn a_missing_or_foreign_output_is_written_from_the_template() {
    let place = Place::new();
    let config = place.restarted("output = \"out.yml\"");
    let mut outlet = open(&config).await;
    moved(&outlet.begin(&Table::default()).await);
    assert_eq!(place.read("out.yml"), TEMPLATE);
    for damage in ["", "\0\0\0", "a: [", "alpha:\n  servers: x\n"] {
        place.write("out.yml", damage);
        moved(&outlet.apply(&Table::default()).await);
        assert_eq!(place.read("out.yml"), TEMPLATE);
    }
}

#[tokio::test]
async fn an_agent_that_is_stopped_meanwhile_leaves_no_restart_half_done() {
    let place = Place::new();
    place.script(
        "restart",
        "echo begun >> restarted; sleep 0.3; echo done; echo done >> restarted",
    );
    let mut outlet = open(&place.restarted("")).await;
    tokio::select! {
        outcome = async { outlet.apply(&one_at("10.0.0.9:7000", 2)).await } => panic!("{outcome:?}"),
        () = eventually("it has begun", || place.count("restarted") == 1) => {}
    }
    outlet.stop().await;
    assert_eq!(place.read("restarted"), "begun\ndone\n");
}
