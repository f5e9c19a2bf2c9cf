//! Text eight bytes at a time: the first byte is the lowest.

#![forbid(unsafe_code)]

/// One in each byte.
const ONES: u64 = 0x0101_0101_0101_0101;

/// The high bit of each byte.
pub const HIGH: u64 = 0x8080_8080_8080_8080;

/// Up to eight bytes as a number.
#[inline(always)]
pub fn word(bytes: &[u8]) -> u64 {
    if let Ok(eight) = bytes.try_into() {
        return u64::from_le_bytes(eight);
    }
    let mut eight = [0; 8];
    eight[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(eight)
}

/// The high bit of each of eight bytes that is a backslash; above the first there may be others.
#[inline(always)]
pub fn backslashes(eight: u64) -> u64 {
    (eight ^ ONES * 0x5C).wrapping_sub(ONES) & !eight & HIGH
}

/// The same for a quote, and for the bytes below 32 that must not stand in a string: with its second bit turned a quote
/// is 32, they stay below, and nothing else gets there.
#[inline(always)]
pub fn stops(eight: u64) -> u64 {
    (eight ^ ONES * 2).wrapping_sub(ONES * 0x21) & !eight & HIGH
}
