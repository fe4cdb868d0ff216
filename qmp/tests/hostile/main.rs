//! A monitor that lies, stalls, floods and hangs up.

#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

mod handshake;
mod ownership;
mod replies;
mod server;
mod writes;

use std::time::{Duration, Instant};

use server::{PATIENCE, Server};
use steadfast_qmp::{ConnectOptions, Limits, Monitor};

/// A deadline that is not meant to pass.
fn ample() -> Instant {
    Instant::now() + PATIENCE
}

/// A deadline that is meant to pass, after what is meant to happen before it on a busy machine.
fn soon() -> Instant {
    Instant::now() + Duration::from_millis(400)
}

async fn connect(server: &Server) -> Monitor {
    connect_with(server, Limits::default()).await
}

async fn connect_with(server: &Server, limits: Limits) -> Monitor {
    let options = ConnectOptions::new(ample()).limits(limits);
    Monitor::connect(server.path(), options).await.unwrap()
}
