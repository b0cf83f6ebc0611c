//! The proxy as the agent's child: always one, always with the newest file.

use std::os::unix::process::CommandExt;
use std::process::Command;

use cfgserver::agent::{Config, Outcome, Table};

use super::place::{Place, TEMPLATE, eventually, home, moved, one_at, open, refused};

/// Writes down its file and its process id, and stays.
const STAYS: &str = "cp $1 ran_with; echo $$ >> started; exec sleep 600";

fn place(body: &str) -> (Place, Config) {
    let place = Place::new();
    place.script("proxy", body);
    let config = place.proxy("run = [\"./proxy\", \"{file}\"]");
    (place, config)
}

/// The process that was the last of so many to write its id down.
async fn started(place: &Place, count: usize) -> u32 {
    eventually("it has started", || place.count("started") == count).await;
    place.read("started").lines().last().unwrap().parse().unwrap()
}

fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

#[tokio::test]
async fn it_is_started_when_nothing_is_known_and_ends_with_the_agent() {
    let (place, config) = place(STAYS);
    let mut outlet = open(&config).await;
    moved(&outlet.begin(&Table::default()).await);
    let child = started(&place, 1).await;
    assert!(lives(child));
    assert_eq!(outlet.status().child.unwrap().pid, Some(child));
    assert_eq!(place.read("ran_with"), TEMPLATE);
    assert_eq!(outlet.apply(&home()).await, Outcome::Unchanged);
    outlet.stop().await;
    assert!(!lives(child));
    assert_eq!(place.count("started"), 1);
}

#[tokio::test]
async fn a_change_replaces_it_and_there_are_never_two() {
    let (place, config) = place(STAYS);
    let mut outlet = open(&config).await;
    outlet.begin(&home()).await;
    let first = started(&place, 1).await;
    moved(&outlet.apply(&one_at("10.0.0.9:7000", 2)).await);
    assert!(!lives(first));
    assert!(lives(started(&place, 2).await));
    assert!(place.read("ran_with").contains("10.0.0.9:7000"));
    outlet.stop().await;
}

#[tokio::test]
async fn it_starts_with_its_last_file_when_a_better_one_is_refused() {
    let (place, config) = place(STAYS);
    place.script("check", "exit 1");
    let mut outlet = open(&config).await;
    refused(&outlet.begin(&one_at("10.0.0.9:7000", 2)).await);
    assert!(lives(started(&place, 1).await));
    assert_eq!(place.read("ran_with"), TEMPLATE);
    place.script("check", "true");
    moved(&outlet.apply(&one_at("10.0.0.9:7000", 2)).await);
    started(&place, 2).await;
    assert!(place.read("ran_with").contains("10.0.0.9:7000"));
    outlet.stop().await;
}

#[tokio::test]
async fn one_that_ends_by_itself_is_started_again() {
    let (place, config) = place(STAYS);
    let mut outlet = open(&config).await;
    outlet.begin(&home()).await;
    let first = started(&place, 1).await;
    Command::new("kill").args(["-9", &first.to_string()]).status().unwrap();
    let second = started(&place, 2).await;
    assert!(lives(second));
    assert_eq!(outlet.status().child.unwrap().pid, Some(second));
    let child = outlet.status().child.unwrap();
    assert_eq!(child.revived, 1);
    assert!(child.last_end.unwrap().contains("was ended by signal 9"));
    outlet.stop().await;
}

#[tokio::test]
async fn one_that_ends_right_after_a_change_is_told_and_kept_trying_less_and_less_often() {
    let (place, config) = place("echo $$ >> started; grep -q 10.0.0.9 $1 && exit 7; exec sleep 600");
    let mut outlet = open(&config).await;
    outlet.begin(&home()).await;
    started(&place, 1).await;
    let reason = refused(&outlet.apply(&one_at("10.0.0.9:7000", 2)).await);
    assert!(
        reason.contains("the file is in place") && reason.contains("ended with code 7"),
        "{reason}"
    );
    eventually("tried again", || place.count("started") >= 4).await;
    assert!(place.count("started") <= 6, "with growing pauses");
    // The keeper tries; to apply the same again must not add to it.
    assert_eq!(outlet.apply(&one_at("10.0.0.9:7000", 2)).await, Outcome::Unchanged);
    moved(&outlet.apply(&one_at("10.0.0.8:7000", 3)).await);
    let child = outlet.status().child.unwrap().pid;
    assert!(child.is_some_and(lives));
    outlet.stop().await;
}

#[tokio::test]
async fn one_that_does_not_end_when_asked_is_killed_with_its_own_children() {
    let (place, config) = place("trap '' TERM; sleep 600 & echo $! > grandchild; echo $$ >> started; wait; sleep 600");
    let mut outlet = open(&config).await;
    outlet.begin(&home()).await;
    let (child, grandchild) = (
        started(&place, 1).await,
        place.read("grandchild").trim().parse().unwrap(),
    );
    outlet.stop().await;
    assert!(!lives(child));
    eventually("nothing is left", || !lives(grandchild)).await;
}

#[tokio::test]
async fn what_a_killed_agent_left_running_is_ended_first_and_nobody_else() {
    let (place, config) = place(STAYS);
    let identity = |pid: u32, off: u64| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields = stat.rsplit_once(") ").unwrap().1;
        let start: u64 = fields.split(' ').nth(19).unwrap().parse().unwrap();
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        format!(r#"{{"pid":{pid},"start":{},"boot":"{}"}}"#, start + off, boot.trim())
    };
    std::fs::create_dir(place.path("state")).unwrap();
    for (count, off, survives) in [(1, 0, false), (2, 1, true)] {
        let mut left = Command::new("sleep").arg("600").process_group(0).spawn().unwrap();
        place.write("state/child.json", &identity(left.id(), off));
        let mut outlet = open(&config).await;
        moved(&outlet.begin(&home()).await);
        assert_eq!(lives(left.id()), survives, "started {off} ticks off");
        assert!(lives(started(&place, count).await));
        outlet.stop().await;
        assert!(!place.path("state/child.json").exists());
        left.kill().unwrap();
        left.wait().unwrap();
    }
}

#[tokio::test]
async fn a_program_that_is_not_there_is_told() {
    let (place, config) = place(STAYS);
    std::fs::remove_file(place.path("proxy")).unwrap();
    let mut outlet = open(&config).await;
    let reason = refused(&outlet.begin(&home()).await);
    assert!(reason.contains("cannot run './proxy "), "{reason}");
    place.script("proxy", STAYS);
    eventually("it runs once it is there", || place.count("started") == 1).await;
    outlet.stop().await;
}
