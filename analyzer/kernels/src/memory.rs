//! What comes from raw memory, and how it is asked for ahead.

use std::slice;

/// Memory that Python owns and keeps while a call lasts.
#[repr(C)]
pub struct Given<T> {
    at: *const T,
    count: usize,
}

/// Memory that Python owns and nobody else looks at while a call lasts.
#[repr(C)]
pub struct Room<T> {
    at: *mut T,
    count: usize,
}

/// What Python hands over, as it is worked with.
pub trait Argument {
    type Inside;

    /// # Safety
    /// A pointer must lead to as many elements as told, which live as long as the call, and nobody else may look at
    /// what is written.
    unsafe fn all(self) -> Self::Inside;
}

impl<T: 'static> Argument for Given<T> {
    type Inside = &'static [T];

    unsafe fn all(self) -> &'static [T] {
        if self.count == 0 {
            &[]
        } else {
            slice::from_raw_parts(self.at, self.count)
        }
    }
}

impl<T: 'static> Argument for Room<T> {
    type Inside = &'static mut [T];

    unsafe fn all(self) -> &'static mut [T] {
        if self.count == 0 {
            &mut []
        } else {
            slice::from_raw_parts_mut(self.at, self.count)
        }
    }
}

impl Argument for usize {
    type Inside = usize;

    unsafe fn all(self) -> usize {
        self
    }
}

/// Asks for what stands at this place, which will be needed soon: a window is larger than the nearer caches.
#[inline(always)]
pub fn ahead<T>(data: &[T], at: i64) {
    #[cfg(target_arch = "x86_64")]
    if let Some(there) = data.get(at as usize) {
        use std::arch::x86_64::{_mm_prefetch, _MM_HINT_T0};
        // A hint about memory that is there; it neither reads nor writes.
        unsafe { _mm_prefetch(there as *const T as *const i8, _MM_HINT_T0) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (data, at);
}
