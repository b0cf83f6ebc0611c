//! Records: a format byte, then MessagePack with field names.
//!
//! The bytes on disk and between nodes. Golden files pin them (`golden`), so that an upgrade of openraft that changes
//! an encoding fails there and not in a rolling restart.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::machine::read_whole;

/// The only format so far.
const FORMAT: u8 = 1;

/// A value as a record.
#[expect(clippy::expect_used, reason = "plain data written to memory has no way to fail")]
pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = vec![FORMAT];
    rmp_serde::encode::write_named(&mut bytes, value).expect("a record is plain data, which always encodes");
    bytes
}

/// The value of a record.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    match bytes.split_first() {
        Some((&FORMAT, body)) => read_whole(body).map_err(invalid),
        Some((format, _)) => Err(invalid(format!("unknown record format {format}"))),
        None => Err(invalid("empty record".to_owned())),
    }
}

/// The value of an optional record.
pub(crate) fn decode_some<T: DeserializeOwned>(bytes: Option<Vec<u8>>) -> io::Result<Option<T>> {
    bytes.as_deref().map(decode).transpose()
}

fn invalid(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn another_format_is_refused() {
        let error = decode::<u64>(&[9, 1]).unwrap_err();
        assert_eq!(error.to_string(), "unknown record format 9");
        assert_eq!(decode::<u64>(&[]).unwrap_err().to_string(), "empty record");
    }

    #[test]
    fn a_record_ends_with_its_value() {
        assert_eq!(decode::<u64>(&[1, 7]).unwrap(), 7);
        let error = decode::<u64>(&[1, 7, 7]).unwrap_err();
        assert_eq!(error.to_string(), "it goes on behind its end");
    }
}
