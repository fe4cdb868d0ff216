//! Which branches an input took, where the crates under test were built with counters.
//!
//! The compiler's own instrumentation (LLVM's SanitizerCoverage, inline 8-bit counters) gives each edge of the control
//! flow one byte and names the array of each object file to a function that the program has to have. Built without it
//! there are no arrays, and a hunt is blind but otherwise the same.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};

/// Addresses and lengths of the arrays.
static ARRAYS: Mutex<Vec<(usize, usize)>> = Mutex::new(Vec::new());

/// Called once per object file, before `main`, by what the compiler put there.
///
/// # Safety
/// `start` and `stop` must enclose an array of bytes that lives as long as the program.
// SAFETY: the name is reserved for this purpose by the compiler's instrumentation, and nobody else defines it here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __sanitizer_cov_8bit_counters_init(start: *mut u8, stop: *mut u8) {
    let (start, stop) = (start as usize, stop as usize);
    if let Ok(mut arrays) = ARRAYS.lock()
        && start < stop
        && arrays.iter().all(|(known, _)| *known != start)
    {
        arrays.push((start, stop - start));
    }
}

/// What all inputs of a hunt have reached so far.
#[derive(Debug)]
pub struct Coverage {
    counters: Vec<&'static [AtomicU8]>,
    /// For each edge the classes of counts that were seen, as bits.
    seen: Vec<u8>,
}

impl Coverage {
    /// Nothing reached yet.
    #[must_use]
    pub fn new() -> Self {
        let arrays = ARRAYS.lock().map(|arrays| arrays.clone()).unwrap_or_default();
        let counters: Vec<&'static [AtomicU8]> = arrays
            .into_iter()
            .map(|(start, length)| {
                // SAFETY: the instrumentation promised that the array lives as long as the program, and an atomic byte
                // is laid out as a byte. It counts without atomics, so a count may be lost between threads: counts
                // are a hint.
                unsafe { std::slice::from_raw_parts(start as *const AtomicU8, length) }
            })
            .collect();
        let edges = counters.iter().map(|array| array.len()).sum();
        Self { counters, seen: vec![0; edges] }
    }

    /// Whether there is anything to be guided by.
    #[must_use]
    pub fn is_guided(&self) -> bool {
        !self.seen.is_empty()
    }

    /// How many edges were reached.
    #[must_use]
    pub fn edges(&self) -> usize {
        self.seen.iter().filter(|classes| **classes != 0).count()
    }

    /// Begins the count of one input.
    pub fn reset(&self) {
        for array in &self.counters {
            for counter in *array {
                // Most are zero, and a page that is not written stays in the cache.
                if counter.load(Ordering::Relaxed) != 0 {
                    counter.store(0, Ordering::Relaxed);
                }
            }
        }
    }

    /// Ends it and says whether the input went where none had gone before.
    pub fn absorb(&mut self) -> bool {
        let mut is_new = false;
        let mut seen = self.seen.iter_mut();
        for array in &self.counters {
            for (counter, seen) in array.iter().zip(&mut seen) {
                let count = counter.load(Ordering::Relaxed);
                if count != 0 && *seen & class(count) == 0 {
                    *seen |= class(count);
                    is_new = true;
                }
            }
        }
        is_new
    }
}

impl Default for Coverage {
    fn default() -> Self {
        Self::new()
    }
}

/// Counts of about the same size are the same.
fn class(count: u8) -> u8 {
    match count {
        0 => 0,
        1 => 1,
        2 => 2,
        3 => 4,
        4..=7 => 8,
        8..=15 => 16,
        16..=31 => 32,
        32..=127 => 64,
        _ => 128,
    }
}
