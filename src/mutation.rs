//! Known defects that a test build can switch on, one at a time, to prove that the simulator finds each.
//!
//! In every other build a mutation is nothing: [`is_on`] is a constant `false`.

/// A defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mutation {
    /// A promotion is complete whichever process says that it is a master.
    AnyProcessCompletes = 1,
    /// A command is applied although its group has moved on.
    MovedIsApplied,
    /// A vote counts whatever primary it was cast about.
    VotesWithoutKey,
    /// A vote counts for ever.
    VotesForEver,
    /// Subscribers are told when a switch is proposed.
    EventBeforeCommit,
    /// A new leader does not know of the failover that is open.
    StageForgotten,
    /// An order goes out although the lease has ended.
    OrderAfterLease,
    /// A repair does not look at the primary first.
    CarelessRepair,
    /// A member counts as in sync although its data is of another lineage now.
    SyncedForEver,
    /// What is pushed at a subscription is not remembered as told.
    RepeatedSwitch,
    /// A node that stood still judges as if it had listened.
    StallJudged,
    /// An empty node founds a cluster without those who have data already.
    EmptyNodeFounds,
    /// Offsets are compared while the pause of the old primary's writes is on its way.
    UnpausedOffsets,
    /// The brake counts its wait from the start of the leadership, not from the last switch.
    BrakeOfLeader,
    /// What a connection was told last vouches for all that it was told before.
    NewestVouchesForAll,
    /// The process at a member's address is put on record although it is quarantined.
    QuarantinedOnRecord,
    /// Leadership is handed over at once, and again at once.
    NoCoolDown,
    /// A coordinated failover promotes its candidate while the old primary is one.
    PromotedBeside,
    /// A replica of priority 0 is as good as any.
    PriorityZeroChosen,
    /// Whoever has the smallest run id is promoted, however little it has of the data.
    OffsetIgnored,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::AnyProcessCompletes,
        Self::MovedIsApplied,
        Self::VotesWithoutKey,
        Self::VotesForEver,
        Self::EventBeforeCommit,
        Self::StageForgotten,
        Self::OrderAfterLease,
        Self::CarelessRepair,
        Self::SyncedForEver,
        Self::RepeatedSwitch,
        Self::StallJudged,
        Self::EmptyNodeFounds,
        Self::UnpausedOffsets,
        Self::BrakeOfLeader,
        Self::NewestVouchesForAll,
        Self::QuarantinedOnRecord,
        Self::NoCoolDown,
        Self::PromotedBeside,
        Self::PriorityZeroChosen,
        Self::OffsetIgnored,
    ];
}

#[cfg(feature = "mutations")]
static ON: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);

/// Switches one mutation on, for the whole process, and all others off.
#[cfg(feature = "mutations")]
pub fn switch(mutation: Option<Mutation>) {
    let number = mutation.map_or(0, |mutation| mutation as u8);
    ON.store(number, std::sync::atomic::Ordering::SeqCst);
}

/// Whether this mutation is switched on.
#[cfg(feature = "mutations")]
pub fn is_on(mutation: Mutation) -> bool {
    ON.load(std::sync::atomic::Ordering::Relaxed) == mutation as u8
}

/// Whether this mutation is switched on: in this build none ever is.
#[cfg(not(feature = "mutations"))]
#[inline]
pub const fn is_on(_mutation: Mutation) -> bool {
    false
}
