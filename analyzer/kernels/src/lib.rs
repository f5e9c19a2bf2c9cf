//! Inner loops of the readers, compiled: each does what a NumPy function of the package does, to the same rows.
//!
//! The functions below are the whole interface, of plain C types, so that any Python loads it. Only this file touches
//! raw memory; everything else is safe Rust, whose every index is checked. A panic is caught at the border and becomes
//! a refusal: the caller then does the same work in NumPy.

mod chains;

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

mod distinct;
mod json;
mod strings;

/// Where the values of keys lie in each of some texts of one JSON object (`json::scan`): how many texts, from the first,
/// could be scanned. `names` are the keys, with a line feed after each; `spans` has a row for each key.
///
/// # Safety
/// The pointers must lead to as many elements as told.
#[no_mangle]
pub unsafe extern "C" fn json_scan(
    data: *const u8, length: usize, texts: *const u64, count: usize, names: *const u8, letters: usize,
    spans: *mut u64, room: usize,
) -> i64 {
    guarded(|| match json::Scanner::new(read(names, letters)) {
        Some(mut scanner) if room == count * scanner.count() => {
            json::scan(read(data, length), read(texts, count), &mut scanner, write(spans, room)) as i64
        }
        _ => REFUSED,
    })
}

/// The number of the text at each span among those that differ (`distinct::distinct`), and how many these are.
///
/// # Safety
/// The pointers must lead to as many elements as told.
#[no_mangle]
pub unsafe extern "C" fn distinct_texts(
    data: *const u8, length: usize, spans: *const u64, count: usize, codes: *mut u32, coded: usize,
    firsts: *mut u32, room: usize, seed: usize,
) -> i64 {
    guarded(|| {
        let (codes, firsts) = (write(codes, coded), write(firsts, room));
        told(distinct::distinct(read(data, length), read(spans, count), seed as u64, codes, firsts))
    })
}

/// JSON strings as views of Arrow (`strings::strings`): how many bytes the long ones take.
///
/// # Safety
/// The pointers must lead to as many elements as told.
#[no_mangle]
pub unsafe extern "C" fn json_strings(
    data: *const u8, length: usize, spans: *const u64, count: usize, words: *mut u64, pairs: usize,
    valid: *mut u8, bits: usize, bytes: *mut u8, room: usize, only_told: usize,
) -> i64 {
    guarded(|| {
        let (words, valid, bytes) = (write(words, pairs), write(valid, bits), write(bytes, room));
        let mut views = strings::Views { words, valid, bytes };
        told(strings::strings(read(data, length), read(spans, count), only_told != 0, &mut views))
    })
}

/// Times that are JSON strings as microseconds since 1970 (`strings::moments`).
///
/// # Safety
/// The pointers must lead to as many elements as told.
#[no_mangle]
pub unsafe extern "C" fn json_moments(
    data: *const u8, length: usize, spans: *const u64, count: usize, micros: *mut i64, room: usize,
) -> i64 {
    guarded(|| told(strings::moments(read(data, length), read(spans, count), write(micros, room))))
}

fn told(count: Option<usize>) -> i64 {
    count.map_or(REFUSED, |count| count as i64)
}
