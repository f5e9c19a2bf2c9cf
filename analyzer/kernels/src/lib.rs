//! Inner loops of the readers, compiled: each does what a NumPy function of the package does, to the same rows.
//!
//! The functions below are the whole interface, of plain C types, so that any Python loads it. Only this file takes raw
//! memory (`memory` asks the processor for some ahead of time); everything else is safe Rust, whose every index is
//! checked. A panic is caught at the border and becomes a refusal: the caller then does the same work in NumPy.

mod bytes;
mod chains;
mod columns;
mod copies;
mod distinct;
mod dns;
mod escapes;
mod interning;
mod json;
mod lines;
mod memory;
mod network;
mod words;

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::slice;

/// Counts up whenever a signature or a meaning changes; `analyzer/kernels/__init__.py` names the one it is for.
const INTERFACE: i64 = 1;

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

/// Memory that Python owns and keeps while the call lasts.
unsafe fn read<'a, T>(at: *const T, count: usize) -> &'a [T] {
    if count == 0 {
        &[]
    } else {
        slice::from_raw_parts(at, count)
    }
}

/// Memory that Python owns and nobody else looks at while the call lasts.
unsafe fn write<'a, T>(at: *mut T, count: usize) -> &'a mut [T] {
    if count == 0 {
        &mut []
    } else {
        slice::from_raw_parts_mut(at, count)
    }
}

fn guarded(work: impl FnOnce() -> i64) -> i64 {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(REFUSED)
}

/// The records of a pcap file (`chains::walk`): how many; their places in `offsets`, where the walk stopped in `stop`.
///
/// # Safety
/// The pointers must lead to as many elements as told.
#[no_mangle]
pub unsafe extern "C" fn pcap_walk(
    data: *const u8,
    length: usize,
    offsets: *mut i64,
    room: usize,
    stop: *mut i64,
    one: usize,
    start: usize,
    size: usize,
    lanes: usize,
    big: usize,
    swapped: usize,
    header: usize,
    most: usize,
) -> i64 {
    guarded(|| {
        let records = chains::Records { big: big != 0, swapped: swapped != 0, header, most: most as u32 };
        let made = chains::walk(&records, read(data, length), start, size, lanes, write(offsets, room));
        walked(made, write(stop, one))
    })
}

/// The blocks of a section of pcapng, likewise.
///
/// # Safety
/// The pointers must lead to as many elements as told.
#[no_mangle]
pub unsafe extern "C" fn pcapng_walk(
    data: *const u8,
    length: usize,
    offsets: *mut i64,
    room: usize,
    stop: *mut i64,
    one: usize,
    start: usize,
    size: usize,
    lanes: usize,
    big: usize,
    most: usize,
) -> i64 {
    guarded(|| {
        let blocks = chains::Blocks { big: big != 0, most: most as u32 };
        let made = chains::walk(&blocks, read(data, length), start, size, lanes, write(offsets, room));
        walked(made, write(stop, one))
    })
}

/// The heads of records of pcap (`chains::fields`) in four columns.
///
/// # Safety
/// The pointers must lead to as many elements as told.
#[no_mangle]
pub unsafe extern "C" fn pcap_fields(
    data: *const u8,
    length: usize,
    at: *const i64,
    count: usize,
    out: *mut i64,
    room: usize,
    big: usize,
    swapped: usize,
) -> i64 {
    guarded(|| {
        let records = chains::Records { big: big != 0, swapped: swapped != 0, header: 0, most: 0 };
        chains::fields(&records, read(data, length), read(at, count), write(out, room));
        count as i64
    })
}

/// The big-endian field of 16 bits at each place.
///
/// # Safety
/// The pointers must lead to as many elements as told.
#[no_mangle]
pub unsafe extern "C" fn halves_at(
    data: *const u8,
    length: usize,
    at: *const i64,
    count: usize,
    out: *mut u16,
    room: usize,
) -> i64 {
    guarded(|| {
        bytes::halves(read(data, length), read(at, count), write(out, room));
        count as i64
    })
}

fn walked((count, at): (usize, usize), stop: &mut [i64]) -> i64 {
    stop[0] = at as i64;
    count as i64
}

/// DNS messages (`dns::decode`): `state` and `over` per message, eleven `columns` of them; how many records of answer
/// sections stand in the seven columns of `answers`.
///
/// # Safety
/// The pointers must lead to as many elements as told.
#[no_mangle]
pub unsafe extern "C" fn dns_decode(
    data: *const u8,
    length: usize,
    start: *const i64,
    count: usize,
    end: *const i64,
    ends: usize,
    whole: *const u8,
    wholes: usize,
    classes: *const i64,
    classed: usize,
    state: *mut u8,
    states: usize,
    over: *mut u8,
    overs: usize,
    columns: *mut i64,
    filled: usize,
    answers: *mut i64,
    answered: usize,
) -> i64 {
    guarded(|| {
        let places = dns::Places {
            data: read(data, length),
            start: read(start, count),
            end: read(end, ends),
            whole: read(whole, wholes),
            classes: read(classes, classed),
        };
        let mut out =
            dns::Messages { state: write(state, states), over: write(over, overs), columns: write(columns, filled) };
        let mut found = dns::Answers { columns: write(answers, answered), room: answered / 7, count: 0 };
        dns::decode(&places, &mut out, &mut found);
        found.count as i64
    })
}

/// Network and transport headers (`network::network`), in six columns of octets, four of words, twelve of numbers.
///
/// # Safety
/// The pointers must lead to as many elements as told.
#[no_mangle]
pub unsafe extern "C" fn network_headers(
    data: *const u8,
    length: usize,
    at: *const i64,
    count: usize,
    end: *const i64,
    ends: usize,
    wire_end: *const i64,
    wire_ends: usize,
    ethertype: *const i64,
    types: usize,
    cut: *const u8,
    cuts: usize,
    octets: *mut u8,
    octet_count: usize,
    words: *mut u64,
    word_count: usize,
    numbers: *mut i64,
    number_count: usize,
) -> i64 {
    guarded(|| {
        let packets = network::Packets {
            data: read(data, length),
            at: read(at, count),
            end: read(end, ends),
            wire_end: read(wire_end, wire_ends),
            ethertype: read(ethertype, types),
            cut: read(cut, cuts),
        };
        let mut out = network::Columns {
            octets: write(octets, octet_count),
            words: write(words, word_count),
            numbers: write(numbers, number_count),
        };
        network::network(&packets, &mut out);
        count as i64
    })
}

/// Ids of addresses (`interning::addresses`): how many are not known.
///
/// # Safety
/// The pointers must lead to as many elements as told.
#[no_mangle]
pub unsafe extern "C" fn addresses_known(
    six: *const u8,
    sixes: usize,
    high: *const u64,
    highs: usize,
    low: *const u64,
    lows: usize,
    four_keys: *const u64,
    four_words: usize,
    four_ids: *const i64,
    four_slots: usize,
    six_keys: *const u64,
    six_words: usize,
    six_ids: *const i64,
    six_slots: usize,
    out: *mut i64,
    count: usize,
) -> i64 {
    guarded(|| {
        let four = interning::Table { keys: read(four_keys, four_words), ids: read(four_ids, four_slots) };
        let other = interning::Table { keys: read(six_keys, six_words), ids: read(six_ids, six_slots) };
        let (six, high, low) = (read(six, sixes), read(high, highs), read(low, lows));
        interning::addresses(six, high, low, &four, &other, write(out, count)) as i64
    })
}

/// Which packets may have a copy among the others (`copies::shared`).
///
/// # Safety
/// The pointers must lead to as many elements as told.
#[no_mangle]
pub unsafe extern "C" fn packets_shared(
    data: *const u8,
    length: usize,
    rows: *const i64,
    count: usize,
    end: *const i64,
    ends: usize,
    payload: *const i64,
    payloads: usize,
    payload_end: *const i64,
    payload_ends: usize,
    protocol: *const u8,
    protocols: usize,
    src: *const u64,
    srcs: usize,
    dst: *const u64,
    dsts: usize,
    src_port: *const i64,
    src_ports: usize,
    dst_port: *const i64,
    dst_ports: usize,
    ip_id: *const i64,
    ip_ids: usize,
    seq: *const i64,
    seqs: usize,
    shared: *mut u8,
    room: usize,
) -> i64 {
    guarded(|| {
        let packets = copies::Packets {
            data: read(data, length),
            rows: read(rows, count),
            end: read(end, ends),
            payload: read(payload, payloads),
            payload_end: read(payload_end, payload_ends),
            protocol: read(protocol, protocols),
            src: read(src, srcs),
            dst: read(dst, dsts),
            src_port: read(src_port, src_ports),
            dst_port: read(dst_port, dst_ports),
            ip_id: read(ip_id, ip_ids),
            seq: read(seq, seqs),
        };
        copies::shared(&packets, write(shared, room));
        count as i64
    })
}

/// The values of keys in texts of one JSON object each, as columns (`columns::columns`): how many of the `bytes` were
/// taken. `names` are the keys, with a line feed after each; `kinds` has a letter for each (`columns::Kind`).
///
/// # Safety
/// The pointers must lead to as many elements as told.
#[no_mangle]
pub unsafe extern "C" fn json_columns(
    data: *const u8,
    length: usize,
    objects: *const u64,
    count: usize,
    names: *const u8,
    letters: usize,
    kinds: *const u8,
    keys: usize,
    words: *mut u64,
    width: usize,
    counts: *mut u64,
    counted: usize,
    bytes: *mut u8,
    room: usize,
    seed: usize,
) -> i64 {
    guarded(|| {
        let kinds: Option<Vec<_>> = read(kinds, keys).iter().map(|&letter| columns::Kind::of(letter)).collect();
        let mut into =
            columns::Columns { words: write(words, width), counts: write(counts, counted), bytes: write(bytes, room) };
        let made = json::Scanner::new(read(names, letters)).zip(kinds).and_then(|(mut scanner, kinds)| {
            let (data, objects) = (read(data, length), read(objects, count));
            columns::columns(data, objects, &mut scanner, &kinds, seed as u64, &mut into)
        });
        made.map_or(REFUSED, |taken| taken as i64)
    })
}

/// The places of the line feeds, as many as there is room for (`lines::newlines`); how many there are.
///
/// # Safety
/// The pointers must lead to as many elements as told.
#[no_mangle]
pub unsafe extern "C" fn lines_ends(data: *const u8, length: usize, places: *mut i64, room: usize) -> i64 {
    guarded(|| lines::newlines(read(data, length), write(places, room)) as i64)
}
