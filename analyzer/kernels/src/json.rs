//! JSON texts of which a few fields are wanted: where the values of named keys lie, found by a strict scanner.
//!
//! Nothing here knows what the keys mean. Whatever is not plain JSON by RFC 8259, or unusual enough that two decoders
//! could differ over it, is refused, and the caller decodes the same text by other means: a key that comes twice or
//! holds an escape, a lone surrogate, a number of more digits than a double holds, deep nesting.

#![forbid(unsafe_code)]

use crate::escapes;
use crate::words::{backslashes, stops, word, HIGH};
use std::str::from_utf8;

/// Lists and objects inside one another that are followed; a bit of `nested` for each.
const DEPTH: u32 = 100;

/// Keys that can be asked for: a bit of `Scanner::line` for each.
const MOST_KEYS: usize = 64;

/// Digits before the point of a number, behind it, and of its exponent, that no decoder finds too many.
const WHOLE: usize = 18;
const DECIMALS: usize = 40;
const EXPONENT: usize = 2;

/// Where a text lies: its start in the low half, its length in the high one. A length of 0 says that there is none.
pub type Span = u64;

pub fn span(start: usize, length: usize) -> Span {
    start as u64 | (length as u64) << 32
}

pub fn text(data: &[u8], span: Span) -> &[u8] {
    let start = (span & 0xFFFF_FFFF) as usize;
    &data[start..start + (span >> 32) as usize]
}

/// Finds the values of keys in one object after the other.
///
/// Writers put their keys in the same order again and again, so the key that followed last time is tried first.
pub struct Scanner<'a> {
    keys: Vec<Key<'a>>,
    /// The key that followed each key last time, and at the end the first key.
    next: Vec<usize>,
}

/// Who takes the values of the keys of one object.
pub trait Values {
    /// The length of the value that begins at this place of the line, where it is one that was scanned before: then it
    /// is not looked at again. 0 where it is not known.
    fn known(&mut self, key: usize, line: &[u8], at: usize) -> usize;

    /// The place and the length of a value.
    fn take(&mut self, key: usize, at: usize, length: usize);
}

struct Key<'a> {
    name: &'a [u8],
    /// How it stands in an object: `"name":`.
    quoted: Vec<u8>,
    /// The first eight bytes of that, and a mask of those that there are.
    first: (u64, u64),
}

impl<'a> Key<'a> {
    fn new(name: &'a [u8]) -> Self {
        let quoted = [b"\"", name, b"\":"].concat();
        let begin = &quoted[..quoted.len().min(8)];
        Key { name, first: (word(begin), word(&[0xFF; 8][..begin.len()])), quoted }
    }

    /// Whether the text begins like this at that place.
    #[inline(always)]
    fn stands(&self, line: &[u8], at: usize) -> bool {
        match line.get(at..at + 8) {
            Some(here) if word(here) & self.first.1 != self.first.0 => false,
            Some(_) if self.quoted.len() <= 8 => true,
            _ => line[at..].starts_with(&self.quoted),
        }
    }
}

impl<'a> Scanner<'a> {
    /// `names` are the keys, with a line feed after each. None where there are too many.
    pub fn new(names: &'a [u8]) -> Option<Self> {
        let (last, names) = names.split_last()?;
        if *last != b'\n' {
            return None;
        }
        let keys: Vec<_> = names.split(|&byte| byte == b'\n').map(Key::new).collect();
        let count = keys.len();
        if count > MOST_KEYS {
            return None;
        }
        Some(Scanner { keys, next: (1..count).chain([0, 0]).collect() })
    }

    /// How many keys there are.
    pub fn count(&self) -> usize {
        self.keys.len()
    }

    /// Give the values of the keys in one object, which begins and ends the line.
    pub fn line(&mut self, line: &[u8], values: &mut impl Values) -> Option<()> {
        if line.first()? != &b'{' {
            return None;
        }
        let (mut at, mut last, mut seen) = (white(line, 1), self.keys.len(), 0u64);
        if line.get(at)? == &b'}' {
            return if at + 1 == line.len() { Some(()) } else { None };
        }
        loop {
            let (wanted, begin) = self.key(line, at, last)?;
            let mut end = begin;
            if let Some(key) = wanted {
                end += values.known(key, line, begin);
            }
            if end == begin {
                end = value(line, begin)?;
            }
            if let Some(key) = wanted {
                if seen >> key & 1 == 1 {
                    return None;
                }
                seen |= 1 << key;
                last = key;
                values.take(key, begin, end - begin);
            }
            at = white(line, end);
            match line.get(at)? {
                b',' => at = white(line, at + 1),
                b'}' => return if at + 1 == line.len() { Some(()) } else { None },
                _ => return None,
            }
        }
    }

    /// Which key stands there, if it is one that is wanted, and where its value begins.
    fn key(&mut self, line: &[u8], at: usize, last: usize) -> Option<(Option<usize>, usize)> {
        let guess = self.next[last];
        let key = &self.keys[guess];
        if key.stands(line, at) {
            return Some((Some(guess), white(line, at + key.quoted.len())));
        }
        let (name, begin) = named(line, at)?;
        if name.contains(&b'\\') {
            return None;
        }
        let known = self.keys.iter().position(|key| key.name == name);
        if let Some(key) = known {
            self.next[last] = key;
        }
        Some((known, begin))
    }
}

/// The key that stands there, as it is written, and where its value begins.
fn named(line: &[u8], at: usize) -> Option<(&[u8], usize)> {
    if line.get(at)? != &b'"' {
        return None;
    }
    let end = string(line, at + 1)?;
    let colon = white(line, end + 1);
    if line.get(colon)? == &b':' {
        Some((&line[at + 1..end], white(line, colon + 1)))
    } else {
        None
    }
}

/// The first place from there on that is no white space.
#[inline(always)]
fn white(line: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\r' | b'\n') = line.get(at) {
        at += 1;
    }
    at
}

/// Where the value that begins there ends.
#[inline(always)]
fn value(line: &[u8], at: usize) -> Option<usize> {
    match line.get(at)? {
        b'{' | b'[' => nested(line, at),
        _ => scalar(line, at),
    }
}

#[inline(always)]
fn scalar(line: &[u8], at: usize) -> Option<usize> {
    match line.get(at)? {
        b'"' => Some(string(line, at + 1)? + 1),
        b't' => literal(line, at, b"true"),
        b'f' => literal(line, at, b"false"),
        b'n' => literal(line, at, b"null"),
        _ => number(line, at),
    }
}

/// Where the list or the object ends that begins there.
fn nested(line: &[u8], mut at: usize) -> Option<usize> {
    // a bit for each that is open, 1 for an object, the innermost in the lowest place
    let (mut open, mut depth) = (0u128, 0u32);
    loop {
        let first = *line.get(at)?;
        if first == b'{' || first == b'[' {
            depth += 1;
            if depth > DEPTH {
                return None;
            }
            open = open << 1 | u128::from(first == b'{');
            at = white(line, at + 1);
            let closing = if first == b'{' { b'}' } else { b']' };
            if line.get(at)? != &closing {
                at = if first == b'{' { named(line, at)?.1 } else { at };
                continue;
            }
        } else {
            at = white(line, scalar(line, at)?);
        }
        loop {
            match (line.get(at)?, open & 1) {
                (b',', 1) => at = named(line, white(line, at + 1))?.1,
                (b',', _) => at = white(line, at + 1),
                (b'}', 1) | (b']', 0) => {
                    (open, depth) = (open >> 1, depth - 1);
                    if depth == 0 {
                        return Some(at + 1);
                    }
                    at = white(line, at + 1);
                    continue;
                }
                _ => return None,
            }
            break;
        }
    }
}

fn literal(line: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    if line[at..].starts_with(word) {
        Some(at + word.len())
    } else {
        None
    }
}

fn number(line: &[u8], at: usize) -> Option<usize> {
    let begin = if line.get(at)? == &b'-' { at + 1 } else { at };
    let mut end = digits(line, begin)?;
    if end - begin > WHOLE || line[begin] == b'0' && end > begin + 1 {
        return None;
    }
    if line.get(end) == Some(&b'.') {
        let from = end + 1;
        end = digits(line, from)?;
        if end - from > DECIMALS {
            return None;
        }
    }
    if let Some(b'e' | b'E') = line.get(end) {
        let sign = matches!(line.get(end + 1), Some(b'+' | b'-'));
        let from = end + 1 + usize::from(sign);
        end = digits(line, from)?;
        if end - from > EXPONENT {
            return None;
        }
    }
    Some(end)
}

/// Where the digits end, of which there must be one.
fn digits(line: &[u8], at: usize) -> Option<usize> {
    let count = line.get(at..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if count > 0 {
        Some(at + count)
    } else {
        None
    }
}

/// Where the closing quote stands of a string whose first byte is at that place.
#[inline(always)]
fn string(line: &[u8], begin: usize) -> Option<usize> {
    let (mut at, mut seen) = (begin, 0u64);
    loop {
        let byte = match line.get(at..at + 8) {
            Some(eight) => {
                let eight = word(eight);
                seen |= eight;
                let found = backslashes(eight) | stops(eight);
                if found == 0 {
                    at += 8;
                    continue;
                }
                let place = found.trailing_zeros() & !7;
                at += (place / 8) as usize;
                (eight >> place) as u8
            }
            None => {
                let byte = *line.get(at)?;
                seen |= u64::from(byte);
                byte
            }
        };
        match byte {
            b'"' => break,
            b'\\' => at = escapes::end(line, at)?,
            0..=0x1F => return None,
            _ => at += 1,
        }
    }
    if seen & HIGH != 0 {
        from_utf8(&line[begin..at]).ok()?;
    }
    Some(at)
}
