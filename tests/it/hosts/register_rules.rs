use super::register::*;

#[test]
fn an_acknowledged_write_must_be_there() {
    let mut register = Register::default();
    register.acknowledge(Some(1));
    register.acknowledge(Some(2));
    assert!(register.compare("a", Some(2)).is_none());
    register.acknowledge(Some(3));
    let lost = register.compare("a", Some(2));
    assert_eq!(
        lost.map(|lost| (lost.acknowledged, lost.found)),
        Some((Some(3), Some(2)))
    );
}

#[test]
fn a_refusal_that_contradicts_an_acknowledged_write_is_a_loss() {
    let mut register = Register::default();
    register.acknowledge(Some(1));
    assert!(register.clone().observe("a", true).is_none());
    assert!(register.clone().observe("a", false).is_some());
    register.leave_open(None);
    assert!(
        register.observe("a", false).is_none(),
        "the removal without an answer was done"
    );
    assert!(register.guess().is_none());
}

#[test]
fn a_write_without_an_answer_may_be_there_until_somebody_looked() {
    let mut register = Register::default();
    register.acknowledge(Some(1));
    register.leave_open(None);
    assert!(register.clone().compare("a", Some(1)).is_none());
    assert!(register.compare("a", None).is_none());
    assert!(register.compare("a", Some(1)).is_some(), "nobody wrote it since");
}
