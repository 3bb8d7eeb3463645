//! The function `notify` between the topic and chat services that check what their documentation demands.

#![allow(clippy::unwrap_used)]

mod config;
mod delivery;
mod groups;
mod ledger;
mod messages;
mod process;
mod service;
mod support;
