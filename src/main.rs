//! The cfgserver binary.

fn main() {}
