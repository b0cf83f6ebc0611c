//! Rule 11: nobody is sent to copy an instance that may have lost its data.

use crate::model::{Facts, Group, Role};

use super::identity::related;

/// What a primary must say of itself before another instance is sent to copy it; how fresh that must be is asked
/// elsewhere. It is the process on record, a master, not loading, and has not lost what the other one has.
pub(super) fn is_worth_copying(group: &Group, primary: &Facts, copier: Option<&Facts>) -> bool {
    let Some(member) = group.primary_member() else {
        return false;
    };
    let itself = primary.role == Role::Primary && member.run_id.as_ref() == Some(&primary.run_id);
    // What it loads is not counted yet.
    let others_have = member.non_empty || copier.is_some_and(|copier| copier.keys > 0 || copier.loading);
    let emptied = primary.keys == 0 && others_have && !copier.is_some_and(|copier| descends(primary, copier));
    itself && !emptied && !primary.loading && member.quarantine.is_none()
}

/// The primary has everything that the other one was ever sent: keys that are not there were deleted, not lost.
fn descends(primary: &Facts, copier: &Facts) -> bool {
    let related = related(primary.lineage.as_ref(), copier.lineage.as_ref());
    related && copier.role == Role::Replica && primary.primary_offset >= copier.replica_offset.max(1)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::failover::testing::{facts, group};
    use crate::model::Lineage;

    fn worth(change: impl FnOnce(&mut Facts, &mut Facts)) -> bool {
        let (mut primary, mut copier) = (facts("a", Role::Primary), facts("b", Role::Replica));
        change(&mut primary, &mut copier);
        is_worth_copying(&group(), &primary, Some(&copier))
    }

    #[test]
    fn the_process_on_record_is_worth_copying_unless_it_is_another_or_no_master() {
        assert!(worth(|_, _| {}));
        assert!(!worth(|primary, _| primary.run_id = crate::model::RunId::new("other")));
        assert!(!worth(|primary, _| primary.role = Role::Replica));
        assert!(!worth(|primary, _| primary.loading = true));
    }

    /// Found by the simulator, seed 10042 of an earlier day: the emptiness was on record, and what the replicas loaded was
    /// the last copy.
    #[test]
    fn nobody_who_is_loading_is_sent_to_an_empty_primary() {
        let mut group = group();
        group.members.values_mut().for_each(|member| member.non_empty = false);
        let (mut primary, mut copier) = (facts("a", Role::Primary), facts("b", Role::Replica));
        primary.keys = 0;
        primary.lineage.as_mut().unwrap().replid = "fresh".into();
        copier.keys = 0;
        assert!(is_worth_copying(&group, &primary, Some(&copier)), "nobody has anything");
        copier.loading = true;
        assert!(!is_worth_copying(&group, &primary, Some(&copier)));
        primary.keys = 1;
        assert!(is_worth_copying(&group, &primary, Some(&copier)));
    }

    #[test]
    fn an_empty_primary_is_copied_only_by_those_whose_data_it_deleted() {
        assert!(worth(|primary, _| primary.keys = 0), "deleted: same stream, as far");
        assert!(!worth(|primary, copier| {
            primary.keys = 0;
            copier.replica_offset = primary.primary_offset + 1;
        }));
        assert!(!worth(|primary, _| {
            primary.keys = 0;
            primary.lineage = Some(Lineage {
                replid: "fresh".into(),
                replid2: None,
            });
        }));
        assert!(
            !worth(|primary, copier| {
                primary.keys = 0;
                primary.lineage = None;
                copier.lineage = None;
            }),
            "servers too old for replication ids say nothing"
        );
    }
}
