//! Who sees a panic: one on another thread ends no test by itself, and some are caught on purpose.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once, PoisonError};

static IS_WATCHING: AtomicBool = AtomicBool::new(false);
static FIRST: Mutex<Option<String>> = Mutex::new(None);

thread_local! {
    static IS_QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`; an error is the first panic of any thread of the process while it ran.
///
/// One at a time in a process.
///
/// # Errors
/// What the panic said, and where.
pub(crate) fn watch(work: impl FnOnce()) -> Result<(), String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if IS_WATCHING.load(Ordering::Relaxed) { note(panic) } else { usual(panic) }
        }));
    });
    *first() = None;
    IS_WATCHING.store(true, Ordering::Relaxed);
    let ended = panic::catch_unwind(AssertUnwindSafe(work));
    IS_WATCHING.store(false, Ordering::Relaxed);
    match (first().take(), ended) {
        (Some(said), _) => Err(said),
        (None, Ok(())) => Ok(()),
        (None, Err(_)) => Err("a panic that said nothing".to_owned()),
    }
}

fn first() -> std::sync::MutexGuard<'static, Option<String>> {
    FIRST.lock().unwrap_or_else(PoisonError::into_inner)
}

fn note(panic: &PanicHookInfo<'_>) {
    if IS_QUIET.replace(true) {
        return;
    }
    let thread = std::thread::current();
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let said = panic.payload_as_str().unwrap_or("no words");
    let thread = thread.name().unwrap_or("without a name");
    first().get_or_insert_with(|| format!("{said}\n(at {place}, thread {thread})"));
    IS_QUIET.set(false);
}
