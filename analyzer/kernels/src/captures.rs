//! What reads captures down to packets: functions that Python calls, see `lib`.

use crate::border::kernels;
use crate::memory::{Given, Room};
use crate::{bytes, chains, copies, fields, interning, links, network, records, segments};

fn walked((count, at): (usize, usize), stop: &mut [i64]) -> i64 {
    stop[0] = at as i64;
    count as i64
}

kernels! {
    /// The records of a pcap file (`chains::walk`): how many; their places in `offsets`, in `stop` where it stopped.
    fn pcap_walk(
        data: Given<u8>,
        offsets: Room<i64>,
        stop: Room<i64>,
        start: usize,
        size: usize,
        lanes: usize,
        big: usize,
        swapped: usize,
        header: usize,
        most: usize,
    ) {
        let records = chains::Records { big: big != 0, swapped: swapped != 0, header, most: most as u32 };
        let made = chains::walk(&records, data, start, size, lanes, offsets);
        walked(made, stop)
    }

    /// The blocks of a section of pcapng, likewise.
    fn pcapng_walk(
        data: Given<u8>,
        offsets: Room<i64>,
        stop: Room<i64>,
        start: usize,
        size: usize,
        lanes: usize,
        big: usize,
        most: usize,
    ) {
        let blocks = chains::Blocks { big: big != 0, most: most as u32 };
        let made = chains::walk(&blocks, data, start, size, lanes, offsets);
        walked(made, stop)
    }

    /// The heads of records of pcap (`chains::fields`) in four columns.
    fn pcap_fields(data: Given<u8>, at: Given<i64>, out: Room<i64>, big: usize, swapped: usize) {
        let records = chains::Records { big: big != 0, swapped: swapped != 0, header: 0, most: 0 };
        chains::fields(&records, data, at, out);
        at.len() as i64
    }

    /// The same, looked at (`records::heads`): the first that cannot be a record, their number if all can; in `far`
    /// how many are of another time.
    fn pcap_heads(
        data: Given<u8>,
        at: Given<i64>,
        out: Room<i64>,
        far: Room<i64>,
        big: usize,
        swapped: usize,
        fraction: usize,
        near: usize,
        near_most: usize,
        captured_most: usize,
        wire_most: usize,
    ) {
        let records = chains::Records { big: big != 0, swapped: swapped != 0, header: 0, most: 0 };
        let [near, near_most, fraction, captured_most, wire_most] =
            [near, near_most, fraction, captured_most, wire_most].map(|limit| limit as i64);
        let limits = records::Limits { near, near_most, fraction, captured_most, wire_most };
        let (first, others) = records::heads(&limits, &records, data, at, out);
        far[0] = others as i64;
        first as i64
    }

    /// Where the frames of some records are, and when (`records::columns`); in `counts` those that state a fraction of
    /// a second or more, and those of more captured than original octets.
    fn pcap_columns(
        offsets: Given<i64>,
        fields: Given<i64>,
        start: Room<i64>,
        end: Room<i64>,
        wire: Room<i64>,
        time: Room<i64>,
        counts: Room<i64>,
        header: usize,
        fraction: usize,
        micro: usize,
    ) {
        let fields = records::Fields::new(fields);
        let mut out = records::Columns { start, end, wire, time };
        records::places(offsets, &fields, header as i64, &mut out);
        records::times(&fields, micro as i64, &mut out);
        counts.copy_from_slice(&records::counts(&fields, offsets.len(), fraction as i64));
        offsets.len() as i64
    }

    /// The big-endian field of 16 bits at each place.
    fn halves_at(data: Given<u8>, at: Given<i64>, out: Room<u16>) {
        bytes::halves(data, at, out);
        at.len() as i64
    }

    /// Link headers (`links::link`), in three columns of numbers and two of octets. `typed` of 255 is nowhere.
    fn link_headers(
        data: Given<u8>,
        start: Given<i64>,
        end: Given<i64>,
        wire: Given<i64>,
        understood: Given<u8>,
        shims: Given<u8>,
        numbers: Room<i64>,
        octets: Room<u8>,
        length: usize,
        typed: usize,
    ) {
        let typed = if typed == 255 { None } else { Some(typed as i64) };
        let frames = links::Frames { data, start, end, wire, length: length as i64, typed, understood, shims };
        links::link(&frames, &mut links::Columns { numbers, octets });
        start.len() as i64
    }

    /// Network and transport headers (`network::network`), in six columns of octets, four of words, twelve of numbers.
    fn network_headers(
        data: Given<u8>,
        at: Given<i64>,
        end: Given<i64>,
        wire_end: Given<i64>,
        ethertype: Given<i64>,
        cut: Given<u8>,
        octets: Room<u8>,
        words: Room<u64>,
        numbers: Room<i64>,
    ) {
        let packets = network::Packets { data, at, end, wire_end, ethertype, cut };
        let mut out = network::Columns { octets, words, numbers };
        network::network(&packets, &mut out);
        at.len() as i64
    }

    /// Ids of addresses (`interning::addresses`): how many are not known.
    fn addresses_known(
        six: Given<u8>,
        high: Given<u64>,
        low: Given<u64>,
        four_keys: Given<u64>,
        four_ids: Given<i64>,
        six_keys: Given<u64>,
        six_ids: Given<i64>,
        out: Room<i64>,
    ) {
        let four = interning::Table { keys: four_keys, ids: four_ids };
        let other = interning::Table { keys: six_keys, ids: six_ids };
        interning::addresses(six, high, low, &four, &other, out) as i64
    }

    /// Ids of the addresses of packets (`interning::ends`): how many are not known.
    fn packet_ends(
        version: Given<u8>,
        rows: Given<i64>,
        src_high: Given<u64>,
        src_low: Given<u64>,
        dst_high: Given<u64>,
        dst_low: Given<u64>,
        four_keys: Given<u64>,
        four_ids: Given<i64>,
        six_keys: Given<u64>,
        six_ids: Given<i64>,
        out: Room<u32>,
        fours: usize,
    ) {
        let four = interning::Table { keys: four_keys, ids: four_ids };
        let other = interning::Table { keys: six_keys, ids: six_ids };
        let words = [(src_high, src_low), (dst_high, dst_low)];
        let packets = interning::Ends { version, rows, words, fours: fours as u32 };
        interning::ends(&packets, &four, &other, out) as i64
    }

    /// Values of some rows (`fields::taken`): how many are absent.
    fn taken_i2(values: Given<i64>, rows: Given<i64>, out: Room<i16>, known: Room<u8>, absent: usize) {
        fields::taken(values, rows, absent as i64, out, known) as i64
    }

    /// The same, as 32 bits.
    fn taken_i4(values: Given<i64>, rows: Given<i64>, out: Room<i32>, known: Room<u8>, absent: usize) {
        fields::taken(values, rows, absent as i64, out, known) as i64
    }

    /// The same, as 64 bits.
    fn taken_i8(values: Given<i64>, rows: Given<i64>, out: Room<i64>, known: Room<u8>, absent: usize) {
        fields::taken(values, rows, absent as i64, out, known) as i64
    }

    /// Columns of the packets of a window (`fields::packets`): how many there are.
    fn packet_columns(
        data: Given<u8>,
        end: Given<i64>,
        protocol: Given<u8>,
        rows: Given<i64>,
        payload: Given<i64>,
        payload_bytes: Given<i64>,
        flags: Given<i64>,
        ttl: Given<i64>,
        src_port: Given<i64>,
        dst_port: Given<i64>,
        interface: Given<i64>,
        window: Given<i64>,
        ip_id: Given<i64>,
        wire: Given<i64>,
        seq: Given<i64>,
        ack: Given<i64>,
        number: Given<i64>,
        time: Given<i64>,
        halves: Room<i16>,
        words: Room<i32>,
        longs: Room<i64>,
        known: Room<u8>,
        missing: Room<i64>,
    ) {
        let frames = fields::Frames {
            data,
            end,
            protocol,
            rows,
            payload,
            payload_bytes,
            halves: [flags, ttl],
            words: [src_port, dst_port, interface, window, ip_id],
            longs: [payload_bytes, wire, seq, ack, number],
            time,
        };
        fields::packets(&frames, &mut fields::Columns { halves, words, longs, known, missing });
        rows.len() as i64
    }

    /// TCP segments that a recogniser looks at (`segments::segments`): how many rows there are.
    fn segments_known(
        data: Given<u8>,
        end: Given<i64>,
        rows: Given<i64>,
        version: Given<u8>,
        protocol: Given<u8>,
        fragment: Given<u8>,
        flags: Given<i64>,
        payload: Given<i64>,
        payload_end: Given<i64>,
        payload_bytes: Given<i64>,
        src_port: Given<i64>,
        dst_port: Given<i64>,
        src_high: Given<u64>,
        src_low: Given<u64>,
        dst_high: Given<u64>,
        dst_low: Given<u64>,
        first: Given<u8>,
        least: Given<i64>,
        servers: Given<u64>,
        kinds: Room<u8>,
        metadata: Room<u8>,
        proxy: usize,
    ) {
        let frames = segments::Frames {
            data,
            end,
            rows,
            version,
            protocol,
            fragment,
            flags,
            payload,
            payload_end,
            payload_bytes,
            ports: [src_port, dst_port],
            words: [(src_high, src_low), (dst_high, dst_low)],
        };
        let sought = segments::Sought { first, least, proxy: proxy as i64, servers };
        segments::segments(&frames, &sought, kinds, metadata);
        rows.len() as i64
    }

    /// Which packets may have a copy among the others, or in another window (`copies::shared`).
    fn packets_shared(
        data: Given<u8>,
        rows: Given<i64>,
        time: Given<i64>,
        end: Given<i64>,
        payload: Given<i64>,
        payload_end: Given<i64>,
        protocol: Given<u8>,
        src: Given<u64>,
        dst: Given<u64>,
        src_port: Given<i64>,
        dst_port: Given<i64>,
        ip_id: Given<i64>,
        seq: Given<i64>,
        shared: Room<u8>,
        apart: usize,
    ) {
        let packets = copies::Packets {
            data,
            rows,
            time,
            end,
            payload,
            payload_end,
            protocol,
            src,
            dst,
            src_port,
            dst_port,
            ip_id,
            seq,
        };
        copies::shared(&packets, apart as i64, shared);
        rows.len() as i64
    }
}
