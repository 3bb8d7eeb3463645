//! The page for the browser, as a router that any server can serve; and what it shares with the terminal: the fleet as
//! the watchdog's rules judge it, the history of a server, and the words for both.
//!
//! Whoever serves it brings a client, so nothing here knows credentials or a command line.

mod asset;
mod body;
mod chart;
mod clock;
pub mod events;
mod explain;
pub mod fleet;
pub mod history;
mod html;
mod json;
mod openmetrics;
mod router;
mod scans;
mod session;
mod silence;
mod tables;
pub mod time;
pub mod uptime;

pub use asset::STYLE;
pub use clock::Clock;
pub use explain::{explain, explain_in};
pub use fleet::Fleet;
pub use html::sign_in;
pub use router::{Options, is_of_this_site, protected, router};
pub use session::Session;
pub use tables::Tables;
