//! A panic is a bug, and told as one: kind `internal`, in the format that was asked for.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use steadfast::{Error, Kind};

static LAST: Mutex<Option<String>> = Mutex::new(None);

/// From now on a panic of any thread is remembered, not printed: stderr has a format too.
pub(crate) fn remember() {
    std::panic::set_hook(Box::new(|info| {
        let text = info.to_string();
        tracing::error!(panic = %text, "a thread panicked");
        *LAST.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
    }));
}

/// Runs it; a panic becomes an error, and an error that is a bug names the panic of the thread that led to it.
pub(crate) fn caught<T>(run: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    // Nothing is used after a panic but what the panicking call owned and has dropped.
    let outcome = catch_unwind(AssertUnwindSafe(run));
    let panicked = || LAST.lock().unwrap_or_else(PoisonError::into_inner).take();
    match outcome {
        Ok(Err(error)) if error.kind == Kind::Internal => Err(match panicked() {
            Some(text) => error.because(text),
            None => error,
        }),
        Ok(outcome) => outcome,
        Err(_) => {
            let error = Error::new(Kind::Internal, "the command ran into a bug of its own");
            Err(error
                .because(panicked().unwrap_or_else(|| "a panic".to_owned()))
                .hint("run `steadfast check`"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_internal_error_that_says_where() {
        remember();
        let error = caught::<()>(|| panic!("no such thing")).unwrap_err();
        assert_eq!(error.kind, Kind::Internal);
        assert!(
            error.causes[0].contains("bug.rs") && error.causes[0].contains("no such thing"),
            "{error:?}"
        );
    }
}
