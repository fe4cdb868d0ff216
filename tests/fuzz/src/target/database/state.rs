//! Everything that can be read of a store, read by read: each is right by itself, or an error.

use std::collections::BTreeMap;

use steadfast_store::{
    ClaimRow, DeviceRow, DomainRow, HistoryRow, Snapshot, Store, StoreError, UserdataKey,
};
use uuid::Uuid;

/// How many domains there ever are.
pub(super) const DOMAINS: u128 = 3;
/// The key of what is written after the damage.
pub(super) const MARK: &str = "mark";

pub(super) fn uuid(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// What each read answered; `None` where it was an error.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct State {
    list: Option<Vec<(String, u64, u64)>>,
    counter: Option<u64>,
    history: Option<Vec<HistoryRow>>,
    domains: BTreeMap<u128, Domain>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Domain {
    row: Option<Option<DomainRow>>,
    named: Option<Option<DomainRow>>,
    devices: Option<Vec<DeviceRow>>,
    device: Option<Option<DeviceRow>>,
    claims: Option<Vec<ClaimRow>>,
    keys: Option<Vec<UserdataKey>>,
    blob: Option<Option<Vec<u8>>>,
}

impl State {
    /// Reads everything, and keeps the first error.
    pub(super) fn read(store: &Store) -> (Self, Option<StoreError>) {
        let mut first = None;
        let list = ask(store, &mut first, |snapshot| {
            let list = snapshot.domains()?;
            Ok(list.into_iter().map(|line| (line.row.name, line.devices, line.implicit)).collect())
        });
        let counter = ask(store, &mut first, |snapshot| snapshot.counter());
        let history =
            ask(store, &mut first, |snapshot| Ok(snapshot.history(None, None, 100)?.rows));
        let mut state = Self { list, counter, history, domains: BTreeMap::new() };
        for number in 1..=DOMAINS {
            let of = uuid(number);
            let name = format!("web{number}");
            let domain = Domain {
                row: ask(store, &mut first, |snapshot| snapshot.domain(of)),
                named: ask(store, &mut first, |snapshot| snapshot.named(&name)),
                devices: ask(store, &mut first, |snapshot| snapshot.devices(of)),
                device: ask(store, &mut first, |snapshot| snapshot.device(of, "disk")),
                claims: ask(store, &mut first, |snapshot| snapshot.claims(of)),
                keys: ask(store, &mut first, |snapshot| snapshot.userdata_keys(of)),
                blob: ask(store, &mut first, |snapshot| snapshot.userdata(of, "xl")),
            };
            state.domains.insert(number, domain);
        }
        (state, first)
    }

    /// Which of the states could have been read like this.
    pub(super) fn among(&self, states: &[Self]) -> Vec<usize> {
        let fits = |(_, state): &(usize, &Self)| self.fits(state);
        states.iter().enumerate().filter(fits).map(|(number, _)| number).collect()
    }

    /// The same without what was written after the damage.
    pub(super) fn without_marks(mut self) -> Self {
        for domain in self.domains.values_mut() {
            if let Some(keys) = &mut domain.keys {
                keys.retain(|key| key.key != MARK);
            }
        }
        self
    }

    /// A lost row of the history is the one loss that is not told: it describes nothing that runs.
    fn fits(&self, state: &Self) -> bool {
        let history = self.history.as_ref().zip(state.history.as_ref());
        is_same(&self.list, &state.list)
            && is_same(&self.counter, &state.counter)
            && history.is_none_or(|(seen, all)| seen.iter().all(|row| all.contains(row)))
            && self.domains.iter().all(|(number, seen)| {
                let Some(domain) = state.domains.get(number) else { return false };
                is_same(&seen.row, &domain.row)
                    && is_same(&seen.named, &domain.named)
                    && is_same(&seen.devices, &domain.devices)
                    && is_same(&seen.device, &domain.device)
                    && is_same(&seen.claims, &domain.claims)
                    && is_same(&seen.keys, &domain.keys)
                    && is_same(&seen.blob, &domain.blob)
            })
    }
}

fn is_same<T: PartialEq>(seen: &Option<T>, right: &Option<T>) -> bool {
    seen.is_none() || seen == right
}

fn ask<T>(
    store: &Store,
    first: &mut Option<StoreError>,
    read: impl FnOnce(&Snapshot<'_>) -> Result<T, StoreError>,
) -> Option<T> {
    match store.snapshot(read) {
        Ok(value) => Some(value),
        Err(error) => {
            super::is_damage(&error);
            first.get_or_insert(error);
            None
        }
    }
}
