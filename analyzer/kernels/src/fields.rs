//! Columns of some rows, as narrow as their table has them.

#![forbid(unsafe_code)]

/// A number of a table.
pub trait Number: Copy {
    fn of(value: i64) -> Self;
}

macro_rules! number {
    ($($kind:ty),*) => { $(impl Number for $kind {
        #[inline(always)]
        fn of(value: i64) -> Self {
            value as $kind
        }
    })* };
}

number!(i16, i32, i64);

/// The values of these rows, and which of them are not `absent`; how many are.
pub fn taken<T: Number>(values: &[i64], rows: &[i64], absent: i64, out: &mut [T], known: &mut [u8]) -> usize {
    let mut missing = 0;
    for ((row, place), there) in rows.iter().zip(out.iter_mut()).zip(known.iter_mut()) {
        let value = values[*row as usize];
        *place = T::of(value);
        *there = (value != absent) as u8;
        missing += (value == absent) as usize;
    }
    missing
}

// Bits of the flags of a DNS message, and codes that they end in (RFC 1035 section 4.1.1).
const RESPONSE: i64 = 0x8000;
const AUTHORITATIVE: i64 = 0x0400;
const TRUNCATED: i64 = 0x0200;
const RCODE: i64 = 15;
const NOERROR: i64 = 0;
const NXDOMAIN: i64 = 3;

const ABSENT: i64 = -1;

/// Decoded DNS messages: what their headers say, and the lives of negative answers.
pub struct Messages<'a> {
    pub id: &'a [i64],
    pub flags: &'a [i64],
    pub answers: &'a [i64],
    pub negative_ttl: &'a [i64],
}

/// Columns of some messages (`dns_tables._header`): three of `numbers` (id, place of the text of the rcode, answers),
/// the lives of negative answers, four of `facts` (response, truncated, authoritative, whether there is a life).
pub fn header(messages: &Messages, rows: &[i64], numbers: &mut [i32], lives: &mut [i64], facts: &mut [u8]) {
    let count = rows.len();
    for (place, row) in rows.iter().enumerate() {
        let row = *row as usize;
        let flags = messages.flags[row];
        let (response, rcode) = (flags & RESPONSE != 0, flags & RCODE);
        let ends = response && (rcode == NOERROR || rcode == NXDOMAIN);
        let told = [
            messages.id[row],
            if response { rcode + 1 } else { 0 },
            if response { messages.answers[row] } else { ABSENT },
        ];
        for (column, value) in told.iter().enumerate() {
            numbers[column * count + place] = *value as i32;
        }
        lives[place] = if ends { messages.negative_ttl[row] } else { ABSENT };
        let said = [response, flags & TRUNCATED != 0, flags & AUTHORITATIVE != 0, lives[place] != ABSENT];
        for (column, value) in said.iter().enumerate() {
            facts[column * count + place] = *value as u8;
        }
    }
}
