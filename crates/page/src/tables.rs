//! The tables that are looked at.

use crate::clock::Clock;
use aws_sdk_dynamodb::Client;

/// The tables, a client for them, and the clock that its responses set.
#[derive(Debug, Clone)]
pub struct Tables {
    pub client: Client,
    pub servers: String,
    pub metrics: String,
    pub clock: Clock,
}

impl Tables {
    #[must_use]
    pub fn new(client: &Client, servers: String, metrics: String) -> Self {
        let (client, clock) = Clock::of(client);
        Self { client, servers, metrics, clock }
    }
}
