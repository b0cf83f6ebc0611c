//! A live Sentinel, by its replies.

use super::fields::{Fields, Useless, list};
use super::source::{Place, Source, Value, Wanted};
use crate::model::GroupName;
use crate::resp::Reply;

/// What `SENTINEL MASTERS` said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// In the order of their names.
    pub groups: Vec<LiveGroup>,
}

/// A group of a live Sentinel, whose replicas and Sentinels are asked for by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveGroup {
    /// What MASTERS said of it.
    pub wanted: Wanted,
}

const NO_SECRETS: &str = "auth-user, auth-pass and rename-command cannot be read from a live Sentinel: where this group \
                          has them, import the Sentinel's file, or give --auth-pass-file";

impl Live {
    /// Reads the answer to `SENTINEL MASTERS`.
    pub fn read(masters: &Reply) -> Result<Self, Useless> {
        let entries = list(masters, "SENTINEL MASTERS is no list")?;
        let groups: Result<Vec<_>, _> = entries.iter().map(LiveGroup::read).collect();
        let mut groups = groups?;
        groups.sort_by(|one, other| one.wanted.name.cmp(&other.wanted.name));
        if groups.windows(2).any(|pair| pair[0].wanted.name == pair[1].wanted.name) {
            return Err(Useless::Nonsense("SENTINEL MASTERS names a group twice"));
        }
        Ok(Self { groups })
    }

    /// Everything together.
    pub fn into_source(self) -> Source {
        Source {
            groups: self.groups.into_iter().map(|group| group.wanted).collect(),
            notes: Vec::new(),
        }
    }
}

impl LiveGroup {
    /// Its name.
    pub fn name(&self) -> &GroupName {
        &self.wanted.name
    }

    fn read(entry: &Reply) -> Result<Self, Useless> {
        let fields = Fields::of(entry)?;
        let place = place(&fields).ok_or(Useless::Nonsense("a master has no address"))?;
        let quorum = fields.number("quorum").and_then(|quorum| u32::try_from(quorum).ok());
        let quorum = quorum.filter(|quorum| *quorum > 0);
        let mut settings = Vec::new();
        for option in [
            "down-after-milliseconds",
            "failover-timeout",
            "master-reboot-down-after-period",
            "parallel-syncs",
        ] {
            // A Sentinel does not tell all of them.
            if let Some(number) = fields.number(option) {
                settings.push((option, Value::Open(number.to_string())));
            }
        }
        let mut notes = vec![NO_SECRETS.to_owned()];
        for script in ["notification-script", "client-reconfig-script"] {
            if let Some(path) = fields.get(script).filter(|path| !path.is_empty()) {
                settings.push((script, Value::Open(path.to_owned())));
            }
        }
        let flags = fields.get("flags").unwrap_or_default();
        for (flag, what) in [
            (
                "failover_in_progress",
                "a failover is in progress there: its address is about to change",
            ),
            ("s_down", "its primary is down there"),
        ] {
            if flags.split(',').any(|known| known == flag) {
                notes.push(what.to_owned());
            }
        }
        let wanted = Wanted {
            name: fields.name()?,
            primary: place,
            quorum: quorum.ok_or(Useless::Nonsense("a master has no quorum"))?,
            settings,
            replicas: Vec::new(),
            sentinels: 0,
            notes,
        };
        Ok(Self { wanted })
    }

    /// Takes the answers to `SENTINEL REPLICAS` (or `SLAVES`) and `SENTINEL SENTINELS`.
    pub fn complete(&mut self, replicas: &Reply, sentinels: &Reply) -> Result<(), Useless> {
        for entry in list(replicas, "SENTINEL REPLICAS is no list")? {
            let place = place(&Fields::of(entry)?);
            self.wanted
                .replicas
                .push(place.ok_or(Useless::Nonsense("a replica has no address"))?);
        }
        self.wanted.replicas.sort();
        self.wanted.sentinels = list(sentinels, "SENTINEL SENTINELS is no list")?.len();
        Ok(())
    }
}

fn place(fields: &Fields<'_>) -> Option<Place> {
    Place::parse(fields.get("ip")?, fields.get("port")?)
}
