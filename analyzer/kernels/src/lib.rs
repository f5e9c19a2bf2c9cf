//! Inner loops of the readers, compiled: each does what a NumPy function of the package does, to the same rows.
//!
//! The functions below are the whole interface, of plain C types, so that any Python loads it. Only this file touches
//! raw memory; everything else is safe Rust, whose every index is checked. A panic is caught at the border and becomes
//! a refusal: the caller then does the same work in NumPy.

mod bytes;
mod chains;
mod dns;
mod network;

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::slice;

/// Counts up whenever a signature or a meaning changes; `analyzer/kernels/__init__.py` names the one it was written for.
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
    if count == 0 { &[] } else { slice::from_raw_parts(at, count) }
}

/// Memory that Python owns and nobody else looks at while the call lasts.
unsafe fn write<'a, T>(at: *mut T, count: usize) -> &'a mut [T] {
    if count == 0 { &mut [] } else { slice::from_raw_parts_mut(at, count) }
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
    data: *const u8, length: usize, offsets: *mut i64, room: usize, stop: *mut i64, one: usize,
    start: usize, size: usize, big: usize, swapped: usize, header: usize, most: usize,
) -> i64 {
    guarded(|| {
        let records = chains::Records { big: big != 0, swapped: swapped != 0, header, most: most as u32 };
        walked(chains::walk(&records, read(data, length), start, size, write(offsets, room)), write(stop, one))
    })
}

/// The blocks of a section of pcapng, likewise.
///
/// # Safety
/// The pointers must lead to as many elements as told.
#[no_mangle]
pub unsafe extern "C" fn pcapng_walk(
    data: *const u8, length: usize, offsets: *mut i64, room: usize, stop: *mut i64, one: usize,
    start: usize, size: usize, big: usize, most: usize,
) -> i64 {
    guarded(|| {
        let blocks = chains::Blocks { big: big != 0, most: most as u32 };
        walked(chains::walk(&blocks, read(data, length), start, size, write(offsets, room)), write(stop, one))
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
    data: *const u8, length: usize, start: *const i64, count: usize, end: *const i64, ends: usize,
    whole: *const u8, wholes: usize, classes: *const i64, classed: usize, state: *mut u8, states: usize,
    over: *mut u8, overs: usize, columns: *mut i64, filled: usize, answers: *mut i64, answered: usize,
) -> i64 {
    guarded(|| {
        let places = dns::Places {
            data: read(data, length),
            start: read(start, count),
            end: read(end, ends),
            whole: read(whole, wholes),
            classes: read(classes, classed),
        };
        let mut out = dns::Messages {
            state: write(state, states),
            over: write(over, overs),
            columns: write(columns, filled),
        };
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
    data: *const u8, length: usize, at: *const i64, count: usize, end: *const i64, ends: usize,
    wire_end: *const i64, wire_ends: usize, ethertype: *const i64, types: usize, cut: *const u8, cuts: usize,
    octets: *mut u8, octet_count: usize, words: *mut u64, word_count: usize, numbers: *mut i64, number_count: usize,
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
