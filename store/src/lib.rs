//! The records of steadfast in one SQLite database
