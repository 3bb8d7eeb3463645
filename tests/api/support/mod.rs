//! Shared by the tests.

pub mod app;
pub mod log;
