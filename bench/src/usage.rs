//! What the kernel says of children that have ended.

/// The most memory that one of them had, in bytes.
pub(crate) fn largest_child() -> u64 {
    // SAFETY: an all-zero `rusage` is one.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel fills it in, and nothing else.
    let code = unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage) };
    if code != 0 {
        return 0;
    }
    u64::try_from(usage.ru_maxrss).unwrap_or_default() * 1024
}
