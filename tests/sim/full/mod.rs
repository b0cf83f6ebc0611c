//! Whole nodes in a simulated network: what they talk to.

pub(crate) mod instances;

/// The doubles against themselves; the name of each that fails.
pub(crate) fn checks() -> Vec<&'static str> {
    let fails = |check: &fn()| std::panic::catch_unwind(check).is_err();
    let all = instances::check::CHECKS.iter();
    all.filter(|(_, check)| fails(check)).map(|(name, _)| *name).collect()
}
