//! A value that threads share.

/// A value behind a mutex, and a wait for it to change.
pub trait Shared<T>: Clone + Send + Sync + 'static {
    /// Puts it there.
    fn share(value: T) -> Self;

    /// Looks at it, alone; where there is nothing to say yet, looks again whenever somebody else has had a say.
    fn until<R>(&self, look: impl FnMut(&mut T) -> Option<R>) -> R;
}

/// Defines a [`Shared`] over the `Arc`, `Mutex` and `Condvar` of one module: `shared!(Loom, loom::sync)`.
#[macro_export]
macro_rules! shared {
    ($(#[$meta:meta])* $name:ident, $($sync:tt)+) => {
        $(#[$meta])*
        #[derive(Debug)]
        pub struct $name<T>($($sync)+::Arc<($($sync)+::Mutex<(T, usize)>, $($sync)+::Condvar)>);

        impl<T> Clone for $name<T> {
            fn clone(&self) -> Self {
                Self(self.0.clone())
            }
        }

        impl<T: Send + 'static> $crate::live::Shared<T> for $name<T> {
            fn share(value: T) -> Self {
                // Beside the value: how many wait for it to change.
                let parts = ($($sync)+::Mutex::new((value, 0)), $($sync)+::Condvar::new());
                Self($($sync)+::Arc::new(parts))
            }

            fn until<R>(&self, mut look: impl FnMut(&mut T) -> Option<R>) -> R {
                use ::std::sync::PoisonError;
                let (mutex, changed) = &*self.0;
                let mut inside = mutex.lock().unwrap_or_else(PoisonError::into_inner);
                loop {
                    if let Some(said) = look(&mut inside.0) {
                        // For a model checker every call is a step of its own.
                        if inside.1 > 0 {
                            changed.notify_all();
                        }
                        return said;
                    }
                    inside.1 += 1;
                    inside = changed.wait(inside).unwrap_or_else(PoisonError::into_inner);
                    inside.1 -= 1;
                }
            }
        }
    };
}

shared! {
    /// For the threads of the operating system.
    Std, std::sync
}
