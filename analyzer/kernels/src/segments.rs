//! TCP segments that a recogniser looks at: `recognise.segments_together`.

#![forbid(unsafe_code)]

use crate::memory::ahead;

/// Segments that are asked for before their turn.
const AHEAD: usize = 12;

const TCP: u8 = 6;
const LATER: u8 = 2;
const SYN: i64 = 0x02;
const DNS_PORT: i64 = 53;

/// What a segment is that holds no payload, or is none.
const NO_PAYLOAD: u8 = 255;

/// Columns of the frames of a window, and which of them are packets.
pub struct Frames<'a> {
    pub data: &'a [u8],
    pub end: &'a [i64],
    pub rows: &'a [i64],
    pub version: &'a [u8],
    pub protocol: &'a [u8],
    pub fragment: &'a [u8],
    pub flags: &'a [i64],
    pub payload: &'a [i64],
    pub payload_end: &'a [i64],
    pub payload_bytes: &'a [i64],
    pub ports: [&'a [i64]; 2],
    pub words: [(&'a [u64], &'a [u64]); 2],
}

/// What is looked for: the kind that each first octet may begin, the octets that each kind has at least, the port of a
/// proxy of instance metadata, and its servers: version, upper and lower word of the address.
pub struct Sought<'a> {
    pub first: &'a [u8],
    pub least: &'a [i64],
    pub proxy: i64,
    pub servers: &'a [u64],
}

/// Of each of the rows the kind of message that it may begin, 0 for none, and whether it concerns instance metadata.
pub fn segments(frames: &Frames, sought: &Sought, kinds: &mut [u8], metadata: &mut [u8]) {
    for (place, row) in frames.rows.iter().enumerate() {
        let row = *row as usize;
        if let Some(&next) = frames.rows.get(place + AHEAD) {
            if frames.protocol[next as usize] == TCP {
                ahead(frames.data, frames.payload[next as usize]);
            }
        }
        (kinds[place], metadata[place]) = (NO_PAYLOAD, 0);
        if frames.protocol[row] != TCP || frames.fragment[row] == LATER || frames.flags[row] < 0 {
            continue;
        }
        let begins = frames.payload_bytes[row] > 0 || frames.flags[row] & SYN != 0;
        metadata[place] = (begins && frames.concerns(row, sought)) as u8;
        let captured = frames.end[row].min(frames.payload_end[row]) - frames.payload[row];
        if captured > 0 {
            let kind = sought.first[frames.data[frames.payload[row] as usize] as usize];
            kinds[place] = if captured < sought.least[kind as usize] { 0 } else { kind };
        }
    }
}

impl Frames<'_> {
    /// Whether one of the ends is a metadata service, DNS apart, or a proxy of it.
    fn concerns(&self, row: usize, sought: &Sought) -> bool {
        let ports = self.ports.map(|port| port[row]);
        let serves = |(high, low): &(&[u64], &[u64])| {
            let (version, high, low) = (self.version[row] as u64, high[row], low[row]);
            sought.servers.chunks_exact(3).any(|one| one[2] == low && one[1] == high && one[0] == version)
        };
        ports.contains(&sought.proxy) || (!ports.contains(&DNS_PORT) && self.words.iter().any(serves))
    }
}
