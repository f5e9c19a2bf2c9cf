//! Equal texts: each gets the number of the first one that is like it.

#![forbid(unsafe_code)]

use crate::json::{text, Span};

/// Steps of searching for each text, on average, from which the table is given up: a good hash needs fewer than two.
const STEPS: usize = 16;

/// A hash of eight bytes at a time, by the high and the low half of a product (as wyhash does). Who does not know the
/// seed cannot make texts that collide; if somebody could, `distinct` would give up.
fn hash(bytes: &[u8], seed: u64) -> u64 {
    const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut state = seed ^ bytes.len() as u64;
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        let mut eight = [0; 8];
        eight.copy_from_slice(word);
        state = folded(state ^ u64::from_le_bytes(eight), seed | FACTOR);
    }
    let mut rest = [0; 8];
    rest[..words.remainder().len()].copy_from_slice(words.remainder());
    folded(state ^ u64::from_le_bytes(rest), FACTOR)
}

fn folded(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    product as u64 ^ (product >> 64) as u64
}

/// The number of the text at each span, from 0 in the order in which they first come; `firsts` gets where that was.
/// How many there are. None where too many collide.
pub fn distinct(data: &[u8], spans: &[Span], seed: u64, codes: &mut [u32], firsts: &mut [u32]) -> Option<usize> {
    let (mut count, mut steps) = (0usize, 0usize);
    let mut table: Vec<(u32, u32)> = vec![(0, u32::MAX); 256];
    let (mut last, mut code) = (None, 0);
    for (row, &span) in spans.iter().enumerate() {
        let here = text(data, span);
        // what comes often comes in a row
        if last == Some(here) {
            codes[row] = code;
            continue;
        }
        if count * 2 >= table.len() {
            table = grown(data, spans, seed, firsts, count, table.len() * 4);
        }
        let mixed = hash(here, seed);
        let (mark, mask) = ((mixed >> 32) as u32, table.len() - 1);
        let mut place = mixed as usize & mask;
        code = loop {
            let (known, number) = table[place];
            if number == u32::MAX {
                table[place] = (mark, count as u32);
                firsts[count] = row as u32;
                count += 1;
                break count as u32 - 1;
            }
            if known == mark && text(data, spans[firsts[number as usize] as usize]) == here {
                break number;
            }
            place = (place + 1) & mask;
            steps += 1;
            if steps > STEPS * (row + 64) {
                return None;
            }
        };
        codes[row] = code;
        last = Some(here);
    }
    Some(count)
}

/// A larger table of the texts that are known so far.
fn grown(data: &[u8], spans: &[Span], seed: u64, firsts: &[u32], count: usize, size: usize) -> Vec<(u32, u32)> {
    let mut table = vec![(0, u32::MAX); size];
    for (number, &row) in firsts[..count].iter().enumerate() {
        let mixed = hash(text(data, spans[row as usize]), seed);
        let mut place = mixed as usize & (size - 1);
        while table[place].1 != u32::MAX {
            place = (place + 1) & (size - 1);
        }
        table[place] = ((mixed >> 32) as u32, number as u32);
    }
    table
}
