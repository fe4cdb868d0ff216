//! The domain document: what `define` takes and `export` gives back.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use crate::arguments::check_arguments;
use crate::class::{Controller, ControllerModel};
use crate::datum::{Datum, string, words};
use crate::error::{Error, Problem, below, clip};
use crate::place::{Machine, Pool};
use crate::record::{Members, Record, object, record, schema};
use crate::{
    CpuModel, DeviceName, DomainName, FilePath, KernelArguments, QemuArgument, Size, Spec,
};

words! {
    /// How the guest's instructions run, as the document says.
    Accel {
        /// Whatever is found to work: tried, not assumed.
        Auto = "auto",
        /// The hardware's virtualization.
        Kvm = "kvm",
        /// QEMU's translator.
        Tcg = "tcg",
    }
}

words! {
    /// How the guest's instructions run, once decided.
    Accelerator {
        /// The hardware's virtualization.
        Kvm = "kvm",
        /// QEMU's translator.
        Tcg = "tcg",
    }
}

words! {
    /// Where the first serial port leads. There always is one: some guests stop without a console.
    SerialPort {
        /// To a file in the run folder.
        Log = "log",
        /// Nowhere.
        None = "none",
    }
}

record! {
    /// A kernel that is loaded without a boot disk.
    Boot {
        /// The kernel.
        kernel: FilePath,
        /// The first file system.
        initrd: Option<FilePath> = None,
        /// The kernel's command line.
        append: Option<KernelArguments> = None,
    }
}

record! {
    /// Everything of a domain but its devices.
    Settings {
        /// The name.
        name: DomainName,
        /// The uuid; made where left out.
        uuid: Option<Uuid> = None,
        /// The board.
        machine: Machine = Machine::Q35,
        /// How the guest's instructions run.
        accel: Accel = Accel::Auto,
        /// The guest's memory, in whole MiB.
        memory: Size = Size::mebibytes(512),
        /// Number of processors.
        vcpus: u8 = 1,
        /// CPU model with its features; QEMU's default where left out.
        cpu: Option<CpuModel> = None,
        /// Firmware image; QEMU's BIOS where left out.
        firmware: Option<FilePath> = None,
        /// The kernel to load; from disk where left out.
        boot: Option<Boot> = None,
        /// Where the first serial port leads.
        serial: SerialPort = SerialPort::Log,
        /// Whether it is started with the host.
        autostart: bool = false,
        /// Root ports kept free for hot-plug, beyond those the document's devices take (q35).
        pci_ports: u8 = 8,
        /// More words for QEMU's command line.
        qemu_args: Vec<QemuArgument> = Vec::new(),
    }
}

/// A domain: its settings and its devices by name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Document {
    /// Everything but the devices.
    pub settings: Settings,
    /// The devices users gave; controllers follow from [`Document::controllers`].
    pub devices: BTreeMap<DeviceName, Spec>,
}

/// The places a domain has. Fixed when it starts, so part of what a start records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Layout {
    /// The board.
    pub machine: Machine,
    /// Number of root ports in all; 0 on a board without them.
    pub pci_ports: u8,
}

const DEVICES: &str = "devices";
const MOST_MEBIBYTES: u64 = 16 << 20;

impl Document {
    /// Reads a domain document.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the place and what is wrong there.
    pub fn from_json(value: &Json) -> Result<Self, Error> {
        let settings = Settings::take(&Members::open::<Settings>(value, &[DEVICES], "")?)?;
        settings.check()?;
        let mut devices = BTreeMap::new();
        let mut identities = BTreeSet::new();
        if let Some(value) = value.get(DEVICES) {
            for (name, value) in object(value, DEVICES)? {
                let at = below(DEVICES, name);
                let name = DeviceName::read(&Json::String(name.clone()), &at)?;
                let spec = Spec::from_json(value, &at)?;
                spec.check_attachable(&at)?;
                for claim in spec.identities() {
                    if !identities.insert(claim.clone()) {
                        return Err(Error::rule(
                            &at,
                            format!("another device of the document has {claim}"),
                        ));
                    }
                }
                devices.insert(name, spec);
            }
        }
        let document = Self { settings, devices };
        document.check_ports()?;
        Ok(document)
    }

    /// Every setting and device, `null` where there is nothing; `from_json` reads it back.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let mut object = Map::new();
        self.settings.put(&mut object);
        let devices = self.devices.iter().map(|(name, spec)| (name.to_string(), spec.to_json()));
        object.insert(DEVICES.into(), Json::Object(devices.collect()));
        Json::Object(object)
    }

    /// The places this domain has when it starts.
    #[must_use]
    pub fn layout(&self) -> Layout {
        let pci_ports = match self.settings.machine {
            Machine::Q35 => u8::try_from(self.ports_wanted()).unwrap_or(u8::MAX),
            Machine::Pc => 0,
        };
        Layout { machine: self.settings.machine, pci_ports }
    }

    /// The controllers and root ports of this domain, with the names they have in the record.
    #[must_use]
    pub fn controllers(&self) -> Vec<(DeviceName, Spec)> {
        let one = |name: String, model, port| {
            (DeviceName::implicit(&name), Spec::Controller(Controller { model, port }))
        };
        let mut controllers = vec![
            one("scsi".into(), ControllerModel::Scsi, None),
            one("usb".into(), ControllerModel::Usb, None),
        ];
        let ports = 0..self.layout().pci_ports;
        controllers.extend(
            ports.map(|port| one(format!("rp{port}"), ControllerModel::RootPort, Some(port))),
        );
        controllers
    }

    /// The same with every path replaced, as the caller makes relative ones absolute.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a new path is none.
    pub fn map_paths(mut self, mut map: impl FnMut(&str) -> String) -> Result<Self, Error> {
        let settings = &mut self.settings;
        let boot = settings
            .boot
            .iter_mut()
            .flat_map(|boot| [Some(&mut boot.kernel), boot.initrd.as_mut()]);
        for path in boot.flatten().chain(settings.firmware.as_mut()) {
            *path = map(path.as_str()).parse()?;
        }
        let devices =
            self.devices.into_iter().map(|(name, spec)| Ok((name, spec.map_paths(&mut map)?)));
        self.devices = devices.collect::<Result<_, Error>>()?;
        Ok(self)
    }

    /// The JSON Schema of the document (draft 2020-12).
    #[must_use]
    pub fn schema() -> Json {
        let mut schema = schema(&Settings::fields(), Map::new());
        let mut devices = crate::device_schema();
        if let Some(devices) = devices.as_object_mut() {
            devices.remove("$schema");
        }
        schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
        schema["title"] = "A domain".into();
        schema["properties"][DEVICES] = json!({
            "type": "object", "description": "The devices by name.", "default": {},
            "propertyNames": DeviceName::schema(), "additionalProperties": devices,
        });
        schema
    }

    fn ports_wanted(&self) -> usize {
        let recorded = self.devices.values().filter(|spec| spec.needs() == Pool::PciPort).count();
        recorded + usize::from(self.settings.pci_ports)
    }

    fn check_ports(&self) -> Result<(), Error> {
        let (wanted, most) = (self.ports_wanted(), usize::from(crate::class::MOST_PORTS));
        if self.settings.machine == Machine::Q35 && wanted > most {
            let text =
                format!("{wanted} root ports with those of the devices, the limit is {most}");
            return Err(Error::rule("pci_ports", text));
        }
        Ok(())
    }
}

impl Settings {
    fn check(&self) -> Result<(), Error> {
        let bytes = self.memory.bytes();
        if !bytes.is_multiple_of(1 << 20) || bytes == 0 || bytes >> 20 > MOST_MEBIBYTES {
            return Err(Error::rule("memory", "whole MiB from 1M to 16T are possible"));
        }
        if self.vcpus == 0 {
            return Err(Error::rule("vcpus", "at least one is needed"));
        }
        check_arguments(&self.qemu_args)
    }
}

impl Datum for Boot {
    fn schema() -> Json {
        schema(&Self::fields(), Map::new())
    }

    fn read(value: &Json, at: &str) -> Result<Self, Error> {
        Self::take(&Members::open::<Self>(value, &[], at)?)
    }

    fn write(&self) -> Json {
        let mut object = Map::new();
        self.put(&mut object);
        Json::Object(object)
    }
}

impl Datum for Uuid {
    fn schema() -> Json {
        let pattern = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$";
        json!({ "type": "string", "format": "uuid", "pattern": pattern, "maxLength": 36 })
    }

    fn read(value: &Json, at: &str) -> Result<Self, Error> {
        let text = string(value, 36, at)?;
        let uuid = (text.len() == 36).then(|| Self::try_parse(text).ok()).flatten();
        uuid.filter(|uuid| !uuid.is_nil()).ok_or_else(|| {
            let expected = "a uuid like 5b0ab2b3-7e4e-4e05-8f2a-3a5a1d0c9f11, not all zero";
            Error::invalid(at, Problem::Malformed { given: clip(text), expected })
        })
    }

    fn write(&self) -> Json {
        self.to_string().into()
    }
}
