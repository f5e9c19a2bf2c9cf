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
mod words;

use memory::{Given, Room};
use std::panic::{catch_unwind, AssertUnwindSafe};

/// Counts up whenever a signature or a meaning changes; `analyzer/kernels/__init__.py` names the one it is for.
const INTERFACE: i64 = 2;

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

/// The records of a pcap file (`chains::walk`): how many; their places in `offsets`, where the walk stopped in `stop`.
///
/// # Safety
/// The pointers must lead to as many elements as told.
#[no_mangle]
pub unsafe extern "C" fn pcap_walk(
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
) -> i64 {
    guarded(|| {
        let records = chains::Records { big: big != 0, swapped: swapped != 0, header, most: most as u32 };
        let made = chains::walk(&records, data.all(), start, size, lanes, offsets.all());
        walked(made, stop.all())
    })
}

/// The blocks of a section of pcapng, likewise.
///
/// # Safety
/// The pointers must lead to as many elements as told.
#[no_mangle]
pub unsafe extern "C" fn pcapng_walk(
    data: Given<u8>,
    offsets: Room<i64>,
    stop: Room<i64>,
    start: usize,
    size: usize,
    lanes: usize,
    big: usize,
    most: usize,
) -> i64 {
    guarded(|| {
        let blocks = chains::Blocks { big: big != 0, most: most as u32 };
        let made = chains::walk(&blocks, data.all(), start, size, lanes, offsets.all());
        walked(made, stop.all())
    })
}

/// The heads of records of pcap (`chains::fields`) in four columns.
///
/// # Safety
/// The pointers must lead to as many elements as told.
#[no_mangle]
pub unsafe extern "C" fn pcap_fields(
    data: Given<u8>,
    at: Given<i64>,
    out: Room<i64>,
    big: usize,
    swapped: usize,
) -> i64 {
    guarded(|| {
        let records = chains::Records { big: big != 0, swapped: swapped != 0, header: 0, most: 0 };
        chains::fields(&records, data.all(), at.all(), out.all());
        at.count() as i64
    })
}

/// The big-endian field of 16 bits at each place.
///
/// # Safety
/// The pointers must lead to as many elements as told.
#[no_mangle]
pub unsafe extern "C" fn halves_at(data: Given<u8>, at: Given<i64>, out: Room<u16>) -> i64 {
    guarded(|| {
        bytes::halves(data.all(), at.all(), out.all());
        at.count() as i64
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
    data: Given<u8>,
    start: Given<i64>,
    end: Given<i64>,
    whole: Given<u8>,
    classes: Given<i64>,
    state: Room<u8>,
    over: Room<u8>,
    columns: Room<i64>,
    answers: Room<i64>,
) -> i64 {
    guarded(|| {
        let places = dns::Places {
            data: data.all(),
            start: start.all(),
            end: end.all(),
            whole: whole.all(),
            classes: classes.all(),
        };
        let mut out = dns::Messages { state: state.all(), over: over.all(), columns: columns.all() };
        let mut found = dns::Answers { columns: answers.all(), room: answers.count() / 7, count: 0 };
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
    data: Given<u8>,
    at: Given<i64>,
    end: Given<i64>,
    wire_end: Given<i64>,
    ethertype: Given<i64>,
    cut: Given<u8>,
    octets: Room<u8>,
    words: Room<u64>,
    numbers: Room<i64>,
) -> i64 {
    guarded(|| {
        let packets = network::Packets {
            data: data.all(),
            at: at.all(),
            end: end.all(),
            wire_end: wire_end.all(),
            ethertype: ethertype.all(),
            cut: cut.all(),
        };
        let mut out = network::Columns { octets: octets.all(), words: words.all(), numbers: numbers.all() };
        network::network(&packets, &mut out);
        at.count() as i64
    })
}

/// Ids of addresses (`interning::addresses`): how many are not known.
///
/// # Safety
/// The pointers must lead to as many elements as told.
#[no_mangle]
pub unsafe extern "C" fn addresses_known(
    six: Given<u8>,
    high: Given<u64>,
    low: Given<u64>,
    four_keys: Given<u64>,
    four_ids: Given<i64>,
    six_keys: Given<u64>,
    six_ids: Given<i64>,
    out: Room<i64>,
) -> i64 {
    guarded(|| {
        let four = interning::Table { keys: four_keys.all(), ids: four_ids.all() };
        let other = interning::Table { keys: six_keys.all(), ids: six_ids.all() };
        let (six, high, low) = (six.all(), high.all(), low.all());
        interning::addresses(six, high, low, &four, &other, out.all()) as i64
    })
}

/// Ids of names (`interning::names`): how many are not known.
///
/// # Safety
/// The pointers must lead to as many elements as told.
#[no_mangle]
pub unsafe extern "C" fn names_known(
    data: Given<u8>,
    at: Given<i64>,
    lengths: Given<i64>,
    short_keys: Given<u64>,
    short_ids: Given<i64>,
    long_keys: Given<u64>,
    long_ids: Given<i64>,
    out: Room<i64>,
) -> i64 {
    guarded(|| {
        let short = interning::Table { keys: short_keys.all(), ids: short_ids.all() };
        let long = interning::Table { keys: long_keys.all(), ids: long_ids.all() };
        let (at, lengths) = (at.all(), lengths.all());
        interning::names(data.all(), at, lengths, &short, &long, out.all()) as i64
    })
}

/// The function of this name takes values of some rows (`fields::taken`) as this type: how many are absent.
macro_rules! taken {
    ($name:ident, $kind:ty) => {
        /// # Safety
        /// The pointers must lead to as many elements as told.
        #[no_mangle]
        pub unsafe extern "C" fn $name(
            values: Given<i64>,
            rows: Given<i64>,
            out: Room<$kind>,
            known: Room<u8>,
            absent: usize,
        ) -> i64 {
            guarded(|| {
                let (values, rows) = (values.all(), rows.all());
                fields::taken(values, rows, absent as i64, out.all(), known.all()) as i64
            })
        }
    };
}

taken!(taken_i2, i16);
taken!(taken_i4, i32);
taken!(taken_i8, i64);

/// Which packets may have a copy among the others (`copies::shared`).
///
/// # Safety
/// The pointers must lead to as many elements as told.
#[no_mangle]
pub unsafe extern "C" fn packets_shared(
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
) -> i64 {
    guarded(|| {
        let packets = copies::Packets {
            data: data.all(),
            rows: rows.all(),
            end: end.all(),
            payload: payload.all(),
            payload_end: payload_end.all(),
            protocol: protocol.all(),
            src: src.all(),
            dst: dst.all(),
            src_port: src_port.all(),
            dst_port: dst_port.all(),
            ip_id: ip_id.all(),
            seq: seq.all(),
        };
        copies::shared(&packets, shared.all());
        rows.count() as i64
    })
}

/// The values of keys in texts of one JSON object each, as columns (`columns::columns`): how many of the `bytes` were
/// taken. `names` are the keys, with a line feed after each; `kinds` has a letter for each (`columns::Kind`).
///
/// # Safety
/// The pointers must lead to as many elements as told.
#[no_mangle]
pub unsafe extern "C" fn json_columns(
    data: Given<u8>,
    objects: Given<u64>,
    names: Given<u8>,
    kinds: Given<u8>,
    words: Room<u64>,
    counts: Room<u64>,
    bytes: Room<u8>,
    seed: usize,
) -> i64 {
    guarded(|| {
        let kinds: Option<Vec<_>> = kinds.all().iter().map(|&letter| columns::Kind::of(letter)).collect();
        let mut into = columns::Columns { words: words.all(), counts: counts.all(), bytes: bytes.all() };
        let made = json::Scanner::new(names.all()).zip(kinds).and_then(|(mut scanner, kinds)| {
            let (data, objects) = (data.all(), objects.all());
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
pub unsafe extern "C" fn lines_ends(data: Given<u8>, places: Room<i64>) -> i64 {
    guarded(|| lines::newlines(data.all(), places.all()) as i64)
}
