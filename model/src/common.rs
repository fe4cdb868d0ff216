//! A value that states have in common until one changes it.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
};

/// Cheap to clone; whoever changes it gets its own first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Common<T>(Arc<T>);

impl<T> Deref for Common<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Clone> DerefMut for Common<T> {
    fn deref_mut(&mut self) -> &mut T {
        Arc::make_mut(&mut self.0)
    }
}
