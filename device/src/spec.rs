//! A device as the record describes it, and its two spellings: JSON and `CLASS,key=value`.

use serde_json::{Map, Value as Json};

use crate::class::{CLASS, Cdrom, Class, Medium, Spec};
use crate::datum::to_text;
use crate::error::{Error, Problem, below, clip};
use crate::place::{Claim, Place, Pool};
use crate::record::object;
use crate::{Access, FilePath, Format, Layout, Mac, Serial, device_id};

/// A file that a device needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileUse<'a> {
    /// As recorded.
    pub path: &'a FilePath,
    /// How QEMU will use it.
    pub access: Access,
    /// `None` until someone probed it.
    pub format: Option<Format>,
}

impl Spec {
    /// Reads a user's or the record's JSON. `at` is the place of `value` in its document, for messages.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the place and what is wrong there.
    pub fn from_json(value: &Json, at: &str) -> Result<Self, Error> {
        let here = below(at, CLASS);
        let class =
            object(value, at)?.get(CLASS).ok_or_else(|| Error::invalid(&here, Problem::Missing))?;
        let class = crate::datum::string(class, 64, &here)?;
        let spec = Class::named(class, &here)?.read(value, at)?;
        spec.behaviour().check(at)?;
        Ok(spec)
    }

    /// Refuses what only steadfast adds.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a controller.
    pub fn check_attachable(&self, at: &str) -> Result<(), Error> {
        if self.class().is_attachable() {
            return Ok(());
        }
        Err(Error::rule(&below(at, CLASS), "controllers are added by steadfast itself"))
    }

    /// Every field, `null` where there is nothing; `from_json` reads it back.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let mut object = Map::from_iter([(CLASS.into(), self.class().name().into())]);
        self.put(&mut object);
        Json::Object(object)
    }

    /// Reads `CLASS,key=value[,…]`; a comma in a value is written twice. Only people write this, so it
    /// refuses controllers.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the key and what is wrong there.
    pub fn from_text(text: &str) -> Result<Self, Error> {
        let mut parts = split(text);
        let class = Class::named(&parts.remove(0), CLASS)?;
        let fields = class.fields();
        let mut object = Map::from_iter([(CLASS.into(), class.name().into())]);
        for part in parts {
            let Some((key, value)) = part.split_once('=') else {
                let problem =
                    Problem::Malformed { given: clip(&part), expected: "of the form key=value" };
                return Err(Error::invalid(class.name(), problem));
            };
            let field = fields.iter().find(|field| field.name == key);
            let value = field.map_or_else(|| value.into(), |field| (field.text)(value));
            // `class` is already there, so a second one is refused here as well.
            if object.insert(key.into(), value).is_some() {
                return Err(Error::invalid(&below("", key), Problem::Twice));
            }
        }
        let spec = Self::from_json(&Json::Object(object), "")?;
        spec.check_attachable("")?;
        Ok(spec)
    }

    /// The text that [`Spec::from_text`] reads back; defaults are left out.
    #[must_use]
    pub fn to_text(&self) -> String {
        let object = self.to_json();
        let mut text = String::from(self.class().name());
        for field in self.class().fields() {
            let value = &object[field.name];
            if field.default.as_ref() != Some(value) {
                text += &format!(",{}={}", field.name, to_text(value).replace(',', ",,"));
            }
        }
        text
    }

    /// The medium of a drive that takes media: `Some(None)` is an empty one, `None` no such drive.
    #[must_use]
    pub fn medium(&self) -> Option<Option<Medium>> {
        match self {
            Self::Cdrom(cdrom) => Some(cdrom.medium()),
            _ => None,
        }
    }

    /// The same drive with that medium; `None` if the device takes none.
    #[must_use]
    pub fn with_medium(&self, medium: Option<Medium>) -> Option<Self> {
        let Self::Cdrom(cdrom) = self else { return None };
        let (file, format) =
            medium.map_or((None, None), |medium| (Some(medium.file), medium.format));
        Some(Self::Cdrom(Cdrom { file, format, ..cdrom.clone() }))
    }

    /// The files it needs.
    #[must_use]
    pub fn files(&self) -> Vec<FileUse<'_>> {
        match self {
            Self::Disk(disk) => {
                vec![FileUse { path: &disk.file, access: disk.access(), format: disk.format }]
            }
            Self::Cdrom(Cdrom { file: Some(path), format, .. }) => {
                vec![FileUse { path, access: Access::ReadOnly, format: *format }]
            }
            _ => Vec::new(),
        }
    }

    /// Whether its image must be probed before it can be plugged.
    #[must_use]
    pub fn needs_format(&self) -> bool {
        self.files().iter().any(|file| file.format.is_none())
    }

    /// Records what the image was found to be; changes nothing where the format is given, or there is no image.
    pub fn set_format(&mut self, format: Format) {
        if !self.needs_format() {
            return;
        }
        match self {
            Self::Disk(disk) => disk.format = Some(format),
            Self::Cdrom(cdrom) => cdrom.format = Some(format),
            _ => {}
        }
    }

    /// Makes what a user may leave out and the record may not: the address of a network card.
    pub fn fill_defaults(&mut self, mac: &mut dyn FnMut() -> Mac) {
        if let Self::Nic(nic) = self {
            nic.mac.get_or_insert_with(mac);
        }
    }

    /// The same with every path replaced, as the caller makes relative ones absolute.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a new path is none.
    pub fn map_paths(mut self, mut map: impl FnMut(&str) -> String) -> Result<Self, Error> {
        let path = match &mut self {
            Self::Disk(disk) => Some(&mut disk.file),
            Self::Cdrom(cdrom) => cdrom.file.as_mut(),
            _ => None,
        };
        if let Some(path) = path {
            *path = map(path.as_str()).parse()?;
        }
        Ok(self)
    }

    /// Whether the guest has a say in its removal. QEMU removes SCSI and USB devices by itself.
    #[must_use]
    pub fn guest_releases(&self) -> bool {
        matches!(self.needs(), Pool::PciPort | Pool::Fixed)
    }

    /// What it takes one of.
    #[must_use]
    pub fn needs(&self) -> Pool {
        self.behaviour().needs()
    }

    /// Claims that do not depend on its place: address, serial number, interface.
    #[must_use]
    pub fn identities(&self) -> Vec<Claim> {
        self.behaviour().identities()
    }

    /// Everything it claims in its domain.
    #[must_use]
    pub fn claims(&self, place: &Place) -> Vec<Claim> {
        std::iter::once(Claim::from(*place)).chain(self.identities()).collect()
    }

    pub(crate) fn fixed_place(&self, layout: &Layout) -> Option<Place> {
        match self {
            Self::Controller(controller) => controller.fixed_place(layout),
            _ => None,
        }
    }

    /// Its qdev id.
    #[must_use]
    pub fn qemu_id(&self, serial: Serial) -> String {
        match self {
            Self::Controller(controller) => controller.id(),
            _ => device_id(serial),
        }
    }
}

/// Splits at single commas; a doubled one stands for itself.
fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let doubled = c == ',' && chars.next_if_eq(&',').is_some();
        match parts.last_mut() {
            Some(part) if c != ',' || doubled => part.push(c),
            _ => parts.push(String::new()),
        }
    }
    parts
}
