//! Chains of records: where each record of a capture file starts, one after the other (`lanes.walk_plain`).

#![forbid(unsafe_code)]

/// How a format tells where the next record starts.
pub trait Chain {
    /// Bytes from the record at this place to the next one; 0 where the walk must stop.
    fn step(&self, data: &[u8], at: usize) -> usize;
}

/// Records of pcap: `PcapFormat.size_at`. With `swapped` the smaller of the two lengths is the captured one.
pub struct Records {
    pub big: bool,
    pub swapped: bool,
    pub header: usize,
    pub most: u32,
}

impl Chain for Records {
    fn step(&self, data: &[u8], at: usize) -> usize {
        let (first, second) = (word(data, at + 8, self.big), word(data, at + 12, self.big));
        let captured = if self.swapped { first.min(second) } else { first };
        if captured <= self.most {
            captured as usize + self.header
        } else {
            0
        }
    }
}

/// Blocks of pcapng: `BlockChain.size_at`.
pub struct Blocks {
    pub big: bool,
    pub most: u32,
}

const SECTION: u32 = 0x0A0D_0D0A;
const BYTE_ORDER: u32 = 0x1A2B_3C4D;
const SECTION_LEAST: u32 = 28;
const BLOCK_LEAST: u32 = 12;

impl Chain for Blocks {
    fn step(&self, data: &[u8], at: usize) -> usize {
        if at + 12 > data.len() {
            return 0;
        }
        let stated = word(data, at + 4, self.big);
        if stated < BLOCK_LEAST || stated > self.most {
            return 0;
        }
        let section = word(data, at, self.big) == SECTION;
        if section && (word(data, at + 8, self.big) != BYTE_ORDER || stated < SECTION_LEAST) {
            return 0;
        }
        let length = (stated as usize + 3) & !3;
        let whole = at + length <= data.len();
        if whole && word(data, at + length - 4, self.big) != stated {
            0
        } else {
            length
        }
    }
}

/// The sequential walk from the first of the `starts`: how many records were met, and where it stopped: at `size`, at
/// an incomplete record, or at one that cannot be. The other starts are hints, which change its speed alone.
pub fn walk(chain: &impl Chain, data: &[u8], starts: &[i64], size: usize, offsets: &mut [i64]) -> (usize, usize) {
    walk_lanes(chain, data, starts, size, offsets)
        .unwrap_or_else(|| walk_plain(chain, data, starts[0] as usize, size, offsets))
}

fn walk_plain(chain: &impl Chain, data: &[u8], start: usize, size: usize, offsets: &mut [i64]) -> (usize, usize) {
    let mut lane = Lane::new(start, size);
    while lane.step(chain, data, size) {}
    offsets[..lane.met.len()].copy_from_slice(&lane.met);
    (lane.met.len(), lane.at)
}

/// A lane for each of the `starts`, a step of each in turn: a walk waits for memory at every record, and several wait
/// at once. None where the lanes do not link, each ending where the next began: then nothing is proven.
fn walk_lanes(
    chain: &impl Chain,
    data: &[u8],
    starts: &[i64],
    size: usize,
    offsets: &mut [i64],
) -> Option<(usize, usize)> {
    let limits = starts[1..].iter().map(|start| *start as usize).chain([size]);
    let mut lanes: Vec<Lane> =
        starts.iter().zip(limits).map(|(start, limit)| Lane::new(*start as usize, limit)).collect();
    while lanes.iter_mut().fold(false, |going, lane| lane.step(chain, data, size) | going) {}
    let mut count = 0;
    for (place, lane) in lanes.iter().enumerate() {
        if matches!(starts.get(place + 1), Some(next) if *next as usize != lane.at) {
            return None;
        }
        offsets[count..count + lane.met.len()].copy_from_slice(&lane.met);
        count += lane.met.len();
    }
    Some((count, lanes.last()?.at))
}

struct Lane {
    at: usize,
    limit: usize,
    ended: bool,
    met: Vec<i64>,
}

impl Lane {
    fn new(at: usize, limit: usize) -> Lane {
        Lane { at, limit, ended: false, met: Vec::with_capacity((limit - at) / 128) }
    }

    /// One record, and whether there may be another.
    fn step(&mut self, chain: &impl Chain, data: &[u8], size: usize) -> bool {
        if self.ended || self.at >= self.limit || self.at + 4 > size {
            return false;
        }
        let step = chain.step(data, self.at);
        self.ended = step == 0 || self.at + step > size;
        if !self.ended {
            self.met.push(self.at as i64);
            self.at += step;
        }
        !self.ended
    }
}

fn word(data: &[u8], at: usize, big: bool) -> u32 {
    let bytes = [data[at], data[at + 1], data[at + 2], data[at + 3]];
    if big {
        u32::from_be_bytes(bytes)
    } else {
        u32::from_le_bytes(bytes)
    }
}
