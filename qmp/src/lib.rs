//! An async client for the QEMU monitor protocol
