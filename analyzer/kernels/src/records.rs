//! Heads of records of pcap, column after column: `PcapFormat.heads` and `PcapFormat.columns`.

#![forbid(unsafe_code)]

use crate::chains::{each_head, Records, Words};

/// What `chains::fields` made.
pub struct Fields<'a> {
    pub seconds: &'a [i64],
    pub fraction: &'a [i64],
    pub captured: &'a [i64],
    pub wire: &'a [i64],
}

impl Fields<'_> {
    pub fn new(all: &[i64]) -> Fields<'_> {
        let (first, second) = all.split_at(all.len() / 2);
        let (seconds, fraction) = first.split_at(first.len() / 2);
        let (captured, wire) = second.split_at(second.len() / 2);
        Fields { seconds, fraction, captured, wire }
    }
}

/// What a head may state. `near` is the time of the first one.
pub struct Limits {
    pub near: i64,
    pub near_most: i64,
    pub fraction: i64,
    pub captured_most: i64,
    pub wire_most: i64,
}

impl Limits {
    fn far(&self, words: &Words) -> bool {
        (words[0] - self.near).abs() > self.near_most
    }

    /// A head that is impossible, or strange in two ways at once.
    fn odd(&self, words: &Words) -> bool {
        let [seconds, fraction, captured, wire] = *words;
        let ways = [self.far(words), fraction >= self.fraction, captured > wire, wire > self.wire_most];
        let strange: u8 = ways.iter().map(|way| *way as u8).sum();
        captured > self.captured_most || strange >= 2 || seconds | fraction | captured | wire == 0
    }
}

/// `chains::fields`, and the first of them that cannot be a record, and how many are of another time.
pub fn heads(limits: &Limits, records: &Records, data: &[u8], at: &[i64], out: &mut [i64]) -> (usize, usize) {
    let (mut first, mut others) = (at.len(), 0);
    each_head(records, data, at, out, |row, words| {
        others += limits.far(words) as usize;
        if limits.odd(words) {
            first = first.min(row);
        }
    });
    (first, others)
}

/// Per record.
pub struct Columns<'a> {
    pub start: &'a mut [i64],
    pub end: &'a mut [i64],
    pub wire: &'a mut [i64],
    pub time: &'a mut [i64],
}

/// The frames of the records at these places.
pub fn places(offsets: &[i64], fields: &Fields, header: i64, out: &mut Columns) {
    let bounds = out.start.iter_mut().zip(out.end.iter_mut());
    for ((at, captured), (start, end)) in offsets.iter().zip(fields.captured).zip(bounds) {
        *start = at + header;
        *end = *start + captured;
    }
    out.wire.copy_from_slice(&fields.wire[..offsets.len()]);
}

/// Microseconds since 1970, of fractions of which `micro` are one.
pub fn times(fields: &Fields, micro: i64, out: &mut Columns) {
    // To divide takes ten times as long, and is mostly by one.
    if micro == 1 {
        each_time(fields, out.time, |fraction| fraction);
    } else {
        each_time(fields, out.time, |fraction| fraction / micro);
    }
}

fn each_time(fields: &Fields, out: &mut [i64], micros: impl Fn(i64) -> i64) {
    for (time, (seconds, fraction)) in out.iter_mut().zip(fields.seconds.iter().zip(fields.fraction)) {
        *time = seconds * 1_000_000 + micros(*fraction);
    }
}

/// Of the first `count` records those that state a fraction of a second or more, and those of more captured than
/// original octets.
pub fn counts(fields: &Fields, count: usize, second: i64) -> [i64; 2] {
    let carried = fields.fraction[..count].iter().filter(|fraction| **fraction >= second).count();
    let lengths = fields.captured[..count].iter().zip(fields.wire);
    [carried as i64, lengths.filter(|(captured, wire)| captured > wire).count() as i64]
}
