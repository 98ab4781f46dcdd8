// SPDX-License-Identifier: AGPL-3.0-or-later
//! Extended header records of POSIX archives: `LENGTH KEY=VALUE\n`, where the value may hold any byte.

use super::meta::Time;
use crate::{Error, Result};

/// Appends a record. The length counts its own digits.
pub fn push(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    // The blank, the equals sign, the newline.
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + digits(length) != length {
        length = rest + digits(length);
    }
    out.extend_from_slice(length.to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

fn digits(number: usize) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}

/// The records of a header's data, in order.
pub fn records(mut data: &[u8]) -> impl Iterator<Item = Result<(&[u8], &[u8])>> {
    std::iter::from_fn(move || {
        // Some writers pad with zeros.
        if data.iter().all(|byte| *byte == 0) {
            return None;
        }
        let Some((key, value, rest)) = first(data) else {
            data = &[];
            return Some(Err(Error::invalid(
                "read archive: an extended header is damaged; see the sender's log",
            )));
        };
        data = rest;
        Some(Ok((key, value)))
    })
}

/// Key and value of the first record, and what follows.
fn first(data: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let blank = data.iter().take(20).position(|byte| *byte == b' ')?;
    let length = usize::try_from(number(&data[..blank])?).ok()?;
    let record = data.get(blank + 1..length)?;
    let (newline, record) = record.split_last()?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    (*newline == b'\n' && equals > 0)
        .then(|| (&record[..equals], &record[equals + 1..], &data[length..]))
}

/// A decimal number without sign.
pub fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A time in decimal seconds, as records have it.
pub fn time_text(time: Time) -> String {
    match (time.seconds, time.nanos) {
        (seconds, 0) => seconds.to_string(),
        (seconds, nanos) if seconds >= 0 => trimmed(&format!("{seconds}.{nanos:09}")),
        // Before the epoch the fraction counts away from zero.
        (seconds, nanos) => trimmed(&format!(
            "-{}.{:09}",
            (seconds + 1).unsigned_abs(),
            1_000_000_000 - nanos
        )),
    }
}

fn trimmed(text: &str) -> String {
    text.trim_end_matches('0').to_owned()
}

/// The time of a record; digits beyond nanoseconds are dropped.
pub fn time(text: &[u8]) -> Option<Time> {
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let mut parts = text.splitn(2, |byte| *byte == b'.');
    let seconds = i64::try_from(number(parts.next()?)?).ok()?;
    let fraction = parts.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let nanos = (0..9).fold(0, |sum, at| {
        sum * 10 + u32::from(fraction.get(at).map_or(0, |digit| digit - b'0'))
    });
    Some(match (negative, nanos) {
        (false, nanos) => Time { seconds, nanos },
        (true, 0) => Time {
            seconds: -seconds,
            nanos,
        },
        (true, nanos) => Time {
            seconds: -seconds - 1,
            nanos: 1_000_000_000 - nanos,
        },
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_length_counts_its_own_digits() {
        for length in [1, 4, 5, 6, 92, 93, 94, 95, 990, 991, 992, 993] {
            let mut out = Vec::new();
            push(&mut out, b"k", &vec![b'v'; length]);
            let text = String::from_utf8(out.clone()).unwrap();
            let said: usize = text.split(' ').next().unwrap().parse().unwrap();
            assert_eq!(said, out.len());
        }
    }

    #[test]
    fn damaged_records_are_errors() {
        for text in [
            "5 a=b\n",
            "7 a=b\n",
            "6 a=bc",
            "6 =bc\n",
            "6 abc\n",
            " a=b\n",
            "-6 a=b\n",
            "6a=b\n",
            "99999999999999999999999 a=b\n",
            "18446744073709551615 a=b\n",
            "0 a=b\n",
            "2 \n",
        ] {
            assert!(
                records(text.as_bytes()).any(|record| record.is_err()),
                "{text:?}"
            );
        }
    }

    #[test]
    fn times_before_the_epoch() {
        let time_of = |seconds, nanos| Time { seconds, nanos };
        assert_eq!(time_text(time_of(-1, 500_000_000)), "-0.5");
        assert_eq!(time_text(time_of(-2, 0)), "-2");
        assert_eq!(time(b"-1.25"), Some(time_of(-2, 750_000_000)));
        assert_eq!(time(b"1.0000000019"), Some(time_of(1, 1)));
        for bad in ["", "x", "1.x", "--1", "1.-1", "9223372036854775808"] {
            assert_eq!(time(bad.as_bytes()), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn records_come_back(all in prop::collection::vec(("[a-zA-Z.]{1,20}", prop::collection::vec(any::<u8>(), 0..300)), 0..6)) {
            let mut out = Vec::new();
            for (key, value) in &all {
                push(&mut out, key.as_bytes(), value);
            }
            let back: Vec<_> = records(&out).map(|record| record.unwrap()).collect();
            let wanted: Vec<_> = all.iter().map(|(key, value)| (key.as_bytes(), value.as_slice())).collect();
            prop_assert_eq!(back, wanted);
        }

        #[test]
        fn times_come_back(seconds in -(1_i64 << 40)..(1 << 40), nanos in 0..1_000_000_000_u32) {
            let time_of = Time { seconds, nanos };
            prop_assert_eq!(time(time_text(time_of).as_bytes()), Some(time_of));
        }

        #[test]
        fn any_bytes_are_records_or_an_error(data in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = records(&data).count();
        }
    }
}
