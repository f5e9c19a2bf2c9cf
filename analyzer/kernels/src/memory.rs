//! What comes from raw memory, and how it is asked for ahead.

use std::slice;

/// Memory that Python owns and keeps while a call lasts.
#[repr(C)]
pub struct Given<T> {
    at: *const T,
    count: usize,
}

impl<T> Given<T> {
    pub fn count(&self) -> usize {
        self.count
    }

    /// # Safety
    /// The pointer must lead to as many elements as told.
    pub unsafe fn all<'a>(&self) -> &'a [T] {
        if self.count == 0 {
            &[]
        } else {
            slice::from_raw_parts(self.at, self.count)
        }
    }
}

/// Memory that Python owns and nobody else looks at while a call lasts.
#[repr(C)]
pub struct Room<T> {
    at: *mut T,
    count: usize,
}

impl<T> Room<T> {
    pub fn count(&self) -> usize {
        self.count
    }

    /// # Safety
    /// The pointer must lead to as many elements as told, which nobody else looks at.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn all<'a>(&self) -> &'a mut [T] {
        if self.count == 0 {
            &mut []
        } else {
            slice::from_raw_parts_mut(self.at, self.count)
        }
    }
}

/// Asks for the octets at this place, which will be needed soon: a window is larger than the nearer caches.
#[inline(always)]
pub fn ahead(data: &[u8], at: i64) {
    #[cfg(target_arch = "x86_64")]
    if let Some(octet) = data.get(at as usize) {
        use std::arch::x86_64::{_mm_prefetch, _MM_HINT_T0};
        // A hint about an octet that is there; it neither reads nor writes.
        unsafe { _mm_prefetch(octet as *const u8 as *const i8, _MM_HINT_T0) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (data, at);
}
