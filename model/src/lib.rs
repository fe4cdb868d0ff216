//! Engines that explore the production protocol lines
