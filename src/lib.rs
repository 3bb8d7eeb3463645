//! Two AWS Lambda functions around DynamoDB: `heartbeat` records what servers send, and `watchdog` announces when one
//! falls silent. The map of the modules is in `docs/design.md`.

pub mod aws;
pub mod endpoint;
pub mod fault;
pub mod log;
pub mod settings;
pub mod watchdog;

/// The version that the log's `started` line names: the package's, and the commit if it was built from one.
pub const VERSION: &str = env!("HEARTBEAT_VERSION");
