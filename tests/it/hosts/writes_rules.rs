use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::writes::*;

fn write(number: u32, by: u8, outcome: Outcome) -> Write {
    Write {
        number,
        at: u64::from(number) * 10,
        by: Ipv4Addr::new(10, 0, 0, by),
        outcome,
    }
}

#[test]
fn only_acknowledged_writes_can_be_missing() {
    use Outcome::{Acknowledged, Refused, Unknown};
    let writes = [
        write(1, 1, Acknowledged),
        write(2, 1, Acknowledged),
        write(3, 1, Unknown),
        write(4, 1, Acknowledged),
        write(5, 2, Acknowledged),
        write(6, 2, Refused),
        write(7, 2, Acknowledged),
        write(8, 2, Acknowledged),
    ];
    let (gone, rows) = missing("g", &writes, &BTreeSet::from([1, 7]));
    assert_eq!(gone, BTreeSet::from([2, 4, 5, 8]));
    let shape: Vec<_> = rows.iter().map(|row| (row.count, row.from_ms, row.to_ms)).collect();
    assert_eq!(shape, [(2, 20, 40), (1, 50, 50), (1, 80, 80)]);
    let failed: Vec<_> = failures(&writes).iter().map(|row| (row.outcome, row.count)).collect();
    assert_eq!(failed, [(Unknown, 1), (Refused, 1)]);
}

#[test]
fn the_longest_gap_also_counts_at_the_ends() {
    let writes = [write(2, 1, Outcome::Acknowledged), write(5, 1, Outcome::Unknown)];
    assert_eq!(longest_gap_ms(&writes, 10, 100), 80);
    assert_eq!(longest_gap_ms(&[], 10, 100), 90);
}
