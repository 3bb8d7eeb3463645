//! AWS Lambda functions around DynamoDB: `heartbeat` records what servers send, `watchdog` announces when one is
//! offline, `notify` passes announcements on to chats and phones, and `page` shows the fleet. The map of the modules is in `docs/design.md`.

pub mod aws;
pub mod deadline;
pub mod endpoint;
pub mod event;
pub mod fault;
pub mod log;
pub mod notify;
#[cfg(feature = "page")]
pub mod page;
pub mod program;
pub mod settings;
pub mod watchdog;
pub mod webhook;

/// The version that the log's `started` line names: the package's, and the commit if it was built from one.
pub const VERSION: &str = env!("HEARTBEAT_VERSION");
