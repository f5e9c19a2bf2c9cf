//! Columns of some rows, as narrow as their table has them.

#![forbid(unsafe_code)]

use crate::bytes::half;
use crate::memory::ahead;

/// A number of a table.
pub trait Number: Copy {
    fn of(value: i64) -> Self;
}

macro_rules! number {
    ($($kind:ty),*) => { $(impl Number for $kind {
        #[inline(always)]
        fn of(value: i64) -> Self {
            value as $kind
        }
    })* };
}

number!(i16, i32, i64);

/// The values of these rows, and which of them are not `absent`; how many are.
pub fn taken<T: Number>(values: &[i64], rows: &[i64], absent: i64, out: &mut [T], known: &mut [u8]) -> usize {
    let mut missing = 0;
    for ((row, place), there) in rows.iter().zip(out.iter_mut()).zip(known.iter_mut()) {
        let value = values[*row as usize];
        *place = T::of(value);
        *there = (value != absent) as u8;
        missing += (value == absent) as usize;
    }
    missing
}

/// Packets that are asked for before their turn.
const AHEAD: usize = 12;
const TCP: u8 = 6;
const ABSENT: i64 = -1;
const NO_TIME: i64 = i64::MIN;

/// Columns of the frames of a window, and which of them are packets.
pub struct Frames<'a> {
    pub data: &'a [u8],
    pub end: &'a [i64],
    pub protocol: &'a [u8],
    pub rows: &'a [i64],
    pub payload: &'a [i64],
    pub payload_bytes: &'a [i64],
    pub halves: [&'a [i64]; 2],
    pub words: [&'a [i64]; 5],
    pub longs: [&'a [i64]; 5],
    pub time: &'a [i64],
}

/// Columns of the packets by their width, which values are there, and in each how many are not.
pub struct Columns<'a> {
    pub halves: &'a mut [i16],
    pub words: &'a mut [i32],
    pub longs: &'a mut [i64],
    pub known: &'a mut [u8],
    pub missing: &'a mut [i64],
}

/// The narrowest columns first, of each width those of `Frames` in its order, and in front of all the TLS records.
pub fn packets(frames: &Frames, out: &mut Columns) {
    let (rows, count) = (frames.rows, frames.rows.len());
    let mut known = out.known.chunks_exact_mut(count.max(1));
    let mut missing = out.missing.iter_mut();
    let mut next = || (known.next().unwrap_or_default(), missing.next().unwrap());
    let mut halves = out.halves.chunks_exact_mut(count.max(1));
    let (there, lacking) = next();
    *lacking = frames.tls_records(halves.next().unwrap_or_default(), there) as i64;
    for values in frames.halves {
        let (there, lacking) = next();
        *lacking = taken(values, rows, ABSENT, halves.next().unwrap_or_default(), there) as i64;
    }
    let mut words = out.words.chunks_exact_mut(count.max(1));
    for values in frames.words {
        let (there, lacking) = next();
        *lacking = taken(values, rows, ABSENT, words.next().unwrap_or_default(), there) as i64;
    }
    let mut longs = out.longs.chunks_exact_mut(count.max(1));
    let of_time = (frames.time, NO_TIME);
    for (values, absent) in frames.longs.iter().map(|&values| (values, ABSENT)).chain([of_time]) {
        let (there, lacking) = next();
        *lacking = taken(values, rows, absent, longs.next().unwrap_or_default(), there) as i64;
    }
}

impl Frames<'_> {
    /// The content type of the TLS record that a TCP payload begins with: `packets._tls_records`.
    fn tls_records(&self, out: &mut [i16], known: &mut [u8]) -> usize {
        let mut missing = 0;
        for (place, (kind, there)) in out.iter_mut().zip(known.iter_mut()).enumerate() {
            if let Some(next) = self.rows.get(place + AHEAD) {
                ahead(self.data, self.payload[*next as usize]);
            }
            let found = self.tls_record(self.rows[place] as usize);
            *kind = found.map_or(ABSENT as i16, i16::from);
            *there = found.is_some() as u8;
            missing += found.is_none() as usize;
        }
        missing
    }

    fn tls_record(&self, row: usize) -> Option<u8> {
        let at = self.payload[row];
        if self.protocol[row] != TCP || self.payload_bytes[row] < 5 || at + 3 > self.end[row] {
            return None;
        }
        let kind = self.data[at as usize];
        // Every version since SSL 3.0 writes 3 and at most 4 here.
        let known = (20..=23).contains(&kind) && (0x0300..=0x0304).contains(&half(self.data, at as usize + 1));
        Some(kind).filter(|_| known)
    }
}

// Bits of the flags of a DNS message, and codes that they end in (RFC 1035 section 4.1.1).
const RESPONSE: i64 = 0x8000;
const AUTHORITATIVE: i64 = 0x0400;
const TRUNCATED: i64 = 0x0200;
const RCODE: i64 = 15;
const NOERROR: i64 = 0;
const NXDOMAIN: i64 = 3;

/// Decoded DNS messages: what their headers say, and the lives of negative answers.
pub struct Messages<'a> {
    pub id: &'a [i64],
    pub flags: &'a [i64],
    pub answers: &'a [i64],
    pub negative_ttl: &'a [i64],
}

/// Columns of some messages (`dns_tables._header`): three of `numbers` (id, place of the text of the rcode, answers),
/// the lives of negative answers, four of `facts` (response, truncated, authoritative, whether there is a life).
pub fn header(messages: &Messages, rows: &[i64], numbers: &mut [i32], lives: &mut [i64], facts: &mut [u8]) {
    let count = rows.len();
    for (place, row) in rows.iter().enumerate() {
        let row = *row as usize;
        let flags = messages.flags[row];
        let (response, rcode) = (flags & RESPONSE != 0, flags & RCODE);
        let ends = response && (rcode == NOERROR || rcode == NXDOMAIN);
        let told = [
            messages.id[row],
            if response { rcode + 1 } else { 0 },
            if response { messages.answers[row] } else { ABSENT },
        ];
        for (column, value) in told.iter().enumerate() {
            numbers[column * count + place] = *value as i32;
        }
        lives[place] = if ends { messages.negative_ttl[row] } else { ABSENT };
        let said = [response, flags & TRUNCATED != 0, flags & AUTHORITATIVE != 0, lives[place] != ABSENT];
        for (column, value) in said.iter().enumerate() {
            facts[column * count + place] = *value as u8;
        }
    }
}
