//! A plan file: all of its devices come into the record, or none.

use serde_json::json;
use steadfast::{Kind, Plan, Press, Replace, Request};

use super::household::Household;
use super::{DEVICE_WORDS, Subject, Target, is_short};

pub(super) const TARGET: Target = Target {
    name: "plan",
    longest: 4000,
    words: DEVICE_WORDS,
    in_tests: 1500,
    prepare: || Box::new(PlanFile::new()),
};

struct PlanFile {
    household: Household,
    /// Everything that is shown of the domain before a plan.
    before: serde_json::Value,
}

const DOMAIN: &str = "planned";

impl PlanFile {
    fn new() -> Self {
        let household = Household::new();
        let document = json!({"name": DOMAIN, "accel": "tcg", "pci_ports": 3});
        let request = Request::default();
        let defined = household.host.define(document, Replace::Refuse, &request);
        household.runtime.block_on(defined).expect("a domain");
        let mut new = Self { household, before: json!(null) };
        new.before = new.shown();
        new
    }

    fn shown(&self) -> serde_json::Value {
        let export = self.household.host.export(DOMAIN);
        self.household.runtime.block_on(export).expect("an export")
    }
}

impl Subject for PlanFile {
    fn take(&mut self, input: &[u8]) {
        let plan =
            steadfast_cli::document::parse(input, "plan").and_then(steadfast_cli::plan::devices);
        let mut devices = match plan {
            Ok(devices) => devices,
            Err(error) => {
                assert_eq!(error.kind, Kind::Invalid, "{error}");
                return is_short(&error.to_string());
            }
        };
        devices.iter_mut().for_each(|(_, device)| self.household.fence_device(device));
        let names: Vec<String> = devices.iter().map(|(name, _)| name.clone()).collect();
        let request = Request::default();
        let host = &self.household.host;
        let attached =
            self.household.runtime.block_on(host.attach(DOMAIN, devices, Plan::Whole, &request));
        match attached.map(|answer| answer.worst().map_or(Ok(()), Err)) {
            Ok(Ok(())) => {
                let shown = self.shown();
                for name in &names {
                    assert!(
                        shown["devices"].get(name).is_some(),
                        "{name} was attached and is not shown"
                    );
                }
                let detached = host.detach(DOMAIN, names, Press::Wait, &request);
                let answer = self.household.runtime.block_on(detached).expect("detached");
                assert_eq!(answer.worst(), None);
            }
            Ok(Err(error)) | Err(error) => {
                assert!(
                    matches!(error.kind, Kind::Invalid | Kind::Conflict | Kind::Failed),
                    "{:?}: {error}",
                    error.kind
                );
                assert!(!error.message.is_empty());
            }
        }
        assert_eq!(self.shown(), self.before, "a plan left something, or took something along");
    }
}
