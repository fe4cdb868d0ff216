//! The lock hierarchy of steadfast: levels, permits, file locks, owners, the alive lock
