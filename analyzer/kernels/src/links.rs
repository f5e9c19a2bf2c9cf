//! Link headers, and what stands between them and IP: `links.together` for one kind of link, with `shims.peel`.

#![forbid(unsafe_code)]

use crate::bytes::half;
use crate::memory::ahead;

/// Frames whose headers are asked for before their turn.
const AHEAD: usize = 12;

// Values of `reasons.py`.
const FINE: u8 = 0;
const EMPTY: u8 = 1;
const CUT: u8 = 4;
const DEEP_VLAN: u8 = 5;
const DEEP_MPLS: u8 = 6;
const UNKNOWN_TYPE: u8 = 7;

const NOT_IP: usize = 0;
const IPV4: usize = 0x0800;
const IPV6: usize = 0x86DD;
const PPP: usize = 0x880B;
const UNKNOWN: usize = 0xFFFF;
const LENGTH_MOST: usize = 0x05FF;
const SHIMS_MOST: usize = 16;

// Values of `shims._SHIM`.
const NONE: u8 = 0;
const TAG: u8 = 1;
const SESSION: u8 = 2;
const PROTOCOL: u8 = 3;
const LABEL: u8 = 4;

/// Frames of one kind of link. The EtherType stands `typed` octets from their start; where that is nowhere, the version
/// of the IP header tells it. `understood` and `shims` say of each EtherType whether it is known and what stands there.
pub struct Frames<'a> {
    pub data: &'a [u8],
    pub start: &'a [i64],
    pub end: &'a [i64],
    pub wire: &'a [i64],
    pub length: i64,
    pub typed: Option<i64>,
    pub understood: &'a [u8],
    pub shims: &'a [u8],
}

/// Columns of `links.Link`: the offset of the network header, the EtherType, the end as sent; the reason, whether cut.
pub struct Columns<'a> {
    pub numbers: &'a mut [i64],
    pub octets: &'a mut [u8],
}

pub fn link(frames: &Frames, out: &mut Columns) {
    let count = frames.start.len();
    for row in 0..count {
        if let Some(next) = frames.start.get(row + AHEAD) {
            ahead(frames.data, *next);
        }
        let (start, end) = (frames.start[row], frames.end[row]);
        let captured = end - start;
        let cut = captured < frames.wire[row];
        let mut one = Place { at: start + frames.length, ethertype: frames.ethertype(start), reason: FINE };
        if captured <= 0 {
            one.reason = EMPTY;
        } else if one.at > end {
            one.reason = if cut { CUT } else { UNKNOWN_TYPE };
        } else if !one.ip() {
            one.peel(frames, end, cut);
            one.classify(frames.understood);
        }
        if one.reason != FINE {
            one.ethertype = NOT_IP;
        }
        out.numbers[row] = one.at;
        out.numbers[count + row] = one.ethertype as i64;
        out.numbers[2 * count + row] = start + captured.max(frames.wire[row]);
        out.octets[row] = one.reason;
        out.octets[count + row] = cut as u8;
    }
}

impl Frames<'_> {
    fn ethertype(&self, start: i64) -> usize {
        match self.typed {
            Some(place) => half(self.data, (start + place) as usize),
            None => match self.data[start as usize] >> 4 {
                4 => IPV4,
                6 => IPV6,
                _ => UNKNOWN,
            },
        }
    }

    fn octet(&self, at: i64) -> usize {
        self.data[at as usize] as usize
    }

    /// Bytes to go on, and the EtherType of what stands there.
    fn step(&self, shim: u8, at: i64, ethertype: usize) -> (i64, usize) {
        let field = |place: i64| half(self.data, (at + place) as usize);
        match shim {
            TAG => (4, field(2)),
            // Version and type 1, code 0: anything else is no session.
            SESSION => (6, if field(0) == 0x1100 { PPP } else { NOT_IP }),
            PROTOCOL => self.ppp(at),
            LABEL if self.octet(at + 2) & 1 == 0 => (4, ethertype),
            // Below the last label the first four bits tell the IP version.
            LABEL => match self.octet(at + 4) >> 4 {
                4 => (4, IPV4),
                6 => (4, IPV6),
                _ => (4, NOT_IP),
            },
            // Within SNAP a length has no meaning.
            _ => match (field(0), field(2), field(4), field(6)) {
                (0xAAAA, 0x0300, 0, kind) if kind > LENGTH_MOST => (8, kind),
                _ => (0, NOT_IP),
            },
        }
    }

    /// Address and control may be left out, and the protocol's first byte if it is zero.
    fn ppp(&self, at: i64) -> (i64, usize) {
        let skip = if half(self.data, at as usize) == 0xFF03 { 2 } else { 0 };
        let (first, second) = (self.octet(at + skip), self.octet(at + skip + 1));
        let (size, protocol) = if first & 1 == 1 { (1, first) } else { (2, first << 8 | second) };
        let kind = match protocol {
            0x0021 => IPV4,
            0x0057 => IPV6,
            0x0281 => 0x8847,
            0x0283 => 0x8848,
            _ => NOT_IP,
        };
        (skip + size, kind)
    }
}

struct Place {
    at: i64,
    ethertype: usize,
    reason: u8,
}

impl Place {
    fn ip(&self) -> bool {
        self.ethertype == IPV4 || self.ethertype == IPV6
    }

    fn peel(&mut self, frames: &Frames, end: i64, cut: bool) {
        for _ in 0..SHIMS_MOST {
            let shim = frames.shims[self.ethertype];
            if shim == NONE {
                return;
            }
            let (size, kind) = frames.step(shim, self.at, self.ethertype);
            self.at += size;
            self.ethertype = kind;
            if self.at > end {
                self.reason = if cut { CUT } else { UNKNOWN_TYPE };
                return;
            }
        }
        self.reason = match frames.shims[self.ethertype] {
            NONE => FINE,
            LABEL => DEEP_MPLS,
            _ => DEEP_VLAN,
        };
    }

    fn classify(&mut self, understood: &[u8]) {
        if self.ip() || self.reason != FINE {
            return;
        }
        if understood[self.ethertype] == 0 {
            self.reason = UNKNOWN_TYPE;
        }
        self.ethertype = NOT_IP;
    }
}
