//! Tests of the whole product on a real QEMU
