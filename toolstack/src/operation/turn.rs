//! One turn on the query socket.

use std::{collections::BTreeSet, time::Instant};

use steadfast_locks::{Level, LockError, Monitor as MonitorLevel, Permit};
use steadfast_protocol::{Domain, Heard, Serial};
use steadfast_qmp::{ConnectOptions, EventsError, Filter, Monitor, Outcome, QmpError};

use super::{Operation, TURN, unexpected};
use crate::{berth::Berth, error::Error, problem};

impl Operation {
    /// One turn on the query socket: whether any of these is gone, or will be within the turn. `None` at once where
    /// nobody is there to say.
    pub(super) async fn turn(
        &self,
        permit: &mut Permit<'_, steadfast_locks::Unlocked>,
        (domain, berth): (Domain, &Berth),
        serials: &BTreeSet<Serial>,
    ) -> Result<Option<Heard>, Error> {
        let _permit = permit.enter::<MonitorLevel>();
        let deadline = Some(self.deadline);
        let note = self.note("watch");
        let turn = self.host.locks.acquire(&berth.turn(), MonitorLevel::NAME, note, deadline).await;
        let _turn = match turn {
            Ok(turn) => turn,
            Err(LockError::TimedOut { .. }) => {
                return Ok(Some(Heard { over: true, ..Heard::default() }));
            }
            // The folder went with its generation.
            Err(_) if !berth.exists() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let options = ConnectOptions::new(self.deadline);
        let monitor = match Monitor::connect(berth.query(), options).await {
            Ok(monitor) => monitor,
            Err(QmpError::Absent { .. } | QmpError::Closed) => return Ok(None),
            Err(QmpError::Busy | QmpError::Silent | QmpError::Late) => {
                return Ok(Some(Heard { over: true, ..Heard::default() }));
            }
            Err(error) => return Err(problem::monitor(&error)),
        };
        let mut events =
            monitor.subscribe(Filter::named(["DEVICE_DELETED", "DEVICE_UNPLUG_GUEST_ERROR"]));
        let list = steadfast_qmp::Command::new("qom-list")
            .arguments(serde_json::json!({"path": "/machine/peripheral"}));
        let listed = match monitor.execute(list, self.deadline).await {
            Outcome::Done(listed) => listed,
            Outcome::Refused(refusal) => return Err(unexpected("qom-list", &refusal)),
            Outcome::Unknown(_) => return Ok(None),
        };
        let names: BTreeSet<&str> = listed
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|item| item["name"].as_str())
            .collect();
        let aliases = self.host.aliases(domain)?;
        let name_of = |serial: &Serial| {
            let alias = aliases.iter().find(|(other, _)| other == serial);
            alias.map_or_else(
                || steadfast_device::device_id(steadfast_device::Serial(serial.0)),
                |(_, alias)| alias.device.clone(),
            )
        };
        let mut heard = Heard::default();
        heard.deleted.extend(serials.iter().filter(|s| !names.contains(name_of(s).as_str())));
        if !heard.deleted.is_empty() {
            return Ok(Some(heard));
        }
        let until = self.deadline.min(Instant::now() + TURN);
        loop {
            match events.recv(until).await {
                Ok(event) => {
                    let id = event.data["device"].as_str();
                    let Some(serial) = serials.iter().find(|s| id == Some(name_of(s).as_str()))
                    else {
                        continue;
                    };
                    match event.name.as_str() {
                        "DEVICE_DELETED" => _ = heard.deleted.insert(*serial),
                        _ => _ = heard.rejected.insert(*serial),
                    }
                    return Ok(Some(heard));
                }
                Err(EventsError::Deadline) => {
                    heard.over = Instant::now() >= self.deadline;
                    return Ok(Some(heard));
                }
                Err(_) => return Ok(Some(heard)),
            }
        }
    }
}
