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

mod columns;
mod distinct;
mod escapes;
mod json;
mod lines;
mod words;

/// The values of keys in texts of one JSON object each, as columns (`columns::columns`): how many of the `bytes` were
/// taken. `names` are the keys, with a line feed after each; `kinds` has a letter for each (`columns::Kind`).
///
/// # Safety
/// The pointers must lead to as many elements as told.
#[no_mangle]
pub unsafe extern "C" fn json_columns(
    data: *const u8, length: usize, objects: *const u64, count: usize, names: *const u8, letters: usize,
    kinds: *const u8, keys: usize, words: *mut u64, width: usize, counts: *mut u64, counted: usize,
    bytes: *mut u8, room: usize, seed: usize,
) -> i64 {
    guarded(|| {
        let kinds: Option<Vec<_>> = read(kinds, keys).iter().map(|&letter| columns::Kind::of(letter)).collect();
        let mut into = columns::Columns {
            words: write(words, width),
            counts: write(counts, counted),
            bytes: write(bytes, room),
        };
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
