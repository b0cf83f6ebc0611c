//! Orders come from one leader at a time: never while another node leads in a newer term.

use super::{Invariant, Scene, nodes};
use crate::fact::Fact;

#[derive(Default)]
pub(super) struct Lease;

impl Invariant for Lease {
    fn name(&self) -> &'static str {
        "no order after the lease"
    }

    fn check(&mut self, scene: &dyn Scene, fact: &Fact) -> Result<(), String> {
        let Fact::OrderSent { node, term, order, .. } = fact else {
            return Ok(());
        };
        scene.judges(self.name());
        for other in nodes(scene).filter(|other| other.running) {
            if let Some(newer) = other.leads.filter(|newer| newer > term) {
                return Err(format!(
                    "node {node} of term {term} orders ({order}) while node {} leads in term {newer}",
                    other.id
                ));
            }
        }
        match scene.led_term().filter(|led| led > term) {
            Some(led) => Err(format!("node {node} of term {term} orders ({order}) in term {led}")),
            None => Ok(()),
        }
    }
}
