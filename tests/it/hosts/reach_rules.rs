use std::net::Ipv4Addr;

use super::reach::*;

fn ip(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, last)
}

fn three_nodes_and_an_instance() -> Reach {
    let mut reach = Reach::default();
    for node in 1..=3 {
        reach.add_node(ip(node));
    }
    reach.add_instance(ip(9), 0);
    reach
}

#[test]
fn an_instance_is_cut_off_step_by_step() {
    let mut reach = three_nodes_and_an_instance();
    reach.lose(ip(1), ip(9), 10);
    reach.lose(ip(9), ip(2), 20);
    assert_eq!(reach.timeline(ip(9)).len(), 1, "node 3 still reaches it");
    for other in [1, 2] {
        reach.lose(ip(3), ip(other), 30);
    }
    reach.silent(ip(9), 40);
    reach.lose_nothing(50);
    reach.speaks(ip(9), 60);
    let expected = [
        (0, ReachedBy::Majority),
        (30, ReachedBy::Minority),
        (40, ReachedBy::Nobody),
        (60, ReachedBy::Majority),
    ];
    assert_eq!(reach.timeline(ip(9)), expected);
}

#[test]
fn without_a_majority_nobody_decides() {
    let mut reach = three_nodes_and_an_instance();
    reach.silent(ip(1), 10);
    assert_eq!(reach.timeline(ip(9)).len(), 1);
    reach.silent(ip(2), 20);
    assert_eq!(reach.timeline(ip(9)).last(), Some(&(20, ReachedBy::Minority)));
}
