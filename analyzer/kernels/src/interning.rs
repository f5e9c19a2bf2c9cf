//! Addresses that were met before, by direct-mapped tables: `Interner.ids` but for what is new.

#![forbid(unsafe_code)]

const MIX: [u64; 2] = [0x9E37_79B9_7F4A_7C15, 0xC2B2_AE3D_27D4_EB4F];

/// The keys and ids of an `Interner` whose keys have one word or two.
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

impl Table<'_> {
    fn find<const WORDS: usize>(&self, key: [u64; WORDS]) -> i64 {
        let slots = self.ids.len();
        let mut mix = 0u64;
        for (word, times) in key.iter().zip(MIX) {
            mix = (mix ^ word).wrapping_mul(times);
            mix ^= mix >> 29;
        }
        let id = self.held(key, (mix >> (64 - slots.trailing_zeros())) as usize);
        if id >= 0 {
            id
        } else {
            self.held(key, (mix & (slots as u64 - 1)) as usize)
        }
    }

    fn held<const WORDS: usize>(&self, key: [u64; WORDS], slot: usize) -> i64 {
        if self.keys[slot * WORDS..(slot + 1) * WORDS] == key {
            self.ids[slot]
        } else {
            -1
        }
    }
}
