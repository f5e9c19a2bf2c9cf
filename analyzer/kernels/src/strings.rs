//! JSON strings as columns: texts in the views of Arrow, and times as numbers.

#![forbid(unsafe_code)]

use crate::json::{same, text, unescaped, Span};

/// Texts up to this length lie inside their view itself (Arrow columnar format, variable-size binary view).
const INLINE: usize = 12;

/// Where strings go: two words of a view and a bit of validity for each, and the bytes of the long ones.
pub struct Views<'a> {
    pub words: &'a mut [u64],
    pub valid: &'a mut [u8],
    pub bytes: &'a mut [u8],
}

/// The strings at the spans without their quotes and escapes. No value and `null` are none, and so is the empty text if
/// `told` asks for such that tell something. `bytes` has room for all of them, and 8 more. How many bytes were taken;
/// None where a value is no string.
pub fn strings(data: &[u8], spans: &[Span], told: bool, views: &mut Views) -> Option<usize> {
    let (mut taken, mut plain) = (0, Vec::new());
    for (row, &span) in spans.iter().enumerate() {
        let value = text(data, span);
        let inner = match value.first() {
            Some(b'"') => &value[1..value.len() - 1],
            None | Some(b'n') => continue,
            _ => return None,
        };
        if told && inner.is_empty() {
            continue;
        }
        let begin = (span & 0xFFFF_FFFF) as usize + 1;
        let length = if copied(data, begin, inner.len(), &mut views.bytes[taken..]) {
            inner.len()
        } else {
            plain.clear();
            unescaped(inner, &mut plain)?;
            views.bytes[taken..taken + plain.len()].copy_from_slice(&plain);
            plain.len()
        };
        let first = word(&views.bytes[taken..], length.min(8));
        views.words[2 * row] = length as u64 | first << 32;
        views.words[2 * row + 1] = if length > INLINE {
            taken += length;
            ((taken - length) as u64) << 32
        } else {
            let second = word(&views.bytes[(taken + 8)..], length.max(8) - 8);
            first >> 32 | second << 32
        };
        views.valid[row / 8] |= 1 << (row % 8);
    }
    Some(taken)
}

/// Copy so many bytes, and perhaps a few more; false where there is an escape among them.
fn copied(data: &[u8], begin: usize, length: usize, to: &mut [u8]) -> bool {
    let mut at = 0;
    while at + 8 <= length {
        let bytes = &data[begin + at..begin + at + 8];
        to[at..at + 8].copy_from_slice(bytes);
        if same(word(bytes, 8), b'\\') != 0 {
            return false;
        }
        at += 8;
    }
    let rest = &data[begin + at..begin + length];
    to[at..length].copy_from_slice(rest);
    !rest.contains(&b'\\')
}

/// The first so many of eight bytes as a number.
fn word(bytes: &[u8], count: usize) -> u64 {
    let mut eight = [0; 8];
    eight[..count].copy_from_slice(&bytes[..count]);
    u64::from_le_bytes(eight)
}

/// Microseconds since 1970 of times as `"2006-01-02T15:04:05.000000Z"`, quotes and all; None where one is not of
/// exactly this form, or no time of the calendar.
pub fn moments(data: &[u8], spans: &[Span], micros: &mut [i64]) -> Option<usize> {
    let (mut date, mut days) = ([0; 10], None);
    for (row, &span) in spans.iter().enumerate() {
        let value = text(data, span);
        if value.len() != 29 || value[27..] != *b"Z\"" || value[0] != b'"' {
            return None;
        }
        if days.is_none() || value[1..11] != date {
            date.copy_from_slice(&value[1..11]);
            days = Some(day(&date)?);
        }
        micros[row] = days? * 86_400_000_000 + clock(&value[11..27])?;
    }
    Some(spans.len())
}

/// Days since 1970 of `2006-01-02`, as Howard Hinnant counts them ("chrono-Compatible Low-Level Date Algorithms").
fn day(date: &[u8; 10]) -> Option<i64> {
    if date[4] != b'-' || date[7] != b'-' {
        return None;
    }
    let (year, month, day) = (figure(&date[..4])?, figure(&date[5..7])?, figure(&date[8..])?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let most = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if day < 1 || day > most {
        return None;
    }
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * month + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

/// Microseconds of `T15:04:05.000000`.
fn clock(text: &[u8]) -> Option<i64> {
    if text[0] != b'T' || text[3] != b':' || text[6] != b':' || text[9] != b'.' {
        return None;
    }
    let (hour, minute, second) = (figure(&text[1..3])?, figure(&text[4..6])?, figure(&text[7..9])?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some(((hour * 60 + minute) * 60 + second) * 1_000_000 + figure(&text[10..])?)
}

fn figure(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |sum, digit| if digit.is_ascii_digit() { Some(sum * 10 + i64::from(digit - b'0')) } else { None })
}
