//! The services that take messages: whatever differs between them is in a file of their own.

mod discord;
mod json;
mod ntfy;
mod slack;
mod teams;
mod telegram;

use super::message::ChatMessage;
use lambda_http::http::Uri;
use serde_json::Value;
use std::fmt;

/// All services.
pub const SERVICES: [&Service; 6] = [
    &slack::SERVICE,
    &discord::SERVICE,
    &telegram::SERVICE,
    &teams::SERVICE,
    &ntfy::SERVICE,
    &json::SERVICE,
];

/// A chat service, or somebody's own program.
pub struct Service {
    /// Its format's name in `WEBHOOK_URLS`.
    pub name: &'static str,
    /// What is wrong with a URL, which is https.
    pub check: fn(&Uri) -> Result<(), &'static str>,
    /// Makes its request from a message: in words, and as it came.
    pub request: fn(&ChatMessage, &str) -> Request,
    /// A JSON pointer to the seconds for which it wants to be left alone, in its response.
    pub retry_after: &'static str,
    /// Whether a response of status 429, as JSON, says that a quota is used up, so that no retry helps today.
    pub is_quota: fn(&Value) -> bool,
}

/// A request to a service, without the URL.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

/// The name only: services are data.
impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Request {
    fn json(body: &Value) -> Self {
        Self::new([("content-type", "application/json")], body.to_string())
    }

    fn new<'a>(headers: impl IntoIterator<Item = (&'static str, &'a str)>, body: String) -> Self {
        let headers = headers.into_iter();
        Self { headers: headers.map(|(name, value)| (name, value.to_owned())).collect(), body }
    }
}

#[cfg(test)]
mod tests {
    use super::SERVICES;
    use std::collections::BTreeSet;

    #[test]
    fn every_file_is_a_service_of_the_list() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/notify/service");
        let files: BTreeSet<_> = std::fs::read_dir(folder)
            .expect("the folder of this module")
            .map(|file| file.expect("a file").file_name())
            .collect();
        let listed = SERVICES.map(|service| format!("{}.rs", service.name).into());
        assert_eq!(files, BTreeSet::from(listed));
    }
}
