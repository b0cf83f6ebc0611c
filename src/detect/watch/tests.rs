//! One test per rule of a verdict, with literal instants.

use super::*;
use crate::detect::{StallDetector, parse_info};

const RULES: WatchRules = WatchRules {
    recorded: Role::Primary,
    down_after_ms: 1_000,
    refused_after_ms: 0,
    reboot_down_after_ms: 0,
    floor_ms: 50,
    ceiling_ms: 1_000,
    pace: Pace::Calm,
};
const REPLICA: WatchRules = WatchRules {
    recorded: Role::Replica,
    ..RULES
};
const REMOTE: WatchRules = WatchRules {
    pace: Pace::Remote,
    ..RULES
};
const UP: Option<Verdict> = Some(Verdict::Up);

fn at(ms: u64) -> Instant {
    Instant(10_000 + ms)
}

fn down(ms: u64) -> Option<Verdict> {
    Some(Verdict::Down { since: at(ms) })
}

/// A watch that began at 0 and got a PONG at 100.
fn up(rules: WatchRules) -> Watch {
    let mut watch = Watch::new(rules, at(0));
    watch.asked(at(99));
    watch.answered(PingAnswer::Pong, at(100));
    assert_eq!(watch.judge(at(100)), UP);
    watch
}

fn facts(run_id: &str, role: &str) -> Facts {
    parse_info(format!("run_id:{run_id}\r\nrole:{role}\r\n").as_bytes()).unwrap()
}

#[test]
fn nothing_is_judged_before_the_first_answer() {
    let mut watch = Watch::new(RULES, at(0));
    assert_eq!(watch.judge(at(999)), None);
    assert_eq!(watch.verdict(), Verdict::Unknown);
}

#[test]
fn an_instance_that_never_answers_is_down_after_down_after() {
    let mut watch = Watch::new(RULES, at(0));
    assert_eq!(watch.judge(at(999)), None);
    assert_eq!(watch.judge(at(1_000)), down(1_000));
    assert_eq!(watch.cause(at(1_000)), Some(Cause::Silence));
}

#[test]
fn the_verdict_falls_at_down_after_to_the_millisecond_and_keeps_its_moment() {
    let mut watch = up(RULES);
    watch.asked(at(200));
    assert_eq!(watch.judge(at(1_099)), None);
    assert_eq!(watch.deadline(at(200)), Some(at(600)));
    assert_eq!(watch.deadline(at(600)), Some(at(1_100)));
    assert_eq!(watch.judge(at(1_100)), down(1_100));
    assert_eq!(watch.judge(at(5_000)), None);
    assert_eq!(watch.verdict(), Verdict::Down { since: at(1_100) });
    assert_eq!(watch.deadline(at(1_100)), None);
}

#[test]
fn loading_and_masterdown_are_as_good_as_pong() {
    let mut watch = up(RULES);
    watch.answered(PingAnswer::Busy, at(900));
    assert_eq!(watch.judge(at(1_899)), None);
    assert_eq!(watch.ok_at(), Some(at(900)));
    assert_eq!(watch.judge(at(1_900)), down(1_900));
}

#[test]
fn other_answers_do_not_count() {
    let mut watch = up(RULES);
    for ms in [300, 600, 900] {
        watch.answered(PingAnswer::Unacceptable, at(ms));
    }
    assert_eq!(watch.judge(at(1_100)), down(1_100));
    watch.answered(PingAnswer::Unacceptable, at(1_200));
    assert_eq!(watch.judge(at(1_200)), None);
}

/// It answers: that it refuses a password is no proof that it serves nobody, until it falls silent.
#[test]
fn a_refused_password_makes_it_down_and_not_dead() {
    let mut watch = up(RULES);
    let mut cause = None;
    for ms in [300, 1_300, 2_300, 3_300] {
        watch.answered(PingAnswer::Locked, at(ms));
        watch.judge(at(ms + 999));
        cause = watch.cause(at(ms + 999));
    }
    assert!(watch.verdict().is_down());
    assert_eq!(cause, Some(Cause::Locked));
    // A restart is refused for a moment: no proof either.
    watch.refused(at(4_400));
    assert_eq!(watch.cause(at(4_400)), Some(Cause::Locked));
    assert_eq!(watch.deadline(at(4_400)), Some(at(5_300)));
    assert_eq!(watch.cause(at(5_300)), Some(Cause::Silence));
    watch.answered(PingAnswer::Pong, at(5_400));
    assert_eq!(watch.judge(at(5_400)), UP);
}

#[test]
fn refused_connections_tell_more_than_a_refused_password() {
    let mut watch = up(WatchRules {
        refused_after_ms: 100,
        ..RULES
    });
    watch.answered(PingAnswer::Locked, at(1_200));
    watch.refused(at(1_300));
    watch.refused(at(1_400));
    assert_eq!(watch.cause(at(1_400)), Some(Cause::Refused));
}

#[test]
fn an_acceptable_answer_makes_it_up_again() {
    let mut watch = up(RULES);
    watch.judge(at(1_100));
    watch.answered(PingAnswer::Busy, at(1_300));
    assert_eq!(watch.judge(at(1_300)), UP);
}

#[test]
fn primaries_are_probed_ten_times_within_down_after_between_50_ms_and_1_s() {
    let rules = |down_after_ms, recorded, pace| WatchRules {
        down_after_ms,
        recorded,
        pace,
        ..RULES
    };
    let period = |down_after_ms, recorded, pace| rules(down_after_ms, recorded, pace).period_ms();
    let primary = |down_after_ms| period(down_after_ms, Role::Primary, Pace::Calm);
    assert_eq!([1, 400, 1_000, 5_000, 30_000].map(primary), [50, 50, 100, 500, 1_000]);
    assert_eq!(period(1_000, Role::Replica, Pace::Calm), 1_000);
    assert_eq!(period(1_000, Role::Replica, Pace::Alert), 100);
    let retry = |recorded, pace| rules(1_000, recorded, pace).retry_ms();
    assert_eq!(
        retry(Role::Primary, Pace::Calm),
        100,
        "a connection that was closed is made anew before it is missed"
    );
    assert_eq!(retry(Role::Replica, Pace::Alert), 100);
    assert_eq!(retry(Role::Primary, Pace::Remote), 1_000);
    let distant = |down_after_ms| period(down_after_ms, Role::Replica, Pace::Distant);
    assert_eq!([500, 3_000, 30_000].map(distant), [1_000, 3_000, 5_000]);
    assert_eq!(period(30_000, Role::Primary, Pace::Distant), 1_000, "everybody votes");
    for role in [Role::Primary, Role::Replica] {
        assert_eq!(period(3_000, role, Pace::Remote), 60_000);
    }
    let hastened = WatchRules {
        ceiling_ms: 200,
        pace: Pace::Distant,
        ..REPLICA
    };
    assert_eq!(hastened.period_ms(), 200, "the operator's word");
}

#[test]
fn a_replica_is_silent_from_the_question_on() {
    let mut watch = up(REPLICA);
    assert_eq!(watch.judge(at(1_200)), None);
    assert_eq!(watch.deadline(at(1_200)), None);
    watch.asked(at(1_250));
    watch.asked(at(2_000));
    assert_eq!(watch.judge(at(2_249)), None);
    assert_eq!(watch.judge(at(2_250)), down(2_250));
}

#[test]
fn a_promoted_replica_is_not_blamed_for_questions_that_were_not_asked() {
    let mut watch = up(REPLICA);
    watch.configure(RULES, at(1_050));
    assert_eq!(watch.judge(at(2_049)), None);
    assert_eq!(watch.judge(at(2_050)), down(2_050));
}

#[test]
fn a_second_connection_is_wanted_at_half_of_down_after() {
    let mut watch = up(RULES);
    assert!(!watch.wants_second_connection(at(599)));
    assert!(watch.wants_second_connection(at(600)));
    watch.answered(PingAnswer::Pong, at(650));
    assert!(!watch.wants_second_connection(at(700)));
}

#[test]
fn a_shorter_down_after_counts_at_once_for_a_question_without_an_answer() {
    let long = WatchRules {
        down_after_ms: 30_000,
        ..RULES
    };
    let mut watch = up(long);
    watch.asked(at(1_100));
    assert_eq!(watch.judge(at(5_000)), None);
    watch.configure(RULES, at(5_000));
    assert_eq!(watch.judge(at(5_000)), down(5_000));
    watch.configure(long, at(6_000));
    assert_eq!(watch.judge(at(6_000)), UP);
}

#[test]
fn a_shorter_down_after_gives_time_to_answer_the_first_question() {
    let long = WatchRules {
        down_after_ms: 30_000,
        ..RULES
    };
    let mut watch = up(long);
    watch.configure(RULES, at(1_090));
    assert_eq!(watch.judge(at(1_100)), None);
    assert_eq!(watch.deadline(at(1_100)), Some(at(1_590)));
}

const REFUSED: WatchRules = WatchRules {
    down_after_ms: 30_000,
    refused_after_ms: 200,
    ..RULES
};

#[test]
fn refused_connections_make_it_down_after_refused_after() {
    let mut watch = up(REFUSED);
    watch.refused(at(300));
    assert_eq!(watch.refused_due(), Some(at(500)));
    watch.refused(at(400));
    assert_eq!(watch.judge(at(500)), None, "only another refusal proves it");
    watch.refused(at(500));
    assert_eq!(watch.judge(at(500)), down(500));
    assert_eq!(watch.cause(at(500)), Some(Cause::Refused));
    assert_eq!(watch.refused_due(), None);
    watch.answered(PingAnswer::Busy, at(700));
    assert_eq!(watch.judge(at(700)), UP);
}

#[test]
fn an_answer_ends_a_streak_of_refusals() {
    let mut watch = up(REFUSED);
    watch.refused(at(300));
    watch.informed(&facts("a", "master"), at(400));
    watch.refused(at(500));
    assert_eq!(watch.judge(at(500)), None);
}

#[test]
fn refusals_far_apart_are_no_streak() {
    let mut watch = up(REFUSED);
    watch.refused(at(300));
    watch.refused(at(9_000));
    assert_eq!(watch.judge(at(9_000)), None);
}

#[test]
fn refused_connections_mean_nothing_when_that_is_off() {
    let mut watch = up(RULES);
    for ms in [300, 600, 900] {
        watch.refused(at(ms));
    }
    assert_eq!(watch.judge(at(1_000)), None);
    assert_eq!(watch.refused_due(), None);
}

const REBOOT: WatchRules = WatchRules {
    reboot_down_after_ms: 2_000,
    ..RULES
};

#[test]
fn a_restarted_primary_that_only_loads_is_down_after_its_time() {
    let mut watch = up(REBOOT);
    assert_eq!(watch.informed(&facts("a", "master"), at(100)), Seen::default());
    assert!(watch.informed(&facts("b", "master"), at(200)).rebooted);
    for ms in [900, 1_500, 2_100] {
        watch.answered(PingAnswer::Busy, at(ms));
        assert_eq!(watch.judge(at(ms)), None);
    }
    assert_eq!(watch.deadline(at(2_100)), Some(at(2_200)));
    assert_eq!(watch.judge(at(2_200)), down(2_200));
    assert_eq!(watch.cause(at(2_200)), Some(Cause::Reboot));
    watch.answered(PingAnswer::Pong, at(2_300));
    assert_eq!(watch.judge(at(2_300)), UP);
}

#[test]
fn a_restart_does_not_count_for_replicas_or_when_it_is_off() {
    for rules in [
        RULES,
        WatchRules {
            recorded: Role::Replica,
            ..REBOOT
        },
    ] {
        let mut watch = up(rules);
        watch.informed(&facts("a", "slave"), at(100));
        watch.informed(&facts("b", "slave"), at(200));
        for ms in [900, 1_500, 2_100, 2_700] {
            watch.answered(PingAnswer::Busy, at(ms));
            assert_eq!(watch.judge(at(ms)), None);
        }
    }
}

#[test]
fn a_recorded_primary_that_says_replica_for_long_is_down() {
    let mut watch = up(RULES);
    let mut verdicts = Vec::new();
    for ms in (500..=3_600).step_by(100) {
        watch.answered(PingAnswer::Pong, at(ms));
        if ms % 1_000 == 500 {
            watch.informed(&facts("a", "slave"), at(ms));
        }
        verdicts.extend(watch.judge(at(ms)));
    }
    assert_eq!(verdicts.first().copied(), down(3_500));
    assert_eq!(watch.cause(at(3_600)), Some(Cause::WrongRole));
    watch.informed(&facts("a", "master"), at(4_000));
    assert_eq!(watch.judge(at(4_000)), UP);
}

#[test]
fn a_new_record_takes_back_the_blame_for_the_old_role() {
    let mut watch = up(RULES);
    watch.informed(&facts("a", "slave"), at(500));
    assert!(watch.says_wrong_role());
    watch.configure(REPLICA, at(600));
    assert!(!watch.says_wrong_role());
    watch.informed(&facts("a", "slave"), at(700));
    assert!(!watch.says_wrong_role());
}

#[test]
fn the_first_info_is_compared_with_the_recorded_role() {
    let mut watch = up(RULES);
    assert_eq!(
        watch.informed(&facts("a", "slave"), at(200)).new_role,
        Some(Role::Replica)
    );
    assert_eq!(watch.role_since(), at(200));
    assert_eq!(watch.informed(&facts("a", "slave"), at(300)).new_role, None);
    assert_eq!(
        watch.informed(&facts("a", "master"), at(400)).new_role,
        Some(Role::Primary)
    );
    assert_eq!(up(RULES).informed(&facts("a", "master"), at(200)).new_role, None);
}

#[test]
fn a_stall_of_this_node_is_subtracted_from_the_silence() {
    let mut stalls = StallDetector::new(50, 500, at(100));
    let mut watch = up(RULES);
    for ms in [150, 200, 250] {
        assert_eq!(stalls.tick(at(ms)), None);
    }
    let stall = stalls.tick(at(5_000)).unwrap();
    assert_eq!((stall.from, stall.to), (at(300), at(5_000)));
    watch.excuse(stall);
    assert_eq!(watch.judge(at(5_000)), None);
    assert_eq!(watch.judge(at(5_799)), None);
    assert_eq!(
        watch.judge(at(5_800)),
        down(5_800),
        "200 ms before the stall and 800 ms after it"
    );
}

#[test]
fn a_stall_does_not_take_back_a_verdict() {
    let mut watch = up(RULES);
    watch.judge(at(1_100));
    watch.excuse(Stall {
        from: at(1_200),
        to: at(9_000),
    });
    assert_eq!(watch.judge(at(9_000)), None);
    assert!(watch.verdict().is_down());
}

#[test]
fn a_stall_is_subtracted_from_refusals_too() {
    let mut watch = up(REFUSED);
    watch.refused(at(300));
    watch.excuse(Stall {
        from: at(350),
        to: at(1_350),
    });
    watch.refused(at(1_360));
    assert_eq!(watch.judge(at(1_360)), None);
    assert_eq!(watch.refused_due(), Some(at(1_500)));
}

/// Found by the simulator, seed 94914: it had refused connections before the stall and answered INFO after it.
#[test]
fn a_stall_is_subtracted_from_the_silence_of_one_that_is_down_for_another_reason() {
    let mut watch = up(WatchRules {
        down_after_ms: 1_000,
        ..REFUSED
    });
    for ms in (300..=700).step_by(100) {
        watch.refused(at(ms));
    }
    assert_eq!(watch.judge(at(700)), down(700));
    watch.excuse(Stall {
        from: at(800),
        to: at(9_000),
    });
    assert_eq!(watch.judge(at(9_000)), None, "still refusing");
    watch.informed(&facts("new", "master"), at(9_000));
    assert_eq!(watch.judge(at(9_000)), UP);
    assert_eq!(watch.judge(at(9_299)), None);
    assert_eq!(
        watch.judge(at(9_300)),
        down(9_300),
        "700 ms before it and 300 ms after it"
    );
}

#[test]
fn a_primary_that_others_watch_is_silent_from_the_question_on() {
    let mut watch = up(REMOTE);
    assert_eq!(watch.judge(at(59_000)), None, "nobody asked");
    watch.asked(at(60_000));
    assert_eq!(watch.judge(at(60_999)), None);
    assert_eq!(watch.judge(at(61_000)), down(61_000));
}

#[test]
fn who_begins_to_watch_closely_waits_for_all_of_down_after() {
    let mut watch = up(REMOTE);
    watch.configure(RULES, at(50_000));
    watch.asked(at(50_001));
    assert_eq!(watch.judge(at(50_999)), None);
    assert_eq!(watch.judge(at(51_000)), down(51_000));
}
