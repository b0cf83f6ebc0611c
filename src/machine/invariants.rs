//! Being written.
pub fn check() {}
