//! A small toolstack in the manner of libxl's: create, attach, cd-insert, destroy, with progress.
//!
//! ```text
//! toolstack STATE RUN create NAME [DISK]
//! toolstack STATE RUN attach NAME ID CLASS[,KEY=VALUE…]
//! toolstack STATE RUN cd-insert NAME ID [FILE]
//! toolstack STATE RUN destroy NAME
//! ```

use std::{env, process::ExitCode, sync::Arc};

use serde_json::json;
use steadfast::{Answer, Boot, Door, Error, Host, Kind, Options, Plan, Progress, Replace, Request};

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(run(env::args().skip(1).collect())),
        Err(error) => Err(Error::new(Kind::Environment, "failed to start").because(error)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(error.kind.exit_code())
        }
    }
}

async fn run(words: Vec<String>) -> Result<(), Error> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let [state, run, verb, name, rest @ ..] = words.as_slice() else {
        return Err(Error::new(Kind::Invalid, "usage: toolstack STATE RUN VERB NAME …"));
    };
    let host = Host::open(Options::new(*state, *run)).await?;
    let request = Request { progress: Some(Arc::new(show)), ..Request::default() };
    let answer = match (*verb, rest) {
        ("create", disk) => create(&host, name, disk.first().copied(), &request).await?,
        ("attach", [id, text]) => {
            let device = Host::device_from_text(text)?;
            let devices = vec![((*id).to_owned(), device)];
            host.attach(name, devices, Plan::Whole, &request).await?
        }
        ("cd-insert", [id, file @ ..]) => {
            let file = file.first().map(|file| (*file).to_owned());
            host.media(name, id, file, None, Door::Force, &request).await?
        }
        ("destroy", []) => host.destroy(name, &request).await?,
        _ => return Err(Error::new(Kind::Invalid, format!("{verb} is no verb, or lacks words"))),
    };
    report(&answer)
}

async fn create(
    host: &Host,
    name: &str,
    disk: Option<&str>,
    request: &Request,
) -> Result<Answer, Error> {
    let mut devices = json!({"cd0": {"class": "cdrom", "file": null}});
    if let Some(disk) = disk {
        devices["root"] = json!({"class": "disk", "bus": "virtio", "file": disk});
    }
    let document = json!({"name": name, "accel": "tcg", "memory": "128M", "devices": devices});
    host.define(document, Replace::Refuse, request).await?;
    host.start(name, Boot::Run, request).await
}

fn show(progress: Progress) {
    match progress {
        Progress::Stage(stage) => eprintln!("… {stage}"),
        Progress::Guest { devices } => eprintln!("… waiting for the guest: {}", devices.join(", ")),
        other => eprintln!("… {other:?}"),
    }
}

fn report(answer: &Answer) -> Result<(), Error> {
    for ending in &answer.results {
        println!("{}: {:?}", ending.id, ending.outcome);
    }
    match answer.worst() {
        None => Ok(()),
        Some(error) => Err(error),
    }
}
