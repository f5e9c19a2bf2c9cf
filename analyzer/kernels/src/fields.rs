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
