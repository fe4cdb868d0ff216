//! The floors of the bench, for every program of it.

#![deny(unsafe_code)]

pub mod bare;

/// What keeps a row from being measured: of whatever kind, a bench ends with it.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
