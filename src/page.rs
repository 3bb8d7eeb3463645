//! The page for the phone (C13): the router of `crates/page` behind an HTTP API of its own, for whoever knows the password.
//!
//! ```text
//! Lambda event ─▶ session ─▶ page::router ─▶ servers and metrics table
//!                 (password)
//! ```

mod config;
mod session;

pub use self::config::{Config, May, PasswordDigest};
pub use self::session::LIFETIME;

use crate::aws;
use crate::event::Event;
use crate::settings::InvalidSetting;
use http_body_util::{BodyExt, Collected, Full};
use lambda_http::http::uri::Authority;
use lambda_http::http::{HeaderValue, Response, Uri, header};
use lambda_http::request::LambdaRequest;
use lambda_http::{Adapter, LambdaEvent, Request, Service, service_fn};
use page::{Options, Tables};
use serde::Serialize;
use std::convert::Infallible;
use std::time::Duration;

/// How often an open page asks anew: one that is left open for a month costs cents.
const REFRESH: Duration = Duration::from_secs(60);

/// Lambda passes on 6 MB. The rest is for the headers.
const MAX_BODY: usize = 6_000_000;

/// Builds the function from its settings.
///
/// # Errors
/// If `AWS_CA_BUNDLE` does not name a file that contains certificates.
pub fn function(
    config: Config,
) -> Result<
    impl Service<
        LambdaEvent<Event>,
        Response: Serialize + Send + 'static,
        Error = Infallible,
        Future: Send,
    > + Clone
    + Send,
    InvalidSetting,
> {
    let client = aws::dynamodb(&config.aws)?;
    let tables = Tables::new(&client, config.servers_table, config.metrics_table);
    let silence = (config.may == May::Silence).then_some(config.retention);
    let options = Options { refresh: REFRESH, max_body: Some(MAX_BODY), silence };
    let router = session::guarded(page::router(tables, options), config.password, config.may);
    let router = page::protected(router);
    let http = Adapter::from(service_fn(move |request: Request| {
        let response = router.clone().call(request);
        async move {
            let (head, body) = response.await?.into_parts();
            // The bodies of the router are in memory, so they never fail.
            let body = body.collect().await.map(Collected::to_bytes);
            let body = Full::new(body.unwrap_or_default());
            Ok::<_, Infallible>(Response::from_parts(head, body))
        }
    }));
    Ok(service_fn(move |event: LambdaEvent<Event>| {
        let event = LambdaEvent::new(prepare(event.payload.0), event.context);
        http.clone().call(event)
    }))
}

/// Removes what no URL can contain: `lambda_http` builds one, and panics if it cannot.
fn prepare(mut event: LambdaRequest) -> LambdaRequest {
    if let LambdaRequest::ApiGatewayV2(event) = &mut event {
        // By its name, the page tells its own forms from those of other sites.
        let is_authority =
            |host: &HeaderValue| host.to_str().is_ok_and(|host| host.parse::<Authority>().is_ok());
        if !event.headers.get(header::HOST).is_some_and(is_authority) {
            event.headers.remove(header::HOST);
        }
        event.headers.remove("x-forwarded-proto");
        event.request_context.domain_name = None;
        let is_valid = |query: &String| format!("/?{query}").parse::<Uri>().is_ok();
        event.raw_query_string = event.raw_query_string.take().filter(is_valid);
    }
    event
}
