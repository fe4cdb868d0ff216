//! Devices come, go and change.

use clap::{Args, Subcommand};
use serde_json::Value;
use steadfast::{Door, Error, Host, Plan, Press};

use crate::problem::invalid;
use crate::reply::Reply;
use crate::session::Session;
use crate::usage::refused;
use crate::{absolute, document, plan};

/// `attach`
#[derive(Debug, Args)]
#[command(
    override_usage = "steadfast attach [OPTIONS] <DOMAIN> <DEVICE> <SPEC | --json DOC | --file FILE>
       steadfast attach [OPTIONS] <DOMAIN> --file PLAN [--keep-going]"
)]
pub(crate) struct Attach {
    /// Its name or uuid
    domain: String,
    /// The id that the device gets
    device: Option<String>,
    /// CLASS[,KEY=VALUE…], for instance disk,bus=scsi,file=/srv/data.raw; a comma in a value is written twice
    #[arg(conflicts_with_all = ["json", "file"])]
    spec: Option<String>,
    /// The device's document
    #[arg(long, value_name = "DOC", conflicts_with = "file")]
    json: Option<String>,
    /// The file with the device's document, or without DEVICE with a plan: {"ID": DOC, …}; `-` is stdin
    #[arg(long, value_name = "FILE|-")]
    file: Option<String>,
    /// Attach what can be attached of a plan, instead of all or nothing
    #[arg(long)]
    keep_going: bool,
}

/// `detach`
#[derive(Debug, Args)]
pub(crate) struct Detach {
    /// Its name or uuid
    domain: String,
    /// The devices' ids
    #[arg(required = true, value_name = "DEVICE")]
    devices: Vec<String>,
    /// Ask QEMU again for a removal already pending, and do not wait
    #[arg(long)]
    force: bool,
}

/// `media`
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum Media {
    /// Put a medium into a drive
    Insert(Insert),
    /// Take the medium out of a drive
    Eject(Eject),
}

/// `media insert`
#[derive(Debug, Args)]
pub(crate) struct Insert {
    /// Its name or uuid
    domain: String,
    /// The drive's id
    device: String,
    /// The medium's image
    file: String,
    /// The image's format: raw or qcow2; probed where left out
    #[arg(long)]
    format: Option<String>,
    /// Open a door that the guest holds
    #[arg(long)]
    force: bool,
}

/// `media eject`
#[derive(Debug, Args)]
pub(crate) struct Eject {
    /// Its name or uuid
    domain: String,
    /// The drive's id
    device: String,
    /// Open a door that the guest holds
    #[arg(long)]
    force: bool,
}

/// `wait`
#[derive(Debug, Args)]
pub(crate) struct Wait {
    /// Its name or uuid
    domain: String,
    /// Only this device
    device: Option<String>,
}

pub(crate) fn attach(attach: &Attach, session: &Session) -> Result<Reply, Error> {
    let devices = attach.devices()?;
    let plan = if attach.keep_going { Plan::BestEffort } else { Plan::Whole };
    let domain = attach.domain.as_str();
    session.change(Some(domain), "attached", async |host, request| {
        host.attach(domain, devices, plan, request).await
    })
}

impl Attach {
    fn devices(&self) -> Result<Vec<(String, Value)>, Error> {
        let Some(device) = &self.device else { return self.plan() };
        if self.keep_going {
            return Err(refused(
                "--keep-going is for a plan, and one device is none",
                Some("attach"),
            ));
        }
        let mut document = match (&self.spec, &self.json, &self.file) {
            (Some(spec), ..) => Host::device_from_text(spec)?,
            (_, Some(json), _) => document::parse(json.as_bytes(), "--json")?,
            (_, _, Some(file)) => document::read(file)?,
            (None, None, None) => {
                let message =
                    format!("nothing says what {device} is: SPEC, --json or --file is missing");
                return Err(refused(message, Some("attach")));
            }
        };
        absolute::device(&mut document)?;
        Ok(vec![(device.clone(), document)])
    }

    fn plan(&self) -> Result<Vec<(String, Value)>, Error> {
        let Some(file) = &self.file else {
            return Err(refused("DEVICE or --file PLAN is missing", Some("attach")));
        };
        plan::devices(document::read(file)?)
    }
}

pub(crate) fn detach(detach: &Detach, session: &Session) -> Result<Reply, Error> {
    let press = if detach.force { Press::Force } else { Press::Wait };
    let domain = detach.domain.as_str();
    let devices = detach.devices.clone();
    session.change(Some(domain), "detached", async |host, request| {
        host.detach(domain, devices, press, request).await
    })
}

pub(crate) fn media(media: &Media, session: &Session) -> Result<Reply, Error> {
    let (domain, device, file, format, force) = match media {
        Media::Insert(Insert { domain, device, file, format, force }) => {
            if file.is_empty() {
                return Err(invalid("the medium's file name is empty"));
            }
            (domain, device, Some(absolute::absolute(file)?), format.clone(), force)
        }
        Media::Eject(Eject { domain, device, force }) => (domain, device, None, None, force),
    };
    let door = if *force { Door::Force } else { Door::Ask };
    session.change(Some(domain), "changed", async |host, request| {
        host.media(domain, device, file, format, door, request).await
    })
}

pub(crate) fn wait(Wait { domain, device }: &Wait, session: &Session) -> Result<Reply, Error> {
    session.change(Some(domain), "settled", async |host, request| {
        host.wait(domain, device.as_deref(), request).await
    })
}
