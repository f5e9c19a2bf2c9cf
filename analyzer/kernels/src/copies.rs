//! Packets that may have a copy in their window, or in another one: `duplicates._wanted`.

#![forbid(unsafe_code)]

use crate::bytes::long;
use crate::memory::ahead;

/// Packets that are asked for before their turn.
const AHEAD: usize = 12;

const ICMP: u8 = 1;
const ICMP6: u8 = 58;
/// Octets of an ICMP header, which differ from packet to packet and are looked at.
const ICMP_HEADER: i64 = 8;
/// Of a packet that has no time.
const NO_TIME: i64 = i64::MIN;
const TIMES: u64 = 0x9E37_79B9_7F4A_7C15;

/// What a packet and its copy have in common. Per frame, but for `rows`: those that are looked at.
pub struct Packets<'a> {
    pub data: &'a [u8],
    pub rows: &'a [i64],
    pub time: &'a [i64],
    pub end: &'a [i64],
    pub payload: &'a [i64],
    pub payload_end: &'a [i64],
    pub protocol: &'a [u8],
    pub src: &'a [u64],
    pub dst: &'a [u64],
    pub src_port: &'a [i64],
    pub dst_port: &'a [i64],
    pub ip_id: &'a [i64],
    pub seq: &'a [i64],
}

/// Multipliers of the sieves that a hint goes through.
const SIEVES: [u64; 3] = [0xC2B2_AE3D_27D4_EB4F, 0x1656_67B1_9E37_79F9, 0x27D4_EB2F_1656_67C5];
/// Holes of a sieve per hint: of those that are alone an eighth stay in it by chance.
const HOLES: usize = 8;

/// Sets `shared` for every one of the rows whose hint another has too: copies have, and few others. Also for those
/// whose copy may be in another window: `apart` or less from the first or the last one. Not for those without a time.
///
/// A table of hints would be larger than the nearer caches. A sieve tells only whether a hole was met twice, in two
/// bits, and what stays in it goes through the next one. Whatever the hints are, each goes through three at most.
pub fn shared(packets: &Packets, apart: i64, shared: &mut [u8]) {
    let mut left = packets.hints();
    for times in SIEVES {
        let mut sieve = Sieve::new(left.len(), times);
        left.iter().for_each(|(hint, _)| sieve.put(*hint));
        left.retain(|(hint, _)| sieve.twice(*hint));
    }
    let times = || packets.rows.iter().map(|row| packets.time[*row as usize]);
    let first = times().find(|time| *time != NO_TIME).unwrap_or(NO_TIME);
    let last = times().rfind(|time| *time != NO_TIME).unwrap_or(NO_TIME);
    for (near, time) in shared.iter_mut().zip(times()) {
        *near = (time != NO_TIME && (time <= first + apart || time >= last - apart)) as u8;
    }
    for (_, place) in left {
        shared[place as usize] = 1;
    }
}

/// In each word 32 holes: below, whether something came, above, whether more did.
struct Sieve {
    words: Vec<u64>,
    times: u64,
    shift: u32,
}

impl Sieve {
    fn new(hints: usize, times: u64) -> Sieve {
        let holes = (HOLES * hints).next_power_of_two().max(64);
        Sieve { words: vec![0; holes / 32], times, shift: 64 - holes.trailing_zeros() }
    }

    fn hole(&self, hint: u64) -> (usize, u32) {
        let hole = hint.wrapping_mul(self.times) >> self.shift;
        ((hole >> 5) as usize, hole as u32 & 31)
    }

    fn put(&mut self, hint: u64) {
        let (word, hole) = self.hole(hint);
        let here = &mut self.words[word];
        *here |= (*here & 1 << hole) << 32 | 1 << hole;
    }

    fn twice(&self, hint: u64) -> bool {
        let (word, hole) = self.hole(hint);
        self.words[word] >> 32 >> hole & 1 == 1
    }
}

impl Packets<'_> {
    /// The hint of each row that has a time, and its place among them.
    fn hints(&self) -> Vec<(u64, u32)> {
        let mut hints = Vec::with_capacity(self.rows.len());
        for (place, row) in self.rows.iter().enumerate() {
            if let Some(next) = self.rows.get(place + AHEAD) {
                ahead(self.data, self.payload[*next as usize]);
            }
            if self.time[*row as usize] != NO_TIME {
                hints.push((self.hint(*row as usize), place as u32));
            }
        }
        hints
    }

    fn hint(&self, row: usize) -> u64 {
        let icmp = matches!(self.protocol[row], ICMP | ICMP6);
        let start = self.payload[row] - if icmp { ICMP_HEADER } else { 0 };
        let held = self.end[row].min(self.payload_end[row]) - start;
        let body = long(self.data, start.max(0) as usize);
        let body = match held {
            8.. => body,
            1..=7 => body >> (64 - 8 * held),
            _ => 0,
        };
        let ports = (self.src_port[row] << 48) ^ (self.dst_port[row] << 32);
        let numbers = (ports ^ (self.ip_id[row] << 16) ^ self.seq[row]) as u64;
        [self.src[row], self.dst[row], numbers].iter().fold(body.wrapping_mul(TIMES), |hint, word| {
            let mixed = (hint ^ word).wrapping_mul(TIMES);
            mixed ^ mixed >> 29
        })
    }
}
