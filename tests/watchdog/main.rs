//! The watchdog (C8), from outside: items and a time go in; the items afterwards, what the topic was told and
//! the log come out.

#![allow(clippy::unwrap_used, missing_docs)]

mod announcement;
mod config;
mod faults;
mod mass_silence;
mod model;
mod process;
mod silence;
mod support;
mod verdict;
