//! One script, performed on two sides: the simulated platform and a real host. Their replies are compared line by line.
//!
//! The script runs production verbs and single platform calls; each call is written down with its reply by a
//! [`Recorder`] between them and the platform. Numbers are given names in the order in which they appear, so the two
//! sides need not draw the same ones, and what takes as long as it takes (a node that is busy a little longer, a beat
//! of listening in which nothing came) leaves no line. Where the sides differ, the model is wrong.

mod calls;
mod difference;
mod names;
mod recorder;
mod script;
mod side;
mod simulated;
mod verbs;

pub use self::{
    difference::difference,
    names::Transcript,
    recorder::Recorder,
    script::perform,
    side::{Disturbance, IdOf, Side, SpecOf, Time},
    simulated::Simulation,
};
