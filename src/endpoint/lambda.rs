//! Converts Lambda events into HTTP requests, and their responses back.

use super::auth::{Auth, TableKeys};
use super::config::Config;
use super::handler::{self, App};
use super::store::Store;
use crate::aws::Clients;
use crate::event::Event;
use lambda_http::http::{HeaderMap, header};
use lambda_http::request::LambdaRequest;
use lambda_http::{Adapter, LambdaEvent, Service, service_fn};
use serde::Serialize;
use std::convert::Infallible;
use std::sync::Arc;

/// Builds the function from its settings and clients. It can handle several events at once.
pub fn function(
    config: Config,
    clients: Clients,
) -> impl Service<
    LambdaEvent<Event>,
    Response: Serialize + Send + 'static,
    Error = Infallible,
    Future: Send,
> + Clone
+ Send {
    let table = config
        .keys_table
        .map(|table| TableKeys::new(clients.servers.clone(), table.name, table.cache_for));
    let app = Arc::new(App {
        auth: Auth::new(config.keys, table),
        operation_timeout: config.aws.operation_timeout,
        store: Store::new(clients, config.servers_table, config.metrics_table, config.retention),
    });
    let http = Adapter::from(service_fn(move |request| {
        let app = app.clone();
        async move { Ok::<_, Infallible>(handler::handle(&app, request).await) }
    }));
    service_fn(move |event: LambdaEvent<Event>| {
        let event = LambdaEvent::new(prepare(event.payload.0), event.context);
        http.clone().call(event)
    })
}

/// Copies the route into the part of an event that reaches the handler, and removes what this function never reads: the
/// query string, and the headers that name a host.
///
/// `lambda_http` builds a URL from them, and panics if a caller sent something that no URL can contain:
/// <https://github.com/aws/aws-lambda-rust-runtime/issues/515>.
fn prepare(mut event: LambdaRequest) -> LambdaRequest {
    let remove_host = |headers: &mut HeaderMap| {
        headers.remove(header::HOST);
        headers.remove("x-forwarded-proto");
    };
    match &mut event {
        LambdaRequest::ApiGatewayV1(event) => remove_host(&mut event.headers),
        LambdaRequest::ApiGatewayV2(event) => {
            remove_host(&mut event.headers);
            event.raw_query_string = None;
            if event.route_key.is_some() {
                event.request_context.route_key = event.route_key.clone();
            }
        }
        _ => {}
    }
    event
}
