//! Inner loops of the readers, compiled: each does what a NumPy function of the package does, to the same rows.
//!
//! The functions below, in `captures` and in `messages` are the whole interface, of plain C types, so that any Python
//! loads it. These files, `border` and `memory` alone see raw memory; everything else is safe Rust, whose every index
//! is checked. A panic is caught at the border and becomes a refusal: the caller then does the same work in NumPy.

mod border;
mod bytes;
mod captures;
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
mod links;
mod memory;
mod messages;
mod network;
mod places;
mod records;
mod segments;
mod words;

use border::{kernels, REFUSED};
use memory::{Given, Room};

/// Counts up whenever a signature or a meaning changes; `analyzer/kernels/__init__.py` names the one it is for.
const INTERFACE: i64 = 3;

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

kernels! {
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
