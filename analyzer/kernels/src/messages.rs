//! What reads DNS messages in captures: functions that Python calls, see `lib`.

use crate::border::kernels;
use crate::memory::{Given, Room};
use crate::{dns, fields, interning, places};

kernels! {
    /// DNS messages (`dns::decode`): `state` and `over` per message, eleven `columns` of them; how many records of
    /// answer sections there are. As many as there is room for stand in the seven columns of `answers`.
    fn dns_decode(
        data: Given<u8>,
        start: Given<i64>,
        end: Given<i64>,
        whole: Given<u8>,
        classes: Given<i64>,
        state: Room<u8>,
        over: Room<u8>,
        columns: Room<i64>,
        answers: Room<i64>,
    ) {
        let places = dns::Places { data, start, end, whole, classes };
        let mut out = dns::Messages { state, over, columns };
        let room = answers.len() / 7;
        let mut found = dns::Answers { columns: answers, room, count: 0 };
        dns::decode(&places, &mut out, &mut found);
        found.count as i64
    }

    /// Where the packets of a window may hold DNS (`places::places`): five columns of `numbers` and six of `octets`;
    /// in `counts` how much of them is filled.
    fn dns_places(
        rows: Given<i64>,
        start: Given<i64>,
        end: Given<i64>,
        wire: Given<i64>,
        protocol: Given<u8>,
        fragment: Given<u8>,
        flags: Given<i64>,
        src_port: Given<i64>,
        dst_port: Given<i64>,
        dst_high: Given<u64>,
        dst_low: Given<u64>,
        payload: Given<i64>,
        payload_end: Given<i64>,
        payload_bytes: Given<i64>,
        by_port: Given<u8>,
        groups: Given<u64>,
        numbers: Room<i64>,
        octets: Room<u8>,
        counts: Room<i64>,
        multicast: usize,
    ) {
        let packets = places::Packets {
            rows,
            start,
            end,
            wire,
            protocol,
            fragment,
            flags,
            src_port,
            dst_port,
            dst_high,
            dst_low,
            payload,
            payload_end,
            payload_bytes,
        };
        let ports = places::Ports { by_port, multicast: multicast as i64, groups };
        counts.copy_from_slice(&places::places(&packets, &ports, numbers, octets));
        rows.len() as i64
    }

    /// Columns of some DNS messages that their headers tell (`fields::header`).
    fn dns_header(
        rows: Given<i64>,
        id: Given<i64>,
        flags: Given<i64>,
        answers: Given<i64>,
        negative_ttl: Given<i64>,
        numbers: Room<i32>,
        lives: Room<i64>,
        facts: Room<u8>,
    ) {
        fields::header(&fields::Messages { id, flags, answers, negative_ttl }, rows, numbers, lives, facts);
        rows.len() as i64
    }

    /// Ids of names (`interning::names`): how many are not known.
    fn names_known(
        data: Given<u8>,
        at: Given<i64>,
        lengths: Given<i64>,
        short_keys: Given<u64>,
        short_ids: Given<i64>,
        long_keys: Given<u64>,
        long_ids: Given<i64>,
        out: Room<u32>,
        shorts: usize,
    ) {
        let short = interning::Table { keys: short_keys, ids: short_ids };
        let long = interning::Table { keys: long_keys, ids: long_ids };
        interning::names(data, at, lengths, &short, &long, out, shorts as u32) as i64
    }
}
