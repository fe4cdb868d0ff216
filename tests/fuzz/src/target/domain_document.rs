//! The document of a domain: as a person writes it, as `define` takes it, as `export` gives it back.

use serde_json::Value;
use steadfast::{Kind, Replace, Request};
use steadfast_device::{Accelerator, Document, machine_args, user_args};

use super::device_text::reads_back;
use super::household::Household;
use super::{DEVICE_WORDS, Subject, Target, is_short, is_well_said};

pub(super) const TARGET: Target = Target {
    name: "domain-document",
    longest: 4000,
    words: DEVICE_WORDS,
    in_tests: 1500,
    prepare: || Box::new(DomainDocument(Household::new())),
};

struct DomainDocument(Household);

impl Subject for DomainDocument {
    fn take(&mut self, input: &[u8]) {
        let parsed = steadfast_cli::document::parse(input, "input");
        let mut document = match parsed {
            Ok(document) => document,
            Err(error) => {
                assert_eq!(error.kind, Kind::Invalid, "{error}");
                return is_short(&error.to_string());
            }
        };
        // A domain that was recorded has a name; one that was not is found by none.
        self.0.fence_domain(&mut document);
        match Document::from_json(&document) {
            Ok(read) => self.accepted(&read, document),
            Err(error) => {
                is_well_said(&error.to_string());
                let refused = self.define(document, Replace::Refuse);
                assert_eq!(refused.map_err(|error| error.kind), Err(Kind::Invalid), "{error}");
            }
        }
    }
}

impl DomainDocument {
    fn define(
        &self,
        document: Value,
        replace: Replace,
    ) -> Result<steadfast::Answer, steadfast::Error> {
        let request = Request::default();
        self.0.runtime.block_on(self.0.host.define(document, replace, &request))
    }

    fn accepted(&self, read: &Document, document: Value) {
        let json = read.to_json();
        assert_eq!(Document::from_json(&json).as_ref(), Ok(read), "read back from {json}");
        read.devices.values().for_each(reads_back);
        let arguments = machine_args(read, Accelerator::Tcg).len() + user_args(read).len();
        assert!(arguments < 2000, "{arguments} arguments for QEMU");
        assert!(read.controllers().len() <= 2 + usize::from(u8::MAX));
        let name = read.settings.name.to_string();
        let answer = match self.define(document, Replace::Refuse) {
            Ok(answer) => answer,
            Err(error) => {
                // What a document cannot know: that a file is missing, that there is no room for what it wants.
                let expected = matches!(error.kind, Kind::Invalid | Kind::Conflict);
                assert!(expected, "{:?}: {error}", error.kind);
                assert!(!error.message.is_empty());
                return self.is_unrecorded(&name);
            }
        };
        assert!(answer.changed);
        let exported = self.0.runtime.block_on(self.0.host.export(&name)).expect("an export");
        let again =
            Document::from_json(&exported).unwrap_or_else(|error| panic!("{error}: {exported}"));
        let mut filled = read.clone();
        filled.settings.uuid = answer.uuid;
        for (id, spec) in &mut filled.devices {
            if let (steadfast_device::Spec::Nic(given), Some(steadfast_device::Spec::Nic(made))) =
                (&mut *spec, again.devices.get(id))
            {
                given.mac = given.mac.or(made.mac);
            }
            if let Some(format) =
                again.devices.get(id).and_then(|spec| spec.files().first()?.format)
            {
                spec.set_format(format);
            }
        }
        assert_eq!(again, filled, "exported as {exported}");
        let needed = Request { if_needed: true, ..Request::default() };
        let same = self.0.runtime.block_on(self.0.host.define(exported, Replace::Allow, &needed));
        assert!(!same.expect("the same document again").changed, "its own export is no change");
        let gone = self.0.runtime.block_on(self.0.host.undefine(&name, &Request::default()));
        assert!(gone.expect("undefined").changed);
        self.is_unrecorded(&name);
    }

    fn is_unrecorded(&self, name: &str) {
        let shown = self.0.runtime.block_on(self.0.host.show(name));
        assert_eq!(shown.map(drop).map_err(|error| error.kind), Err(Kind::NotFound), "{name}");
    }
}
