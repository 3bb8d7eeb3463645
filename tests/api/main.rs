//! The contract, clause by clause, tested from the outside: an event goes in; the answer and the items in DynamoDB are
//! checked. Each test names the clauses that it covers; a test without one covers what the contract takes for granted.

#![allow(clippy::unwrap_used, missing_docs)]

// C1.4 and C6.2: the format of answers, and the time within which they are sent.
mod answer;
// C2.1 to C2.6: keys in the environment.
mod auth;
// C3.10 and C5.12: the fields beyond the seed.
mod beyond;
// C3 and C4: what a body may hold, and the errors for one that breaks a rule.
mod body;
// Every setting: its default, its limits, and the error that names it.
mod config;
// C5.13: senders that use one name.
mod duplicates;
// C1.3: the payloads in `events/`.
mod event;
// C6: no acknowledged heartbeat is lost, whatever fails below the SDK.
mod faults;
// What an attacker can put into a request, beyond what `auth`, `body` and `log` cover.
mod hostile;
// C2.7 to C2.12: keys in the keys table.
mod keys;
// C7: what is logged, and what never is.
mod log;
// C5.6 to C5.9: the rows of metrics.
mod metrics;
// The binary itself, as Lambda starts it.
mod process;
// Properties that hold for any input, checked with random values.
mod properties;
// C3.9, C5.9 to C5.11: the last reading of a server, and readings that are sent later.
mod reading;
// C1.1 and C1.2: the only path and method.
mod route;
// C5.1 to C5.5: the server's item.
mod server;
// The peers to which the function sends heartbeats.
mod trust;
// The function under test, its tables and its log.
mod support;
