//! Being written.
pub fn differences() {}
