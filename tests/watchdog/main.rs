//! The watchdog (C8), tested from the outside: items and a time go in; the items afterwards, the published messages and
//! the log are checked.

#![allow(clippy::unwrap_used)]

mod absence;
mod announcement;
mod budget;
mod changes;
mod config;
mod days;
mod digest;
mod events;
mod faults;
mod groups;
mod mass_absence;
mod problems;
mod process;
mod silence;
mod support;
mod verdict;
