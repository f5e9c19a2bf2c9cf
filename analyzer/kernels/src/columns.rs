//! The values of keys as columns, made while the objects that hold them are still in the cache.

#![forbid(unsafe_code)]

use crate::distinct::Distinct;
use crate::escapes::unescaped;
use crate::json::{span, text, Scanner, Span, Values};
use crate::memory::ahead;
use crate::words::{backslashes, word};

/// Texts up to this length lie inside their view itself (Arrow columnar format, variable-size binary view).
const INLINE: usize = 12;

/// Objects from here whose first octets are asked for: they may lie far apart.
const AHEAD: usize = 8;
const CACHE_LINE: i64 = 64;

/// What is made of the value of a key in each of `n` objects, and the words that it takes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Its span: `n`.
    Plain,
    /// The number of its text among those that differ, and where each of these first was: `n` and `n`.
    Distinct,
    /// The string without its quotes and escapes as a view of Arrow, whether there is one, which `null` is not: `2 n`
    /// and a bit for each object.
    Text,
    /// The same, and the empty string is none.
    Told,
    /// Microseconds since 1970 of a string as "2006-01-02T15:04:05.000000Z": `n`.
    Moment,
}

impl Kind {
    pub fn of(letter: u8) -> Option<Self> {
        match letter {
            b'p' => Some(Kind::Plain),
            b'd' => Some(Kind::Distinct),
            b't' => Some(Kind::Text),
            b'n' => Some(Kind::Told),
            b'm' => Some(Kind::Moment),
            _ => None,
        }
    }
}

/// How many words the column of a key takes for `n` objects.
fn width(kind: Kind, n: usize) -> usize {
    match kind {
        Kind::Plain | Kind::Moment => n,
        Kind::Distinct => 2 * n,
        Kind::Text | Kind::Told => 2 * n + (n + 63) / 64,
    }
}

/// Where the columns go: their `words` one after the other, in `counts` how many values or distinct texts each has, in
/// `bytes` the long strings of all.
pub struct Columns<'a> {
    pub words: &'a mut [u64],
    pub counts: &'a mut [u64],
    pub bytes: &'a mut [u8],
}

/// The columns of the keys in each of these texts, which are one object each; a text of no length has no values. How
/// many `bytes` were taken. None where a text is not exactly one object, or a value not of its kind.
pub fn columns(
    data: &[u8],
    objects: &[Span],
    scanner: &mut Scanner,
    kinds: &[Kind],
    seed: u64,
    into: &mut Columns,
) -> Option<usize> {
    let n = objects.len();
    if kinds.len() != scanner.count() || into.words.len() != kinds.iter().map(|&kind| width(kind, n)).sum::<usize>() {
        return None;
    }
    let mut rest = &mut *into.words;
    let mut columns = Vec::new();
    for &kind in kinds {
        let (words, others) = rest.split_at_mut(width(kind, n));
        rest = others;
        columns.push(Column { kind, objects: n, words, table: Distinct::new(seed), count: 0 });
    }
    let mut held = Row { data, start: 0, columns, found: vec![0; kinds.len()], expected: 0 };
    let mut state = State { times: Times::default(), plain: Vec::new(), bytes: into.bytes, taken: 0 };
    for (row, &object) in objects.iter().enumerate() {
        if let Some(later) = objects.get(row + AHEAD) {
            ahead(data, (later & 0xFFFF_FFFF) as i64);
            ahead(data, (later & 0xFFFF_FFFF) as i64 + CACHE_LINE);
        }
        let line = text(data, object);
        held.found.fill(0);
        (held.start, held.expected) = ((object & 0xFFFF_FFFF) as usize, 0);
        if !line.is_empty() {
            scanner.line(line, &mut held)?;
        }
        for (key, (column, &span)) in held.columns.iter_mut().zip(&held.found).enumerate() {
            column.take(data, span, row, held.expected >> key & 1 == 1, &mut state)?;
        }
    }
    for (count, column) in into.counts.iter_mut().zip(held.columns) {
        *count = column.end();
    }
    Some(state.taken)
}

/// The values of one object, and a bit for each that is the expected one of its column.
struct Row<'a> {
    data: &'a [u8],
    start: usize,
    columns: Vec<Column<'a>>,
    found: Vec<Span>,
    expected: u64,
}

impl Values for Row<'_> {
    #[inline(always)]
    fn known(&mut self, key: usize, line: &[u8], at: usize) -> usize {
        let column = &self.columns[key];
        if column.kind != Kind::Distinct {
            return 0;
        }
        let before = column.table.expected().map_or(&[][..], |span| text(self.data, span));
        // where a number or a word ends is told by what follows it
        match before.first() {
            Some(b'"' | b'{' | b'[') if line[at..].starts_with(before) => {
                self.expected |= 1 << key;
                before.len()
            }
            _ => 0,
        }
    }

    #[inline(always)]
    fn take(&mut self, key: usize, at: usize, length: usize) {
        self.found[key] = span(self.start + at, length);
    }
}

/// What all columns share: the strings, the last date, and room to work in.
struct State<'a> {
    times: Times,
    plain: Vec<u8>,
    bytes: &'a mut [u8],
    taken: usize,
}

struct Column<'a> {
    kind: Kind,
    objects: usize,
    words: &'a mut [u64],
    table: Distinct,
    count: u64,
}

impl Column<'_> {
    /// The value of one more object, which may be the expected one.
    fn take(&mut self, data: &[u8], span: Span, row: usize, expected: bool, state: &mut State) -> Option<()> {
        match self.kind {
            Kind::Plain => {
                self.words[row] = span;
                self.count += u64::from(span != 0);
            }
            Kind::Distinct => self.words[row] = u64::from(self.table.number(data, span, row, expected)?),
            Kind::Moment => self.words[row] = state.times.micros(text(data, span))? as u64,
            Kind::Text | Kind::Told => {
                let inner = match text(data, span) {
                    [b'"', inner @ .., b'"'] => Some(inner),
                    [] | [b'n', ..] => None,
                    _ => return None,
                };
                self.string(inner.filter(|inner| self.kind == Kind::Text || !inner.is_empty()), row, state)?;
            }
        }
        Some(())
    }

    fn string(&mut self, inner: Option<&[u8]>, row: usize, state: &mut State) -> Option<()> {
        let (views, valid) = self.words.split_at_mut(2 * self.objects);
        if row % 64 == 0 {
            valid[row / 64] = 0;
        }
        let view = &mut views[2 * row..][..2];
        match inner {
            Some(inner) => {
                state.taken += string(inner, state.taken, &mut state.plain, state.bytes, view)?;
                valid[row / 64] |= 1 << (row % 64);
                self.count += 1;
            }
            None => view.fill(0),
        }
        Some(())
    }

    /// How many values there are, or distinct texts, whose places then follow the numbers.
    fn end(self) -> u64 {
        if self.kind != Kind::Distinct {
            return self.count;
        }
        let firsts = self.table.firsts();
        self.words[self.objects..][..firsts.len()].copy_from_slice(firsts);
        firsts.len() as u64
    }
}

/// The view of a string: how many bytes it took, from that place. `plain` is room to work in.
fn string(inner: &[u8], at: usize, plain: &mut Vec<u8>, bytes: &mut [u8], words: &mut [u64]) -> Option<usize> {
    let to = &mut bytes[at..];
    let mut length = inner.len();
    if !copied(inner, to) {
        plain.clear();
        unescaped(inner, plain)?;
        length = plain.len();
        to[..length].copy_from_slice(plain);
    }
    let first = word(&to[..length.min(8)]);
    words[0] = length as u64 | first << 32;
    if length > INLINE {
        words[1] = (at as u64) << 32;
        return Some(length);
    }
    words[1] = first >> 32 | word(&to[8..length.max(8)]) << 32;
    Some(0)
}

/// Copy the bytes; false where there is an escape among them.
fn copied(inner: &[u8], to: &mut [u8]) -> bool {
    let mut at = 0;
    while at + 8 <= inner.len() {
        let eight = &inner[at..at + 8];
        to[at..at + 8].copy_from_slice(eight);
        if backslashes(word(eight)) != 0 {
            return false;
        }
        at += 8;
    }
    to[at..inner.len()].copy_from_slice(&inner[at..]);
    !inner[at..].contains(&b'\\')
}

/// Reads times; those of a log are of few days.
#[derive(Default)]
struct Times {
    date: [u8; 10],
    day: Option<i64>,
}

impl Times {
    /// Microseconds since 1970; None where the text is not of exactly this form, or no time of the calendar.
    fn micros(&mut self, value: &[u8]) -> Option<i64> {
        if value.len() != 29 || value[0] != b'"' || value[27..] != *b"Z\"" {
            return None;
        }
        if self.day.is_none() || value[1..11] != self.date {
            self.date.copy_from_slice(&value[1..11]);
            self.day = Some(day(&self.date)?);
        }
        Some(self.day? * 86_400_000_000 + clock(&value[11..27])?)
    }
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
    let add =
        |sum: i64, digit: &u8| if digit.is_ascii_digit() { Some(sum * 10 + i64::from(digit - b'0')) } else { None };
    digits.iter().try_fold(0, add)
}
