//! How Python calls: plain C types, memory as it was given, and no panic beyond the border.

use std::panic::{catch_unwind, AssertUnwindSafe};

/// What a caller gets instead of a count where nothing was done.
pub const REFUSED: i64 = -1;

pub fn guarded(work: impl FnOnce() -> i64) -> i64 {
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
            $(let $argument = crate::memory::Argument::all($argument);)*
            crate::border::guarded(|| $body)
        }
    )* };
}

pub(crate) use kernels;
