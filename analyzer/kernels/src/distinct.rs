//! Equal texts: each gets the number of the first one that is like it.

#![forbid(unsafe_code)]

use crate::json::{text, Span};
use crate::words::word;

/// Steps of searching for each text, on average, from which the table is given up: a good hash needs fewer than two.
const STEPS: usize = 16;

const FREE: u32 = u32::MAX;

/// Numbers texts from 0 in the order in which they first come.
///
/// Texts are compared byte by byte; the hash only says with which. Who does not know the seed cannot make texts whose
/// hashes collide; if somebody could, the table would be given up before it becomes slow.
pub struct Distinct {
    seed: u64,
    /// Where each text first was.
    firsts: Vec<Span>,
    /// Half of the hash and the number of a text, which is FREE where there is none; at most half full.
    table: Vec<(u32, u32)>,
    steps: usize,
    /// The number that followed each number last time: what is written again and again comes in the same order.
    next: Vec<u32>,
    last: u32,
}

impl Distinct {
    pub fn new(seed: u64) -> Self {
        Distinct { seed, firsts: Vec::new(), table: vec![(0, FREE); 64], steps: 0, next: Vec::new(), last: 0 }
    }

    /// A text that may come next: where it first was.
    #[inline(always)]
    pub fn expected(&self) -> Option<Span> {
        Some(self.firsts[*self.next.get(self.last as usize)? as usize])
    }

    /// The number of the text at that span in that row, which may be `known` to be the expected one; None where too
    /// many texts collide.
    #[inline(always)]
    pub fn number(&mut self, data: &[u8], span: Span, row: usize, known: bool) -> Option<u32> {
        let alike = |other: Span| other >> 32 == span >> 32 && text(data, other) == text(data, span);
        let same = known || self.expected().map_or(false, alike);
        let number = if same { self.next[self.last as usize] } else { self.searched(data, span, row)? };
        if let Some(next) = self.next.get_mut(self.last as usize) {
            *next = number;
        }
        if number as usize == self.next.len() {
            self.next.push(number);
        }
        self.last = number;
        Some(number)
    }

    /// Where each distinct text first was.
    pub fn firsts(&self) -> &[Span] {
        &self.firsts
    }

    fn searched(&mut self, data: &[u8], span: Span, row: usize) -> Option<u32> {
        let here = text(data, span);
        if self.firsts.len() * 2 >= self.table.len() {
            self.grow(data);
        }
        let (mixed, mask) = (hash(here, self.seed), self.table.len() - 1);
        let mut place = mixed as usize & mask;
        loop {
            let (mark, number) = self.table[place];
            if number == FREE {
                self.table[place] = ((mixed >> 32) as u32, self.firsts.len() as u32);
                self.firsts.push(span);
                return Some(self.firsts.len() as u32 - 1);
            }
            if mark == (mixed >> 32) as u32 && text(data, self.firsts[number as usize]) == here {
                return Some(number);
            }
            place = (place + 1) & mask;
            self.steps += 1;
            if self.steps > STEPS * (row + 64) {
                return None;
            }
        }
    }

    fn grow(&mut self, data: &[u8]) {
        let size = self.table.len() * 4;
        self.table = vec![(0, FREE); size];
        for (number, &span) in self.firsts.iter().enumerate() {
            let mixed = hash(text(data, span), self.seed);
            let mut place = mixed as usize & (size - 1);
            while self.table[place].1 != FREE {
                place = (place + 1) & (size - 1);
            }
            self.table[place] = ((mixed >> 32) as u32, number as u32);
        }
    }
}

/// A hash of sixteen bytes at a time, by the high and the low half of a product as wyhash does, in two lanes.
fn hash(bytes: &[u8], seed: u64) -> u64 {
    const ODD: u64 = 0x9E37_79B9_7F4A_7C15;
    let turned = seed.rotate_left(32);
    let (mut state, mut beside) = (seed ^ bytes.len() as u64, turned);
    let mut blocks = bytes.chunks_exact(32);
    for block in &mut blocks {
        state = folded(word(&block[..8]) ^ turned, word(&block[8..16]) ^ state);
        beside = folded(word(&block[16..24]) ^ seed, word(&block[24..]) ^ beside);
    }
    for pair in blocks.remainder().chunks(16) {
        let (first, second) = pair.split_at(pair.len().min(8));
        state = folded(word(first) ^ turned, word(second) ^ state);
    }
    folded(state ^ beside, ODD)
}

fn folded(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    product as u64 ^ (product >> 64) as u64
}
