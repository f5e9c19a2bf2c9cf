//! Packets that may have a copy in their window: `duplicates._hints` and `duplicates._not_alone`.

#![forbid(unsafe_code)]

use crate::bytes::long;
use crate::memory::ahead;

/// Packets that are asked for before their turn.
const AHEAD: usize = 12;

const ICMP: u8 = 1;
const ICMP6: u8 = 58;
/// Octets of an ICMP header, which differ from packet to packet and are looked at.
const ICMP_HEADER: i64 = 8;
const TIMES: u64 = 0x9E37_79B9_7F4A_7C15;

/// What a packet and its copy have in common. Per frame, but for `rows`: those that are looked at.
pub struct Packets<'a> {
    pub data: &'a [u8],
    pub rows: &'a [i64],
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

/// Slots that are tried for one packet: hostile packets may agree on theirs.
const TRIED: usize = 16;
const NOBODY: u32 = u32::MAX;

/// Sets `shared` for every one of the rows whose hint another has too: copies have, and few others.
pub fn shared(packets: &Packets, shared: &mut [u8]) {
    let slots = (2 * packets.rows.len()).next_power_of_two().max(2);
    let mut first = vec![(0u64, NOBODY); slots];
    for (place, row) in packets.rows.iter().enumerate() {
        if let Some(next) = packets.rows.get(place + AHEAD) {
            ahead(packets.data, packets.payload[*next as usize]);
        }
        let hint = packets.hint(*row as usize);
        shared[place] = 1;
        for turn in 0..TRIED {
            let (known, owner) = &mut first[((hint >> 32) as usize + turn) & (slots - 1)];
            if *owner == NOBODY {
                (*known, *owner) = (hint, place as u32);
                shared[place] = 0;
                break;
            }
            if *known == hint {
                shared[*owner as usize] = 1;
                break;
            }
        }
    }
}

impl Packets<'_> {
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
