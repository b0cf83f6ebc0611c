//! Instances with host names, in the world of a transcript.

use std::collections::BTreeMap;

use cfgserver::machine::Command;
use cfgserver::model::HostName;
use cfgserver::requests::{Monitoring, WriteError, WriteReply};

use super::World;

impl World {
    /// No name resolves here, but one.
    pub(super) fn monitor_named(&mut self, wanted: Monitoring) -> Result<WriteReply, WriteError> {
        if wanted.host.as_str() != "localhost" {
            return Err(WriteError::Unresolved);
        }
        let outcome = self.apply(wanted.at([127, 0, 0, 1].into()));
        let revision = self.state.revision();
        Ok(WriteReply::Outcome { outcome, revision })
    }

    pub(super) fn name_member(&mut self, name: &str, address: &str, host: &str) {
        let (group, on, _) = self.planned(name);
        let hosts = BTreeMap::from([(address.parse().unwrap(), HostName::new(host).unwrap())]);
        self.done(Command::Name { group, on, hosts });
    }

    pub(super) fn readdress(&mut self, name: &str, from: &str, to: &str) {
        let (group, on, _) = self.planned(name);
        let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
        self.done(Command::Readdress { group, on, from, to });
    }
}
