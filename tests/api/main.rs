//! The contract, clause by clause, from outside: an event goes in, an answer and what DynamoDB holds come
//! out. A test names the clause that it proves; those without one prove what the contract takes for granted.

#![allow(clippy::unwrap_used, missing_docs)]

// C1.4 and C6.2: the form of answers, and how long they take at most.
mod answer;
// C2.1 to C2.6: keys in the environment.
mod auth;
// C3 and C4: what a body may hold, and what is said of one that breaks a rule.
mod body;
// Every setting: its default, its limits, and the error that names it.
mod config;
// C1.3: the payloads in `events/`.
mod event;
// C6: nothing acknowledged is lost, whatever goes wrong below the SDK.
mod faults;
// What an attacker can put into a request, beyond what `auth`, `body` and `log` show.
mod hostile;
// C2.7 to C2.12: keys in the keys table.
mod keys;
// C7: what is logged, and what never is.
mod log;
// C5.6 to C5.9: the rows of metrics.
mod metrics;
// The binary itself, as Lambda starts it.
mod process;
// What holds for whatever is sent, checked with random values.
mod properties;
// C1.1 and C1.2: the only path and method.
mod route;
// C5.1 to C5.5: the server's item.
mod server;
// Which peers are trusted with a heartbeat.
mod trust;
// The function under test, its tables, and what it logs.
mod support;
