use super::register::*;

fn is_lost(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Lost(_))
}

#[test]
fn an_acknowledged_write_must_be_there() {
    let mut register = Register::default();
    register.acknowledge(Some(1));
    register.acknowledge(Some(2));
    assert_eq!(register.compare("a", Some(2), 0), Verdict::Known);
    register.acknowledge(Some(3));
    let lost = Lost {
        name: "a".to_owned(),
        acknowledged: Some(3),
        found: Some(2),
    };
    assert_eq!(register.compare("a", Some(2), 0), Verdict::Lost(lost));
}

#[test]
fn a_refusal_that_contradicts_an_acknowledged_write_is_a_loss() {
    let mut register = Register::default();
    register.acknowledge(Some(1));
    assert_eq!(register.clone().observe("a", true), Verdict::Known);
    assert!(is_lost(&register.clone().observe("a", false)));
    register.leave_open(None, 0);
    assert_eq!(
        register.observe("a", false),
        Verdict::Done,
        "the removal without an answer"
    );
    assert!(register.guess().is_none());
}

#[test]
fn a_write_without_an_answer_may_be_done_late_but_not_for_ever() {
    let mut register = Register::default();
    register.acknowledge(Some(1));
    register.leave_open(None, 0);
    assert_eq!(register.clone().compare("a", None, 10), Verdict::Done);
    assert_eq!(register.compare("a", Some(1), 10), Verdict::Known);
    assert_eq!(register.clone().compare("a", None, 20), Verdict::DoneLate);
    assert_eq!(register.compare("a", Some(1), 90_000), Verdict::Known);
    assert!(is_lost(&register.compare("a", None, 90_001)));
}
