//! The QMP commands that a disk takes, as text, in the fewest bytes: QEMU 7.2 reads a command one byte at a time, and each takes
//! it some 3 us. What is left out is QEMU's own default and what the product asks for.

use std::path::Path;

/// A disk that is attached by hand.
pub struct Disk {
    /// Its id in QEMU.
    pub id: String,
    node: String,
    number: u32,
    add_node: String,
    add_device: String,
}

impl Disk {
    /// The disk of this number on the SCSI bus of the product's machine.
    pub fn scsi(number: u32, file: &Path) -> Self {
        let place = format!(r#""driver":"scsi-hd","bus":"sf-scsi.0","scsi-id":{number}"#);
        Self::at(number, file, &place)
    }

    /// The disk of this number on the USB bus of the product's machine.
    pub fn usb(number: u32, file: &Path) -> Self {
        let place = format!(r#""driver":"usb-storage","bus":"sf-usb.0","port":"{number}""#);
        Self::at(number, file, &place)
    }

    fn at(number: u32, file: &Path, place: &str) -> Self {
        let (id, node) = (format!("b{number}"), format!("n{number}"));
        let file = file.display();
        Self {
            add_node: format!(
                r#"{{"execute":"blockdev-add","arguments":{{"driver":"file","node-name":"{node}","filename":"{file}"}}}}"#
            ),
            add_device: format!(
                r#"{{"execute":"device_add","arguments":{{"id":"{id}","drive":"{node}",{place}}}}}"#
            ),
            id,
            node,
            number,
        }
    }

    /// Back end and front end.
    pub fn attach(&self) -> [&str; 2] {
        [&self.add_node, &self.add_device]
    }

    /// Makes `/dev/fdset/NUMBER` of the descriptor that goes with it.
    pub fn add_fd(&self) -> String {
        let set = self.number;
        format!(r#"{{"execute":"add-fd","arguments":{{"fdset-id":{set}}}}}"#)
    }

    /// Asks QEMU to let go.
    pub fn detach(&self) -> String {
        format!(r#"{{"execute":"device_del","arguments":{{"id":"{}"}}}}"#, self.id)
    }

    /// Takes the back end away, once QEMU has let go.
    pub fn discard(&self) -> String {
        format!(r#"{{"execute":"blockdev-del","arguments":{{"node-name":"{}"}}}}"#, self.node)
    }
}
