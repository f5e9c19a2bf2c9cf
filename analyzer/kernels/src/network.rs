//! Network and transport headers of one packet after the other: `network.network`.

#![forbid(unsafe_code)]

use crate::bytes::{full, half, long};
use crate::memory::ahead;

/// Packets whose headers are asked for before their turn.
const AHEAD: usize = 12;

// Values of `reasons.py`.
const FINE: u8 = 0;
const CUT: u8 = 4;
const BAD_IP: u8 = 8;
const BAD_TCP: u8 = 11;
const BAD_UDP: u8 = 12;
const DEEP_IPV6: u8 = 9;

const IPV4: i64 = 0x0800;
const IPV6: i64 = 0x86DD;

const ICMP: u8 = 1;
const IPIP: u8 = 4;
const TCP: u8 = 6;
const UDP: u8 = 17;
const IN6: u8 = 41;
const FRAGMENT6: u8 = 44;
const GRE: u8 = 47;
const AH: u8 = 51;
const ICMP6: u8 = 58;
const SCTP: u8 = 132;
const EXTENSIONS_MOST: usize = 10;
const TUNNEL_PORTS: [usize; 3] = [4789, 8472, 6081];

const ABSENT: i64 = -1;
const WHOLE: u8 = 0;
const FIRST: u8 = 1;
const LATER: u8 = 2;

/// Packets of a window: where each begins, ends as captured and as sent, its EtherType, and whether it was cut.
pub struct Packets<'a> {
    pub data: &'a [u8],
    pub at: &'a [i64],
    pub end: &'a [i64],
    pub wire_end: &'a [i64],
    pub ethertype: &'a [i64],
    pub cut: &'a [u8],
}

/// Columns of `network.Headers`, of the packets each: the octets, the words of addresses, the numbers.
pub struct Columns<'a> {
    pub octets: &'a mut [u8],
    pub words: &'a mut [u64],
    pub numbers: &'a mut [i64],
}

pub fn network(packets: &Packets, out: &mut Columns) {
    let count = packets.at.len();
    for row in 0..count {
        if let Some(next) = packets.at.get(row + AHEAD) {
            ahead(packets.data, *next);
        }
        let one = Packet { data: packets.data, at: packets.at[row], end: packets.end[row], cut: packets.cut[row] != 0 };
        let head = one.network(packets.wire_end[row], packets.ethertype[row]);
        for (column, value) in head.octets().iter().enumerate() {
            out.octets[column * count + row] = *value;
        }
        for (column, value) in head.words.iter().enumerate() {
            out.words[column * count + row] = *value;
        }
        for (column, value) in head.numbers().iter().enumerate() {
            out.numbers[column * count + row] = *value;
        }
    }
}

struct Head {
    version: u8,
    reason: u8,
    protocol: u8,
    fragment: u8,
    no_udp_length: bool,
    wraps: bool,
    words: [u64; 4],
    ports: [i64; 2],
    flags: i64,
    seq: i64,
    ack: i64,
    window: i64,
    ttl: i64,
    ip_id: i64,
    payload: i64,
    payload_end: i64,
    payload_bytes: i64,
    fragment_id: i64,
}

impl Head {
    fn octets(&self) -> [u8; 6] {
        [self.version, self.reason, self.protocol, self.fragment, self.no_udp_length as u8, self.wraps as u8]
    }

    fn numbers(&self) -> [i64; 12] {
        [
            self.ports[0],
            self.ports[1],
            self.flags,
            self.seq,
            self.ack,
            self.window,
            self.ttl,
            self.ip_id,
            self.payload,
            self.payload_end,
            self.payload_bytes,
            self.fragment_id,
        ]
    }

    fn refuse(&mut self, reason: u8) {
        self.reason = reason;
        self.version = 0;
    }
}

struct Packet<'a> {
    data: &'a [u8],
    at: i64,
    end: i64,
    cut: bool,
}

impl Packet<'_> {
    fn network(&self, wire_end: i64, ethertype: i64) -> Head {
        let (four, six) = (ethertype == IPV4, ethertype == IPV6);
        let head = self.gather(self.at, 20);
        let (header, total) =
            if six { (40, half(head, 4) as i64 + 40) } else { ((head[0] as i64 & 15) << 2, half(head, 2) as i64) };
        // Left at zero by segmentation offload: the packet then reaches to the end of the frame, as at most.
        let open_ended = total == if six { 40 } else { 0 };
        let version = head[0] >> 4;
        let inside = self.at + header <= self.end;
        let fits = (four && version == 4 && header >= 20) || (six && version == 6);
        let good = fits && (open_ended || total >= header) && inside;
        let mut out = Head {
            version: if good { version } else { 0 },
            reason: match good || !(four || six) {
                true => FINE,
                false => {
                    if self.cut && !inside {
                        CUT
                    } else {
                        BAD_IP
                    }
                }
            },
            protocol: 0,
            fragment: WHOLE,
            no_udp_length: false,
            wraps: false,
            words: [0, full(head, 12) as u64, 0, full(head, 16) as u64],
            ports: [ABSENT; 2],
            flags: ABSENT,
            seq: ABSENT,
            ack: ABSENT,
            window: ABSENT,
            ttl: head[8] as i64,
            ip_id: ABSENT,
            payload: self.at + header,
            payload_end: if open_ended { wire_end } else { wire_end.min(self.at + total) },
            payload_bytes: ABSENT,
            fragment_id: ABSENT,
        };
        if out.version == 4 {
            self.four(head, &mut out);
        } else if out.version == 6 {
            self.six(head, &mut out);
        }
        if out.version > 0 && out.fragment != LATER {
            self.transport(&mut out);
        }
        out
    }

    fn four(&self, head: &[u8], out: &mut Head) {
        let place = half(head, 6);
        out.protocol = head[9];
        out.ip_id = half(head, 4) as i64;
        if place & 0x3FFF != 0 {
            out.fragment = if place & 0x1FFF > 0 { LATER } else { FIRST };
            out.fragment_id = out.ip_id;
        }
        // The authentication header stands behind IPv4 headers too.
        if out.protocol == AH && out.fragment != LATER {
            self.extensions(out);
        }
    }

    fn six(&self, head: &[u8], out: &mut Head) {
        let words = self.gather(self.at, 40);
        out.words = [long(words, 8), long(words, 16), long(words, 24), long(words, 32)];
        out.protocol = head[6];
        out.ttl = head[7] as i64;
        self.extensions(out);
    }

    fn extensions(&self, out: &mut Head) {
        for _ in 0..EXTENSIONS_MOST {
            if !extends(out.protocol) || out.fragment == LATER || !(out.version == 6 || out.protocol == AH) {
                return;
            }
            let at = out.payload;
            if at + 8 > self.end.min(out.payload_end) {
                out.refuse(if self.cut { CUT } else { BAD_IP });
                return;
            }
            let head = self.gather(at, 8);
            let stated = head[1] as i64;
            out.payload = at
                + match out.protocol {
                    FRAGMENT6 => 8,
                    AH => (stated + 2) * 4,
                    _ => (stated + 1) * 8,
                };
            let place = half(head, 2);
            if out.protocol == FRAGMENT6 && place & 0xFFF9 != 0 {
                out.fragment = if place >> 3 > 0 { LATER } else { FIRST };
                out.fragment_id = full(head, 4) as i64;
            }
            out.protocol = head[0];
        }
        if extends(out.protocol) && out.fragment != LATER && (out.version == 6 || out.protocol == AH) {
            out.refuse(DEEP_IPV6);
        }
    }

    fn transport(&self, out: &mut Head) {
        // A first fragment may end within the transport header, like a packet that the snap length cut.
        let cut = self.cut || out.fragment == FIRST;
        out.wraps = matches!(out.protocol, IPIP | IN6 | GRE);
        let (at, stop) = (out.payload, out.payload_end);
        let length = if out.fragment == FIRST { 1 << 16 } else { stop - at };
        let seen = self.end.min(stop) - at;
        match out.protocol {
            TCP => self.tcp(out, length, seen, !cut),
            UDP => self.udp(out, length, seen, !cut),
            ICMP | ICMP6 => {
                out.payload += 8;
                out.payload_bytes = (stop - out.payload).max(0);
            }
            SCTP => self.sctp(out, seen),
            _ => (),
        }
    }

    fn tcp(&self, out: &mut Head, length: i64, seen: i64, whole: bool) {
        let (at, stop) = (out.payload, out.payload_end);
        let head = self.gather(at, 20);
        let offset = (head[12] as i64 >> 4) << 2;
        let mut bad = seen >= 13 && (offset < 20 || offset > length || (offset > seen && whole));
        bad |= length < 20 || (whole && seen < 20);
        if bad {
            out.reason = BAD_TCP;
            return;
        }
        // A header cut before its own length field is taken at its least size, so that nothing behind it is read.
        out.payload = at + if seen >= 13 { offset } else { seen.max(20) };
        out.payload_bytes = (stop - out.payload).max(0);
        let told = |size: i64, value: i64| if seen >= size { value } else { ABSENT };
        out.ports = [told(4, half(head, 0) as i64), told(4, half(head, 2) as i64)];
        out.seq = told(8, full(head, 4) as i64);
        out.ack = told(12, full(head, 8) as i64);
        out.flags = told(14, head[13] as i64);
        out.window = told(16, half(head, 14) as i64);
    }

    fn udp(&self, out: &mut Head, length: i64, seen: i64, whole: bool) {
        let (at, stop) = (out.payload, out.payload_end);
        let head = self.gather(at, 12);
        let stated = half(head, 4) as i64;
        out.no_udp_length = stated == 0 && seen >= 6;
        if length < 8 || (seen >= 6 && stated < 8 && stated > 0) || (whole && seen < 8) {
            out.reason = BAD_UDP;
            return;
        }
        if seen >= 4 {
            out.ports = [half(head, 0) as i64, half(head, 2) as i64];
        }
        out.wraps = tunnel_like(half(head, 2), full(head, 8) as u32);
        if stated >= 8 && out.fragment == WHOLE {
            out.payload_end = stop.min(at + stated);
        }
        out.payload = at + 8;
        out.payload_bytes = (out.payload_end - out.payload).max(0);
    }

    /// Ports and length where the common header is whole; port 0 is not allowed, so that tells what is no SCTP.
    fn sctp(&self, out: &mut Head, seen: i64) {
        let head = self.gather(out.payload, 4);
        let ports = [half(head, 0) as i64, half(head, 2) as i64];
        if out.payload_end - out.payload >= 12 && seen >= 4 && ports[0] > 0 && ports[1] > 0 {
            out.ports = ports;
            out.payload += 12;
            out.payload_bytes = out.payload_end - out.payload;
        }
    }

    /// So many octets from there; the last ones of the window where it ends before.
    fn gather(&self, at: i64, count: usize) -> &[u8] {
        let at = (at.max(0) as usize).min(self.data.len() - count);
        &self.data[at..at + count]
    }
}

/// Hop-by-hop, routing, fragment, authentication, destination options, mobility, HIP, Shim6.
fn extends(protocol: u8) -> bool {
    matches!(protocol, 0 | 43 | FRAGMENT6 | AH | 60 | 135 | 139 | 140)
}

/// UDP at a port of tunnels, or a payload that begins as VXLAN or WireGuard does: a small number, three zeros.
fn tunnel_like(port: usize, word: u32) -> bool {
    TUNNEL_PORTS.contains(&port) || (word << 8 == 0 && word.wrapping_sub(1) < 0x0800_0000)
}
