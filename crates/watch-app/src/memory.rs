//! The settings of the system's allocator.

/// Blocks from this size on are mapped on their own and given back when freed, in bytes. glibc's own start value.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE_BLOCK: i32 = 128 * 1024;

/// Keeps glibc from raising its bound of large blocks with each one freed: after one PIN hash (8 MiB) it would keep every
/// camera frame and picture that was ever freed; and has all threads share one heap, since hardly two allocate at a time. Other
/// systems' allocators need no word. To be called once, at the start.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn keep_small() {
    for (setting, value) in [(libc::M_MMAP_THRESHOLD, LARGE_BLOCK), (libc::M_ARENA_MAX, 1)] {
        // SAFETY: `mallopt` takes two numbers and may be called at any time.
        #[allow(unsafe_code, reason = "1.4 MB of a watch's memory; there is no safe way to say it")]
        let taken = unsafe { libc::mallopt(setting, value) };
        debug_assert_eq!(taken, 1, "glibc takes these");
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn keep_small() {}
