//! The verbs of the command, each in the situations in which it has effects of its own.

pub(crate) mod device;
pub(crate) mod media;
pub(crate) mod power;
pub(crate) mod record;
pub(crate) mod repair;
