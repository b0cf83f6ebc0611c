//! A proxy of either fork never ends itself, nor hangs up, because of what a node sent; when all is well it serves its
//! clients and believes the committed addresses.

use super::{Invariant, Scene};
use crate::fact::{Cause, Fact};

#[derive(Default)]
pub(super) struct Proxies;

impl Invariant for Proxies {
    fn name(&self) -> &'static str {
        "proxies are told what they understand"
    }

    fn check(&mut self, _: &dyn Scene, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::ProxyEnded { name, cause: None, why } => Err(format!("{name} aborted: {why}")),
            Fact::ProxyEnded {
                name,
                cause: Some(Cause::Sent),
                why,
            } => Err(format!("{name} hung up: {why}")),
            _ => Ok(()),
        }
    }

    fn well(&self, scene: &dyn Scene) -> Result<(), String> {
        let state = scene.state();
        for proxy in scene.proxies() {
            scene.judges(self.name());
            let mut groups = proxy.groups.iter().map(|name| state.group_named(name));
            let serves = |primary| {
                let instance = scene.server_at(primary);
                instance.is_some_and(|instance| instance.alive() && instance.is_primary())
            };
            // One that asks for roles waits for all of its instances, and one that looks up for all of its groups.
            let all_there = groups.all(|group| group.is_some_and(|group| serves(group.primary)));
            if all_there && !proxy.ready {
                return Err(format!("{} does not serve its clients", proxy.name));
            }
            for (name, address) in &proxy.addresses {
                let Some(group) = state.group_named(name) else { continue };
                if proxy.ready && *address != group.primary.to_string() {
                    return Err(format!("{} believes {name} at {address}", proxy.name));
                }
            }
        }
        Ok(())
    }
}
