//! Floors: each does the bare effects of a row, in under 100 lines, with nothing of the product.

pub mod commit;
pub mod disk;
pub mod flock;
pub mod journal;
pub mod qmp;
pub mod record;
pub mod rows;
pub mod section;
#[expect(unsafe_code, reason = "calls that no library wraps")]
pub mod semaphore;
pub mod verb;

use crate::Result;
