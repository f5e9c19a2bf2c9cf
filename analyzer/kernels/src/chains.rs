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
        if captured <= self.most { captured as usize + self.header } else { 0 }
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
        if whole && word(data, at + length - 4, self.big) != stated { 0 } else { length }
    }
}

/// The sequential walk from `start`: how many records were met, and where it stopped: at `size`, at an incomplete
/// record, or at one that cannot be.
pub fn walk(chain: &impl Chain, data: &[u8], start: usize, size: usize, offsets: &mut [i64]) -> (usize, usize) {
    let (mut count, mut at) = (0, start);
    while at + 4 <= size {
        let step = chain.step(data, at);
        if step == 0 || at + step > size {
            break;
        }
        offsets[count] = at as i64;
        count += 1;
        at += step;
    }
    (count, at)
}

fn word(data: &[u8], at: usize, big: bool) -> u32 {
    let bytes = [data[at], data[at + 1], data[at + 2], data[at + 3]];
    if big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
}
