//! Orders come from one leader at a time: never while another node leads in a newer term.

use super::Invariant;
use crate::core::Core;
use crate::fact::Fact;
use crate::node::Node;

#[derive(Default)]
pub(super) struct Lease;

impl Invariant for Lease {
    fn name(&self) -> &'static str {
        "no order after the lease"
    }

    fn check(&mut self, core: &Core, nodes: &[Node], fact: &Fact) -> Result<(), String> {
        let Fact::OrderSent { node, term, order, .. } = fact else {
            return Ok(());
        };
        let newer = nodes
            .iter()
            .find(|other| other.running && other.view.me && other.view.term > *term);
        match newer {
            Some(newer) => Err(format!(
                "node {node} of term {term} orders ({order}) while node {} leads in term {}",
                newer.id, newer.view.term
            )),
            None if core.log.term > *term && core.log.led => Err(format!(
                "node {node} of term {term} orders ({order}) in term {}",
                core.log.term
            )),
            None => Ok(()),
        }
    }
}
