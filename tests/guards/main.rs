//! What is said in two places, compared: the template and the settings, the contract and the tests, a sample event and the
//! table of metrics, what SAM builds and what is meant.

#![allow(clippy::unwrap_used)]

mod clauses;
mod events;
mod features;
mod function;
mod settings;
