use super::reach::ReachedBy;
use super::two_primaries::*;

const TIMELINE: [(u64, ReachedBy); 4] = [
    (0, ReachedBy::Majority),
    (1_000, ReachedBy::Nobody),
    (9_000, ReachedBy::Minority),
    (20_000, ReachedBy::Majority),
];

fn excess(from: u64, to: u64, strict: bool) -> u64 {
    excess_ms(Span { from, to }, &TIMELINE, |state| match state {
        ReachedBy::Majority => false,
        ReachedBy::Minority => !strict,
        ReachedBy::Nobody => true,
    })
}

#[test]
fn accepted_writes_make_spans() {
    let mut spans = Vec::new();
    for (at, broken) in [(10, false), (200, false), (900, false), (950, true), (960, false)] {
        extend(&mut spans, at, broken);
    }
    let expected = [(10, 200), (900, 900), (950, 960)].map(|(from, to)| Span { from, to });
    assert_eq!(spans, expected);
    let other = [Span { from: 100, to: 955 }];
    assert_eq!(
        both(&spans, &other),
        [Span { from: 100, to: 200 }, Span { from: 950, to: 955 }],
        "a single reply lasts no time"
    );
}

#[test]
fn out_of_reach_and_two_seconds_after_are_excused() {
    assert_eq!(excess(1_500, 10_500, true), 0);
    assert_eq!(excess(1_500, 21_900, false), 0);
}

#[test]
fn what_nothing_excuses_is_counted() {
    assert_eq!(excess(400, 900, false), 500, "it was in reach all the time");
    assert_eq!(excess(700, 2_000, true), 300, "in reach before");
    assert_eq!(excess(1_500, 22_700, false), 700, "more than two seconds after");
    assert_eq!(excess(1_500, 12_000, true), 1_000, "a node without majority reached it");
    assert_eq!(excess(23_000, 24_000, false), 1_000);
}
