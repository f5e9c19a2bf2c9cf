//! What comes from raw memory, and how it is asked for ahead.

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
