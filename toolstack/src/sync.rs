//! What the owners of a slow lock, and those who end its generation, meet by. Under `cfg(loom)` these are twins that
//! explore every order of events; no other line of this crate knows of it.

#[cfg(not(loom))]
pub(crate) use {
    parking_lot::Mutex,
    std::{fs, sync::Arc},
};

#[cfg(loom)]
pub(crate) use steadfast_twins::{Arc, Mutex, fs};
