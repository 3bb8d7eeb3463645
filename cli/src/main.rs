//! `heartbeatctl`: the command-line tool of the heartbeat endpoint.

fn main() {}
