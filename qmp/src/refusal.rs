//! QEMU's "no".

use std::fmt;

/// What QEMU answered in place of a result. The command had no effect, or what effect it had QEMU
/// has taken back: that is QEMU's promise, not ours.
///
/// Apart from `DeviceNotFound` and `CommandNotFound` every refusal of QEMU 7.2 has the class
/// `GenericError`, so what a caller does next should come from a query, not from the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The class as QEMU names it. Text, because QEMU may name classes that we do not know.
    pub class: String,
    /// QEMU's explanation, for people.
    pub desc: String,
}

impl Refusal {
    /// Whether QEMU says that a device, netdev or QOM path is not there. It is the only refusal that
    /// is a durable fact by its class.
    #[must_use]
    pub fn is_device_not_found(&self) -> bool {
        self.class == "DeviceNotFound"
    }

    /// Whether QEMU does not have this command (now): unknown, or not allowed in this phase.
    #[must_use]
    pub fn is_command_not_found(&self) -> bool {
        self.class == "CommandNotFound"
    }

    /// Whether the same command may succeed later without any change of ours: an unplug that is
    /// under way, a guest that powers its slot up, a node whose device is still being freed (some
    /// 50 ms after it left the device tree).
    ///
    /// It is read from the text, see the table in the source, so it may only ever decide whether to
    /// try again, never what is true.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.class == "GenericError" && BUSY.iter().any(|text| text.matches(&self.desc))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.desc, self.class)
    }
}

/// Texts are anchored at an end of the description: QEMU puts file names and ids of the caller in
/// the middle of other descriptions, and a file may be called "guest is busy".
enum Text {
    Begins(&'static str),
    Ends(&'static str),
}

impl Text {
    fn matches(&self, desc: &str) -> bool {
        match self {
            Self::Begins(text) => desc.starts_with(text),
            Self::Ends(text) => desc.ends_with(text),
        }
    }
}

/// Every text that means "not now", as QEMU 7.2 sends it, and who sends it.
const BUSY: &[Text] = &[
    // device_del of a PCI device whose unplug the guest has not answered:
    // "Device vr0 is already in the process of unplug"
    Text::Ends(" is already in the process of unplug"),
    // device_del behind a PCI Express port that is being powered up:
    // "Hot-unplug failed: guest is busy (power indicator blinking)"
    Text::Begins("Hot-unplug failed: guest is busy"),
    // blockdev-del of a node whose device is not finalized yet: "Node d0 is in use"
    Text::Ends(" is in use"),
    // object-del of a memory backend whose device is not finalized yet:
    // "object 'mb0' is in use, can not be deleted"
    Text::Ends(" is in use, can not be deleted"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(desc: &str) -> Refusal {
        Refusal { class: "GenericError".into(), desc: desc.into() }
    }

    #[test]
    fn each_busy_text_of_qemu_is_busy() {
        for desc in [
            "Device vr0 is already in the process of unplug",
            "Hot-unplug failed: guest is busy (power indicator blinking)",
            "Node d0 is in use",
            "object 'mb0' is in use, can not be deleted",
        ] {
            assert!(generic(desc).is_busy(), "{desc}");
        }
    }

    #[test]
    fn a_refusal_for_good_is_not_busy() {
        for desc in [
            "Duplicate device ID 'sd0'",
            "PCI: slot 0 function 0 not available for virtio-rng-pci, in use by virtio-rng-pci,id=x1",
            "Failed to get \"write\" lock",
            "Could not open '/srv/guest is busy/disk is in use.raw': No such file or directory",
            "Bus 'pcie.0' does not support hotplugging",
        ] {
            assert!(!generic(desc).is_busy(), "{desc}");
        }
    }

    #[test]
    fn only_the_class_says_that_a_device_is_not_there() {
        let gone = Refusal { class: "DeviceNotFound".into(), desc: "Device 'x' is in use".into() };
        assert!(gone.is_device_not_found());
        assert!(!gone.is_busy());
        assert!(!generic("Device 'x' not found").is_device_not_found());
    }
}
