//! Chains of records: where each record of a capture file starts, one after the other (`lanes.walk_plain`).

#![forbid(unsafe_code)]

use crate::memory::ahead;

/// Records whose head is asked for before their turn.
const AHEAD: usize = 12;

/// How a format tells where the next record starts.
pub trait Chain {
    /// Bytes from the record at this place to the next one; 0 where the walk must stop.
    fn step(&self, data: &[u8], at: usize) -> usize;

    /// Whether the record at this place looks like one that people have. A hint, never believed.
    fn plausible(&self, data: &[u8], at: usize) -> bool;
}

/// Octets of the longest head of a record that is looked at.
const LEAST: usize = 16;

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

    fn plausible(&self, data: &[u8], at: usize) -> bool {
        let (first, second) = (word(data, at + 8, self.big), word(data, at + 12, self.big));
        0 < first && first <= second && second <= self.most
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
const ENHANCED: u32 = 6;
const ENHANCED_LEAST: usize = 32;

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

    fn plausible(&self, data: &[u8], at: usize) -> bool {
        word(data, at, self.big) == ENHANCED && self.step(data, at) >= ENHANCED_LEAST
    }
}

/// The sequential walk from `start`: how many records were met, and where it stopped: at `size`, at an incomplete
/// record, or at one that cannot be. `lanes` change its speed alone.
pub fn walk(
    chain: &impl Chain,
    data: &[u8],
    start: usize,
    size: usize,
    lanes: usize,
    offsets: &mut [i64],
) -> (usize, usize) {
    let starts = starts(chain, data, start, size, lanes);
    walk_lanes(chain, data, &starts, size, offsets).unwrap_or_else(|| walk_plain(chain, data, start, size, offsets))
}

fn walk_plain(chain: &impl Chain, data: &[u8], start: usize, size: usize, offsets: &mut [i64]) -> (usize, usize) {
    let mut lane = Lane::new(start, size);
    while lane.step(chain, data, size) {}
    offsets[..lane.met.len()].copy_from_slice(&lane.met);
    (lane.met.len(), lane.at)
}

/// Octets behind the bound of a lane in which its first record is looked for.
const SOUGHT: usize = 4096;
/// Records that follow a place where a lane starts.
const FOLLOWING: usize = 4;

/// Where the walk begins, and at most so many other places where a record seems to start.
fn starts(chain: &impl Chain, data: &[u8], start: usize, size: usize, lanes: usize) -> Vec<usize> {
    let mut found = vec![start];
    for lane in 1..lanes {
        let bound = start + (size - start) / lanes * lane;
        let first = bound.max(found[found.len() - 1] + 1);
        found.extend((first..(bound + SOUGHT).min(size)).find(|at| follows(chain, data, *at, size)));
    }
    found
}

fn follows(chain: &impl Chain, data: &[u8], mut at: usize, size: usize) -> bool {
    for _ in 0..FOLLOWING {
        if at + LEAST > size || !chain.plausible(data, at) {
            return false;
        }
        at += chain.step(data, at);
    }
    at <= size
}

/// A lane for each of the `starts`, a step of each in turn: a walk waits for memory at every record, and several wait
/// at once. None where the lanes do not link, each ending where the next began: then nothing is proven.
fn walk_lanes(
    chain: &impl Chain,
    data: &[u8],
    starts: &[usize],
    size: usize,
    offsets: &mut [i64],
) -> Option<(usize, usize)> {
    let limits = starts[1..].iter().copied().chain([size]);
    let mut lanes: Vec<Lane> = starts.iter().zip(limits).map(|(start, limit)| Lane::new(*start, limit)).collect();
    while lanes.iter_mut().fold(false, |going, lane| lane.step(chain, data, size) | going) {}
    let mut count = 0;
    for (place, lane) in lanes.iter().enumerate() {
        if matches!(starts.get(place + 1), Some(next) if *next != lane.at) {
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
            ahead(data, self.at as i64);
        }
        !self.ended
    }
}

fn word(data: &[u8], at: usize, big: bool) -> u32 {
    let bytes = data[at..at + 4].try_into().unwrap();
    if big {
        u32::from_be_bytes(bytes)
    } else {
        u32::from_le_bytes(bytes)
    }
}

/// The words of a record's head: seconds, fraction, captured and original length; with `swapped` the two lengths in
/// their order.
pub type Words = [i64; 4];

/// The words of each head, column after column.
pub fn fields(records: &Records, data: &[u8], at: &[i64], out: &mut [i64]) {
    each_head(records, data, at, out, |_, _| {});
}

/// The same, and every head is shown.
pub fn each_head(records: &Records, data: &[u8], at: &[i64], out: &mut [i64], mut show: impl FnMut(usize, &Words)) {
    let count = at.len();
    for row in 0..count {
        if let Some(next) = at.get(row + AHEAD) {
            ahead(data, *next);
        }
        let place = (at[row] as usize).min(data.len() - LEAST);
        let mut words = [0, 4, 8, 12].map(|shift| word(data, place + shift, records.big) as i64);
        if records.swapped && words[2] > words[3] {
            words.swap(2, 3);
        }
        for (column, value) in words.iter().enumerate() {
            out[column * count + row] = *value;
        }
        show(row, &words);
    }
}
