//! Big-endian fields of octets. Behind the end there are zeros.

#![forbid(unsafe_code)]

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
    (full(data, at) as u64) << 32 | full(data, at + 4) as u64
}
