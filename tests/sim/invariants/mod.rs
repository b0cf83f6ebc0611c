//! What must hold, one file each. They look at what really happened, not at what a node believes.
//!
//! | the safety rules | files |
//! |---|---|
//! | 1 committed before done | `promotion`, `one_candidate`, `moved` |
//! | 2 one place changes the address | `addresses`, `chain`, `proxies` |
//! | 3 a sighting decides, not a reply | `promotion`, `moved`, `fence` |
//! | 4 only the leader orders | `lease`, `fence` |
//! | 5 votes are state | `quorum`, `window` |
//! | 6 no way back after the order to promote | `cancel`, `promotion` |
//! | 7 a leader that cannot reach is not the right one | `hand_over`, `well` |
//! | 8 a successor needs nothing but the log and the world | `well`, `same_state` |
//! | 9 identity | `foreign`, `trusted` |
//! | 10 never promoted | `promotion`, `synced`, `chosen` |
//! | 11 repair is careful | `last_copy`, `addresses`, `parallel` |
//! | 12 the old primary is fenced | `fenced`, `paused`, `coordinated` |
//! | 13 observation is local | no file: what a node shows without a majority is asked of real processes |
//! | 14 a stalled node does not judge | `window` |
//! | 15 a brake on flapping | `brake` |
//!
//! Beside them: what operators were told is done, is done (`acknowledged`); what they turned off is off (`maintenance`); nothing happens to a removed group
//! (`removed`); after the faults all is well (`well`, and `chain`, `paused`, `proxies` for their parts).

mod acknowledged;
mod addresses;
mod brake;
mod cancel;
mod chain;
mod chosen;
mod coordinated;
mod fence;
mod fenced;
mod foreign;
mod hand_over;
mod last_copy;
mod lease;
mod maintenance;
mod moved;
mod one_candidate;
mod parallel;
mod paused;
mod promotion;
mod proxies;
mod quorum;
mod removed;
mod replaced;
mod same_state;
mod scene;
mod synced;
mod trusted;
mod well;
mod window;

use crate::fact::Fact;

use scene::nodes;
pub(crate) use scene::{Listener, NodeScene, ProxyScene, Scene};

/// A rule that every step must keep.
trait Invariant {
    /// What it says, in a few words.
    fn name(&self) -> &'static str;
    /// Looks at what happened.
    fn check(&mut self, scene: &dyn Scene, fact: &Fact) -> Result<(), String>;
    /// Whether all is well again, as far as it can tell.
    fn well(&self, _scene: &dyn Scene) -> Result<(), String> {
        Ok(())
    }
    /// Looks back, when all is well again.
    fn at_the_end(&mut self, _scene: &dyn Scene) -> Result<(), String> {
        Ok(())
    }
}

pub(crate) struct Invariants {
    rules: Vec<Box<dyn Invariant>>,
}

impl Invariants {
    pub(crate) fn new() -> Self {
        Self {
            rules: vec![
                Box::<one_candidate::OneCandidate>::default(),
                Box::<promotion::Promotion>::default(),
                Box::<quorum::Quorum>::default(),
                Box::<chain::Chain>::default(),
                Box::<chosen::Chosen>::default(),
                Box::<window::Window>::default(),
                Box::<lease::Lease>::default(),
                Box::<foreign::Foreign>::default(),
                Box::<last_copy::LastCopy>::default(),
                Box::<cancel::Cancel>::default(),
                Box::<brake::Brake>::default(),
                Box::<parallel::Parallel>::default(),
                Box::<same_state::SameState>::default(),
                Box::<synced::Synced>::default(),
                Box::<moved::Moved>::default(),
                Box::<addresses::Addresses>::default(),
                Box::<removed::Removed>::default(),
                Box::<paused::Paused>::default(),
                Box::<fence::Fence>::default(),
                Box::<fenced::Fenced>::default(),
                Box::<coordinated::Coordinated>::default(),
                Box::<acknowledged::Acknowledged>::default(),
                Box::<proxies::Proxies>::default(),
                Box::<trusted::Trusted>::default(),
                Box::<hand_over::HandOver>::default(),
                Box::<maintenance::Maintenance>::default(),
            ],
        }
    }

    /// What the rules are called.
    pub(crate) fn names() -> Vec<&'static str> {
        Self::new().rules.iter().map(|rule| rule.name()).collect()
    }

    pub(crate) fn check(&mut self, scene: &dyn Scene, fact: &Fact) -> Result<(), String> {
        for rule in &mut self.rules {
            rule.check(scene, fact)
                .map_err(|why| format!("{}: {why}", rule.name()))?;
        }
        Ok(())
    }

    pub(crate) fn at_the_end(&mut self, scene: &dyn Scene) -> Result<(), String> {
        for rule in &mut self.rules {
            rule.at_the_end(scene)
                .map_err(|why| format!("{}: {why}", rule.name()))?;
        }
        Ok(())
    }

    pub(crate) fn all_is_well(&self, scene: &dyn Scene) -> Result<(), String> {
        self.rules.iter().try_for_each(|rule| rule.well(scene))?;
        well::all_is_well(scene)
    }
}
