//! The embeddable library: records, locks and a real QEMU behind the verbs
