//! The values of `SENTINEL SET name failover`: `on`, `off`, `until TIME`.

use bytes::Bytes;

use crate::model::{Age, Automatic, Setting, Timestamp};
use crate::requests::View;
use crate::requests::client::parse_integer;
use crate::resp::Reply;
use crate::sentinel::errors;

/// The farthest end. One that was given in milliseconds by mistake is beyond it.
const AHEAD_MS_MAX: Age = 366 * 86_400_000;

/// The setting and the words behind it.
pub(super) fn parse<'a>(view: &View<'_>, option: &[u8], words: &'a [Bytes]) -> Result<(Setting, &'a [Bytes]), Reply> {
    let [word, rest @ ..] = words else {
        return Err(errors::set_option(option));
    };
    match word.to_ascii_lowercase().as_slice() {
        b"on" => Ok((Setting::Automatic(Automatic::On), rest)),
        b"off" => Ok((Setting::Automatic(Automatic::Off), rest)),
        b"until" => {
            let [time, rest @ ..] = rest else {
                return Err(errors::set_option(option));
            };
            let end = end(time, view.state.time(view.wall));
            let end = end.ok_or_else(|| errors::set_argument(time, option))?;
            Ok((Setting::Automatic(Automatic::OffUntil(end)), rest))
        }
        _ => Err(errors::set_argument(word, option)),
    }
}

/// A Unix time in seconds, or `+` and a length of time with its unit: `+90s`, `+30m`, `+2h`, `+1d`. In whole seconds, so
/// that it is shown as it is. It lies ahead.
fn end(text: &[u8], now: Timestamp) -> Option<Timestamp> {
    let end_s = match text {
        [b'+', number @ .., unit] => {
            let unit_s = match unit {
                b's' => 1,
                b'm' => 60,
                b'h' => 3_600,
                b'd' => 86_400,
                _ => return None,
            };
            whole(number)?.checked_mul(unit_s)?.checked_add(now.0.div_ceil(1000))?
        }
        _ => whole(text)?,
    };
    let end = Timestamp(end_s.checked_mul(1000)?);
    (end > now && end.0 - now.0 <= AHEAD_MS_MAX).then_some(end)
}

fn whole(text: &[u8]) -> Option<u64> {
    parse_integer(text).and_then(|number| u64::try_from(number).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_200);

    #[test]
    fn an_end_is_a_unix_time_or_a_length_of_time_from_now() {
        let at = |text: &str| end(text.as_bytes(), NOW).map(|end| end.0);
        assert_eq!(at("1700000001"), Some(1_700_000_001_000));
        assert_eq!(at("+90s"), Some(1_700_000_091_000), "no shorter than asked for");
        assert_eq!(at("+30m"), Some(1_700_001_801_000));
        assert_eq!(at("+2h"), Some(1_700_007_201_000));
        assert_eq!(at("+366d"), None, "rounded up, it is too far");
        assert_eq!(at("+365d"), Some(1_731_536_001_000));
    }

    #[test]
    fn an_end_that_has_passed_or_makes_no_sense_is_refused() {
        let refused = [
            "1700000000",
            "0",
            "-1",
            "1700000060000",
            "+30",
            "+m",
            "+-5m",
            "+ 5m",
            "30m",
            "+1w",
            "+",
            "",
            "+99999999999999999999s",
            "+9223372036854775807d",
            "tomorrow",
        ];
        for text in refused {
            assert_eq!(end(text.as_bytes(), NOW), None, "{text}");
        }
    }
}
