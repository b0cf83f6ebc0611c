//! The one place that draws random numbers.

use std::io;

/// Bytes that nobody can guess.
pub fn bytes<const COUNT: usize>() -> io::Result<[u8; COUNT]> {
    let mut bytes = [0; COUNT];
    fill(&mut bytes)?;
    Ok(bytes)
}

/// An id of twice `BYTES` hex digits.
pub fn hex<const BYTES: usize>() -> io::Result<String> {
    Ok(bytes::<BYTES>()?.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(not(feature = "sim"))]
fn fill(bytes: &mut [u8]) -> io::Result<()> {
    getrandom::fill(bytes).map_err(|error| io::Error::other(format!("no random numbers: {error}")))
}

#[cfg(feature = "sim")]
fn fill(bytes: &mut [u8]) -> io::Result<()> {
    let nowhere = || io::Error::other("chance belongs to a machine, and this task runs on none");
    let host = crate::host::Host::current().ok_or_else(nowhere)?;
    bytes.fill_with(|| host.draw() as u8);
    Ok(())
}
