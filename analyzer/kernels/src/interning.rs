//! Addresses and names that were met before, by direct-mapped tables: `Interner.ids` but for what is new.

#![forbid(unsafe_code)]

use crate::memory::ahead;

/// Each in turn mixes a word of a key in.
const MIX: [u64; 4] = [0x9E37_79B9_7F4A_7C15, 0xC2B2_AE3D_27D4_EB4F, 0x1656_67B1_9E37_79F9, 0x27D4_EB2F_1656_67C5];
/// Words of a short name, and of a long one.
const SHORT: usize = 8;
const LONG: usize = 32;
/// Names that are asked for before their turn, and those whose slots are.
const AHEAD: usize = 16;
const TOGETHER: usize = 8;

/// A name that is not there, and one that is not known and may get an id.
const NOWHERE: u32 = 0;
const UNKNOWN: u32 = u32::MAX;

/// The keys and ids of an `Interner`.
pub struct Table<'a> {
    pub keys: &'a [u64],
    pub ids: &'a [i64],
}

/// The id of each address, -1 where it is not known; how many are not. An IPv4 address is in the low word alone.
pub fn addresses(
    six: &[u8],
    high: &[u64],
    low: &[u64],
    four_table: &Table,
    six_table: &Table,
    out: &mut [i64],
) -> usize {
    let mut missing = 0;
    for (row, id) in out.iter_mut().enumerate() {
        *id = if six[row] != 0 { six_table.find([high[row], low[row]]) } else { four_table.find([low[row]]) };
        missing += (*id < 0) as usize;
    }
    missing
}

/// The ends of packets: of the source of each of the rows and then of each destination the id, those of IPv6 counted on
/// from `fours`; how many are not known.
pub struct Ends<'a> {
    pub version: &'a [u8],
    pub rows: &'a [i64],
    pub words: [(&'a [u64], &'a [u64]); 2],
    pub fours: u32,
}

pub fn ends(packets: &Ends, four_table: &Table, six_table: &Table, out: &mut [u32]) -> usize {
    let mut missing = 0;
    for ((high, low), ids) in packets.words.iter().zip(out.chunks_exact_mut(packets.rows.len().max(1))) {
        for (row, id) in packets.rows.iter().zip(ids) {
            let row = *row as usize;
            let six = packets.version[row] == 6;
            let found = if six { six_table.find([high[row], low[row]]) } else { four_table.find([low[row]]) };
            missing += (found < 0) as usize;
            *id = (found as u32).wrapping_add(if six { packets.fours } else { 0 });
        }
    }
    missing
}

/// The id of each name that stands in `data` with its final zero, NOWHERE of those at no place, UNKNOWN where it is not
/// known; how many are not. Short names have a table of their own; the ids of long ones count from `shorts` on.
pub fn names(
    data: &[u8],
    at: &[i64],
    length: &[i64],
    short: &Table,
    long: &Table,
    out: &mut [u32],
    shorts: u32,
) -> usize {
    let mut missing = 0;
    let mut keys = [([0; SHORT], 0); TOGETHER];
    for (turn, ids) in out.chunks_mut(TOGETHER).enumerate() {
        let first = turn * TOGETHER;
        // The slots of some names are asked for together, and looked at when they are there.
        for (row, (key, mix)) in (first..first + ids.len()).zip(&mut keys) {
            if let Some(next) = at.get(row + AHEAD) {
                ahead(data, *next);
            }
            if at[row] >= 0 && length[row] as usize <= SHORT * 8 {
                *key = words(data, at[row] as usize, length[row] as usize);
                *mix = mixed(key);
                ahead(short.keys, (short.first(*mix) * SHORT) as i64);
                ahead(short.ids, short.first(*mix) as i64);
            }
        }
        for (row, (id, (key, mix))) in (first..).zip(ids.iter_mut().zip(&keys)) {
            let (place, size) = (at[row], length[row] as usize);
            let (found, from) = match size > SHORT * 8 {
                _ if place < 0 => (NOWHERE as i64, 0),
                false => (short.found(key, *mix), 0),
                true => (long.find(words::<LONG>(data, place as usize, size)), shorts),
            };
            *id = if found < 0 { UNKNOWN } else { found as u32 + from };
            missing += (found < 0) as usize;
        }
    }
    missing
}

/// A name as words, zero behind its end. A window is padded: whole words can be read.
fn words<const WORDS: usize>(data: &[u8], place: usize, size: usize) -> [u64; WORDS] {
    let octets = data[place..place + WORDS * 8].chunks_exact(8);
    let mut key = [0; WORDS];
    for (number, (word, octets)) in key.iter_mut().zip(octets).enumerate() {
        let left = size.saturating_sub(number * 8).min(8);
        *word =
            u64::from_le_bytes(octets.try_into().unwrap()) & u64::MAX.checked_shr(64 - 8 * left as u32).unwrap_or(0);
    }
    key.map(|word| word.to_le())
}

fn mixed<const WORDS: usize>(key: &[u64; WORDS]) -> u64 {
    let mut mix = 0u64;
    for (word, times) in key.iter().zip(MIX.iter().cycle()) {
        mix = (mix ^ word).wrapping_mul(*times);
        mix ^= mix >> 29;
    }
    mix
}

impl Table<'_> {
    fn find<const WORDS: usize>(&self, key: [u64; WORDS]) -> i64 {
        self.found(&key, mixed(&key))
    }

    /// The slot that a key goes to if it is free.
    fn first(&self, mix: u64) -> usize {
        (mix >> (64 - self.ids.len().trailing_zeros())) as usize
    }

    fn found<const WORDS: usize>(&self, key: &[u64; WORDS], mix: u64) -> i64 {
        let id = self.held(key, self.first(mix));
        if id >= 0 {
            id
        } else {
            self.held(key, (mix & (self.ids.len() as u64 - 1)) as usize)
        }
    }

    fn held<const WORDS: usize>(&self, key: &[u64; WORDS], slot: usize) -> i64 {
        if self.keys[slot * WORDS..(slot + 1) * WORDS] == key[..] {
            self.ids[slot]
        } else {
            -1
        }
    }
}
