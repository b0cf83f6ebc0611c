//! One leader after the other, as an instance sees them (rule 4): once it has carried out an order of one term, it
//! carries out none of an older one; and an order is carried out by the process that it was meant for (rule 3).

use std::collections::BTreeMap;

use cfgserver::model::Term;

use super::{Invariant, Scene};
use crate::fact::Fact;
use crate::redis::Index;

#[derive(Default)]
pub(super) struct Fence {
    /// Per process of an instance.
    newest: BTreeMap<(Index, u32), Term>,
}

impl Invariant for Fence {
    fn name(&self) -> &'static str {
        "an instance obeys no older leader"
    }

    fn check(&mut self, scene: &dyn Scene, fact: &Fact) -> Result<(), String> {
        let Fact::OrderDone {
            server,
            term,
            run_id,
            order,
            ..
        } = fact
        else {
            return Ok(());
        };
        scene.judges(self.name());
        let instance = &scene.fleet().servers[*server];
        if instance.run_id() != *run_id {
            return Err(format!("{} carried out {order}, meant for {run_id:?}", instance.name));
        }
        let newest = self.newest.entry((*server, instance.starts)).or_insert(*term);
        if *term < *newest {
            return Err(format!(
                "{} carried out {order} of term {term} after one of term {newest}",
                instance.name
            ));
        }
        *newest = *term;
        Ok(())
    }
}
