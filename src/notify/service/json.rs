//! A program: it gets the message as it came.

use super::{Request, Service};
use serde::de::IgnoredAny;

pub const SERVICE: Service = Service {
    name: "json",
    check: |_| Ok(()),
    request: |_, message| {
        let content_type = match serde_json::from_str::<IgnoredAny>(message) {
            Ok(_) => "application/json",
            Err(_) => "text/plain; charset=utf-8",
        };
        Request::new([("content-type", content_type)], message.to_owned())
    },
    retry_after: "/retry_after",
    is_quota: |_| false,
};
