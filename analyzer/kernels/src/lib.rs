//! Inner loops of the readers, compiled: each does what a NumPy function of the package does, to the same rows.
//!
//! The functions below are the whole interface, of plain C types, so that any Python loads it. This file and `memory`
//! alone see raw memory; everything else is safe Rust, whose every index is checked. A panic is caught at the border
//! and becomes a refusal: the caller then does the same work in NumPy.

mod bytes;
mod chains;
mod columns;
mod copies;
mod distinct;
mod dns;
mod escapes;
mod fields;
mod interning;
mod json;
mod lines;
mod memory;
mod network;
mod places;
mod words;

use memory::{Argument, Given, Room};
use std::panic::{catch_unwind, AssertUnwindSafe};

/// Counts up whenever a signature or a meaning changes; `analyzer/kernels/__init__.py` names the one it is for.
const INTERFACE: i64 = 3;

/// What a caller gets instead of a count where nothing was done.
const REFUSED: i64 = -1;

#[no_mangle]
pub extern "C" fn kernels_interface() -> i64 {
    // What goes wrong here is not for a terminal.
    std::panic::set_hook(Box::new(|_| {}));
    INTERFACE
}

/// SHA-256 of the sources that this was built from.
#[no_mangle]
pub extern "C" fn kernels_sources() -> *const u8 {
    concat!(env!("KERNELS_SOURCES"), "\0").as_ptr()
}

fn guarded(work: impl FnOnce() -> i64) -> i64 {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(REFUSED)
}

/// Functions that Python calls: of an array the body sees the elements.
macro_rules! kernels {
    ($($(#[$doc:meta])* fn $name:ident($($argument:ident: $kind:ty),* $(,)?) $body:block)*) => { $(
        $(#[$doc])*
        ///
        /// # Safety
        /// The pointers must lead to as many elements as told, and nobody else may write or look at a `Room`.
        #[no_mangle]
        pub unsafe extern "C" fn $name($($argument: $kind),*) -> i64 {
            $(let $argument = $argument.all();)*
            guarded(|| $body)
        }
    )* };
}

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

    /// The big-endian field of 16 bits at each place.
    fn halves_at(data: Given<u8>, at: Given<i64>, out: Room<u16>) {
        bytes::halves(data, at, out);
        at.len() as i64
    }

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

    /// Ids of names (`interning::names`): how many are not known.
    fn names_known(
        data: Given<u8>,
        at: Given<i64>,
        lengths: Given<i64>,
        short_keys: Given<u64>,
        short_ids: Given<i64>,
        long_keys: Given<u64>,
        long_ids: Given<i64>,
        out: Room<i64>,
    ) {
        let short = interning::Table { keys: short_keys, ids: short_ids };
        let long = interning::Table { keys: long_keys, ids: long_ids };
        interning::names(data, at, lengths, &short, &long, out) as i64
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

    /// Which packets may have a copy among the others (`copies::shared`).
    fn packets_shared(
        data: Given<u8>,
        rows: Given<i64>,
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
    ) {
        let packets = copies::Packets {
            data,
            rows,
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
        copies::shared(&packets, shared);
        rows.len() as i64
    }

    /// The values of keys in texts of one JSON object each, as columns (`columns::columns`): how many of the `bytes`
    /// were taken. `names` are the keys, with a line feed after each; `kinds` has a letter for each (`columns::Kind`).
    fn json_columns(
        data: Given<u8>,
        objects: Given<u64>,
        names: Given<u8>,
        kinds: Given<u8>,
        words: Room<u64>,
        counts: Room<u64>,
        bytes: Room<u8>,
        seed: usize,
    ) {
        let kinds: Option<Vec<_>> = kinds.iter().map(|&letter| columns::Kind::of(letter)).collect();
        let mut into = columns::Columns { words, counts, bytes };
        let made = json::Scanner::new(names).zip(kinds).and_then(|(mut scanner, kinds)| {
            columns::columns(data, objects, &mut scanner, &kinds, seed as u64, &mut into)
        });
        made.map_or(REFUSED, |taken| taken as i64)
    }

    /// The places of the line feeds, as many as there is room for (`lines::newlines`); how many there are.
    fn lines_ends(data: Given<u8>, places: Room<i64>) {
        lines::newlines(data, places) as i64
    }
}
