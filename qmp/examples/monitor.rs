//! Shows what a QEMU monitor says: its version, its status, then its events until it leaves.
//!
//! ```text
//! qemu-system-x86_64 -display none -S -qmp unix:/tmp/monitor,server=on,wait=off &
//! cargo run -p steadfast-qmp --example monitor -- /tmp/monitor
//! ```

use std::{
    error::Error,
    process::ExitCode,
    time::{Duration, Instant},
};

use steadfast_qmp::{Command, ConnectOptions, EventsError, Filter, Monitor, Outcome};

const PATIENCE: Duration = Duration::from_secs(5);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1) else {
        eprintln!("usage: monitor SOCKET");
        return ExitCode::from(2);
    };
    match follow(path.as_ref()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: failed to {error}");
            ExitCode::FAILURE
        }
    }
}

async fn follow(path: &std::path::Path) -> Result<(), Box<dyn Error>> {
    let monitor = Monitor::connect(path, ConnectOptions::within(PATIENCE)).await?;
    let version = monitor.version();
    println!("QEMU {}.{}.{}", version.major, version.minor, version.micro);

    let mut events = monitor.subscribe(Filter::all());
    match monitor.execute(Command::new("query-status"), Instant::now() + PATIENCE).await {
        Outcome::Done(status) => println!("status: {status}"),
        Outcome::Refused(refusal) => println!("status: refused, {refusal}"),
        Outcome::Unknown(reason) => println!("status: unknown, failed to {}", reason.cause()),
    }
    loop {
        match events.recv(Instant::now() + PATIENCE).await {
            Ok(event) => println!("{} {}", event.name, event.data),
            Err(EventsError::Missed { count }) => println!("({count} events were lost)"),
            Err(EventsError::Deadline) => {}
            Err(EventsError::Closed(reason)) => {
                println!("the monitor is gone: {reason}");
                return Ok(());
            }
            Err(other) => return Err(other.into()),
        }
    }
}
