//! What a device is, said once per class
