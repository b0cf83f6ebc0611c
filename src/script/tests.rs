use super::*;
use crate::model::{Age, Event, EventKind, GroupConfig, Instant, Mode};
use crate::sentinel::publish;

const RETRY_MS: Age = 30_000;

fn words(name: &str) -> Words {
    vec![name.to_owned(), "+sdown".to_owned()]
}

fn full(count: usize) -> Queue {
    let mut queue = Queue::default();
    for number in 0..count {
        assert_eq!(queue.add(words(&format!("/s{number}")), Instant(0)), None);
    }
    queue
}

#[test]
fn sixteen_run_at_once_in_the_order_of_their_asking() {
    let mut queue = full(20);
    let started: Vec<(JobId, Words)> = std::iter::from_fn(|| queue.start(Instant(5))).collect();
    let names: Vec<&str> = started.iter().map(|(_, words)| words[0].as_str()).collect();
    assert_eq!(names.len(), Queue::RUNNING_MAX);
    assert_eq!((names[0], names[15]), ("/s0", "/s15"));
    assert_eq!(
        queue.ended(started[3].0, End::Code(0), Instant(6), RETRY_MS),
        Verdict::Done
    );
    assert_eq!(queue.start(Instant(6)).unwrap().1, words("/s16"));
    assert_eq!(queue.start(Instant(6)), None);
    assert_eq!((queue.running(), queue.pending().len()), (16, 19));
}

#[test]
fn a_full_queue_gives_up_the_oldest_that_does_not_run() {
    let mut queue = full(Queue::JOBS_MAX);
    queue.start(Instant(0)).unwrap();
    assert_eq!(queue.add(words("/new"), Instant(0)), Some(words("/s1")));
    let pending = queue.pending();
    assert_eq!(pending.len(), Queue::JOBS_MAX);
    assert_eq!(pending[0].words, words("/s0"));
    assert_eq!(pending[255].words, words("/new"));
}

#[test]
fn code_one_and_signals_are_tried_again_ten_times_with_a_pause_that_doubles() {
    for end in [End::Code(1), End::Signal(9)] {
        let mut queue = full(1);
        let mut now = Instant(0);
        let mut pauses = Vec::new();
        let given_up = loop {
            let (id, _) = queue.start(now).unwrap();
            match queue.ended(id, end, now, RETRY_MS) {
                Verdict::Again(pause_ms) => {
                    pauses.push(pause_ms / RETRY_MS);
                    assert_eq!(queue.start(now.plus(pause_ms - 1)), None);
                    assert_eq!(queue.wake_at(60_000), Some(now.plus(pause_ms)));
                    now = now.plus(pause_ms);
                }
                other => break other,
            }
        };
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256]);
        assert_eq!(given_up, Verdict::GivenUp(words("/s0")));
        assert_eq!(queue.pending(), []);
    }
}

#[test]
fn zero_is_done_and_two_is_given_up_at_once() {
    for (code, verdict) in [
        (0, Verdict::Done),
        (2, Verdict::GivenUp(words("/s0"))),
        (255, Verdict::GivenUp(words("/s0"))),
    ] {
        let mut queue = full(1);
        let (id, _) = queue.start(Instant(0)).unwrap();
        assert_eq!(queue.ended(id, End::Code(code), Instant(1), RETRY_MS), verdict);
        assert_eq!(queue.ended(id, End::Code(code), Instant(1), RETRY_MS), Verdict::Gone);
    }
}

#[test]
fn what_takes_too_long_is_named_once_and_waits_like_a_failure() {
    let mut queue = full(1);
    let (id, _) = queue.start(Instant(100)).unwrap();
    assert_eq!(queue.wake_at(60_000), Some(Instant(60_101)));
    assert_eq!(queue.overdue(Instant(60_101), 60_000), [], "it has no process yet");
    queue.started(id, 77);
    assert_eq!(queue.overdue(Instant(60_100), 60_000), []);
    assert_eq!(queue.overdue(Instant(60_101), 60_000), [("/s0".to_owned(), 77)]);
    assert_eq!(queue.overdue(Instant(60_102), 60_000), []);
    assert_eq!(queue.wake_at(60_000), None, "only its end is waited for");
    assert_eq!(
        queue.ended(id, End::Signal(9), Instant(60_200), RETRY_MS),
        Verdict::Again(RETRY_MS)
    );
    let (id, _) = queue.start(Instant(90_200)).unwrap();
    queue.started(id, 78);
    assert_eq!(queue.overdue(Instant(150_201), 60_000), [("/s0".to_owned(), 78)]);
}

#[test]
fn what_is_shown_tells_who_runs_and_who_waits() {
    let mut queue = full(2);
    let (id, _) = queue.start(Instant(7)).unwrap();
    queue.started(id, 77);
    let turns: Vec<(u32, Turn)> = queue.pending().iter().map(|one| (one.tries, one.turn)).collect();
    assert_eq!(
        turns,
        [(1, Turn::Runs(Instant(7), Some(77))), (0, Turn::Waits(Instant(0)))]
    );
}

fn group(config: GroupConfig) -> Group {
    use crate::machine::{Command, Entry, State, apply};
    use crate::model::{GroupName, Timestamp};

    let mut state = State::default();
    let command = Command::Monitor {
        name: GroupName::new("g-1").unwrap(),
        primary: "10.0.0.1:1".parse().unwrap(),
        host: None,
        quorum: 2,
        settings: Vec::new(),
    };
    apply(
        &mut state,
        &Entry {
            at: Timestamp(1),
            command,
        },
    );
    let mut group = Group::clone(state.group_named("g-1").unwrap());
    group.config = config;
    group
}

fn scripts() -> GroupConfig {
    GroupConfig {
        notification_script: "/notify".to_owned(),
        client_reconfig_script: "/reconfig".to_owned(),
        ..GroupConfig::default()
    }
}

fn event(group: &Group, kind: EventKind) -> Published {
    publish(&Event {
        revision: Some(1),
        group: Some(group.id),
        kind,
    })
}

fn lines(jobs: Vec<Words>) -> Vec<String> {
    jobs.into_iter().map(|words| words.join("|")).collect()
}

#[test]
fn a_switch_is_told_to_both_scripts() {
    let group = group(scripts());
    let switch = event(
        &group,
        EventKind::Switch {
            group: group.name.clone(),
            from: "10.0.0.1:1".parse().unwrap(),
            to: "[fd00::2]:2".parse().unwrap(),
        },
    );
    assert_eq!(
        lines(told(&switch, &group, Part::Leader)),
        [
            "/notify|+switch-master|g-1 10.0.0.1 1 fd00::2 2",
            "/reconfig|g-1|leader|start|10.0.0.1|1|fd00::2|2"
        ]
    );
    assert_eq!(
        lines(told(&switch, &group, Part::Observer))[1],
        "/reconfig|g-1|observer|start|10.0.0.1|1|fd00::2|2"
    );
    let silent = self::group(GroupConfig::default());
    assert_eq!(told(&switch, &silent, Part::Leader), Vec::<Words>::new());
}

#[test]
fn only_what_sentinel_warns_of_is_told() {
    let group = group(scripts());
    let primary = crate::model::InstanceRef::Primary {
        group: group.name.clone(),
        address: group.primary,
    };
    let down = event(&group, EventKind::Down(primary.clone()));
    assert_eq!(
        lines(told(&down, &group, Part::Leader)),
        ["/notify|+sdown|master g-1 10.0.0.1 1"]
    );
    let rebooted = event(&group, EventKind::Reboot(primary));
    assert_eq!(told(&rebooted, &group, Part::Leader), Vec::<Words>::new());
}

#[test]
fn only_who_leads_and_manages_is_the_leader() {
    let observed = group(GroupConfig {
        mode: Mode::Observe,
        ..scripts()
    });
    assert_eq!(Part::of(&group(scripts()), true), Part::Leader);
    assert_eq!(Part::of(&group(scripts()), false), Part::Observer);
    assert_eq!(Part::of(&observed, true), Part::Observer);
}
