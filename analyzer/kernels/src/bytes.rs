//! Big-endian fields of octets. Behind the end there are zeros.

#![forbid(unsafe_code)]

use crate::memory::ahead;

/// Fields that are asked for before their turn.
const AHEAD: usize = 16;

/// The field at each place; at the end of the data the last one stands for those behind it.
pub fn halves(data: &[u8], at: &[i64], out: &mut [u16]) {
    let last = data.len() - 2;
    for (row, field) in out.iter_mut().enumerate() {
        if let Some(next) = at.get(row + AHEAD) {
            ahead(data, *next);
        }
        *field = half(data, (at[row] as usize).min(last)) as u16;
    }
}

pub fn half(data: &[u8], at: usize) -> usize {
    match data.get(at..at + 2) {
        Some(bytes) => (bytes[0] as usize) << 8 | bytes[1] as usize,
        None => 0,
    }
}

pub fn full(data: &[u8], at: usize) -> usize {
    half(data, at) << 16 | half(data, at + 2)
}

pub fn long(data: &[u8], at: usize) -> u64 {
    match data.get(at..at + 8).map(TryInto::try_into) {
        Some(Ok(bytes)) => u64::from_be_bytes(bytes),
        _ => (full(data, at) as u64) << 32 | full(data, at + 4) as u64,
    }
}
