//! Where the packets of a window may hold DNS, by their headers alone: `dns_places.places`.

#![forbid(unsafe_code)]

// Values of `network.py`.
const TCP: u8 = 6;
const UDP: u8 = 17;
const WHOLE: u8 = 0;
const FIRST: u8 = 1;
const LATER: u8 = 2;

const SYN: i64 = 0x02;

// Values of `dns_ports.py`.
const NONE: u8 = 0;
const DNS: u8 = 1;
const MDNS: u8 = 2;

/// Headers of the frames of a window; `rows` are those that hold IP.
pub struct Packets<'a> {
    pub rows: &'a [i64],
    pub start: &'a [i64],
    pub end: &'a [i64],
    pub wire: &'a [i64],
    pub protocol: &'a [u8],
    pub fragment: &'a [u8],
    pub flags: &'a [i64],
    pub src_port: &'a [i64],
    pub dst_port: &'a [i64],
    pub dst_high: &'a [u64],
    pub dst_low: &'a [u64],
    pub payload: &'a [i64],
    pub payload_end: &'a [i64],
    pub payload_bytes: &'a [i64],
}

/// What `dns_ports.py` says of ports: of each (the last place is for none), and the port and groups of multicast DNS,
/// each an upper and a lower word.
pub struct Ports<'a> {
    pub by_port: &'a [u8],
    pub multicast: i64,
    pub groups: &'a [u64],
}

/// A column of numbers and one of octets or more, of which the first `count` places are filled.
struct Filled<'a> {
    numbers: &'a mut [i64],
    octets: &'a mut [u8],
    room: usize,
    count: usize,
}

impl Filled<'_> {
    fn push(&mut self, numbers: &[i64], octets: &[u8]) {
        for (column, value) in numbers.iter().enumerate() {
            self.numbers[column * self.room + self.count] = *value;
        }
        for (column, value) in octets.iter().enumerate() {
            self.octets[column * self.room + self.count] = *value;
        }
        self.count += 1;
    }
}

/// Datagrams in three columns of numbers (frame, start, end) and four of octets (whole, protocol, to and from a
/// server); segments (frame; protocol) and fragments (frame; whether its ports say DNS) in one column of each. How
/// many there are of the three, and how many messages at port 53 the capture cut.
pub fn places(packets: &Packets, ports: &Ports, numbers: &mut [i64], octets: &mut [u8]) -> [i64; 4] {
    let room = packets.rows.len();
    let (some, numbers) = numbers.split_at_mut(3 * room);
    let (other, numbers) = numbers.split_at_mut(room);
    let (few, octets) = octets.split_at_mut(4 * room);
    let (fewer, octets) = octets.split_at_mut(room);
    let mut datagrams = Filled { numbers: some, octets: few, room, count: 0 };
    let mut segments = Filled { numbers: other, octets: fewer, room, count: 0 };
    let mut fragments = Filled { numbers, octets, room, count: 0 };
    let mut cut_ones = 0;
    for row in packets.rows {
        let frame = *row as usize;
        let (fragment, transport) = (packets.fragment[frame], packets.protocol[frame]);
        let (from, to) = (ports.of(packets.src_port[frame]), ports.of(packets.dst_port[frame]));
        let protocol = ports.protocol(packets, frame, from, to);
        if fragment != WHOLE {
            let named = protocol != NONE && fragment == FIRST && transport == UDP;
            fragments.push(&[*row], &[named as u8]);
        }
        if protocol == NONE || fragment == LATER {
            continue;
        }
        let payload = packets.payload_bytes[frame] > 0;
        let (payload_end, end) = (packets.payload_end[frame], packets.end[frame]);
        if transport == UDP && payload && (fragment == WHOLE || payload_end > end) {
            let cut = end - packets.start[frame] < packets.wire[frame];
            let whole = fragment == WHOLE && (payload_end <= end || !cut);
            let sides = [(to != NONE) as u8, (from != NONE) as u8];
            let place = [*row, packets.payload[frame], payload_end.min(end)];
            datagrams.push(&place, &[whole as u8, protocol, sides[0], sides[1]]);
            cut_ones += (cut && !whole && protocol == DNS) as i64;
        }
        let flags = packets.flags[frame];
        if transport == TCP && flags >= 0 && (payload || flags & SYN != 0) {
            segments.push(&[*row], &[protocol]);
        }
    }
    [datagrams.count as i64, segments.count as i64, fragments.count as i64, cut_ones]
}

impl Ports<'_> {
    /// What a port says; the last place of the table is for a header without ports.
    fn of(&self, port: i64) -> u8 {
        let from_end = if port < 0 { self.by_port.len() as i64 } else { 0 };
        self.by_port[(port + from_end) as usize]
    }

    /// `dns_ports.protocols` of one packet, whose ports say this.
    fn protocol(&self, packets: &Packets, frame: usize, from: u8, to: u8) -> u8 {
        let said = if from == DNS || to == DNS { DNS } else { from.max(to) };
        if said <= DNS || packets.dst_port[frame] != self.multicast {
            return said;
        }
        let address = [packets.dst_high[frame], packets.dst_low[frame]];
        let group = self.groups.chunks_exact(2).any(|group| group == address);
        if group || packets.src_port[frame] == self.multicast {
            MDNS
        } else {
            said
        }
    }
}
