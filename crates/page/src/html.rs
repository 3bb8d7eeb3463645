//! The pages. Every value is escaped by the template.

use crate::fleet::{CPU, DISK, Fleet, MEMORY, Server};
use crate::history::series;
use crate::time;
use chrono::{DateTime, TimeDelta, Utc};
use maud::{DOCTYPE, Markup, html};
use serde_json::json;
use tables::Metric;
use tables::metric::{METRICS, Rule};
use tables::server::Status;

fn page(title: &str, retries: bool, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                @if retries { meta http-equiv="refresh" content="10"; }
                title { (title) }
                link rel="icon" href="data:,";
                link rel="stylesheet" href="/style.css";
                script src="/app.js" defer {}
            }
            body { (body) }
        }
    }
}

/// What went wrong, in words.
pub fn failure(reason: &str, retries: bool) -> Markup {
    page(
        "heartbeat",
        retries,
        &html! {
            header { h1 { a href="/" { "Fleet" } } }
            main {
                p.failure role="alert" { (reason) }
                @if retries { p { "This page is retried every 10 seconds." } }
            }
        },
    )
}

/// The fleet, problems first. The roles stand for what a table loses when a phone lays it out as a grid.
pub fn fleet(fleet: &Fleet) -> Markup {
    page(
        "Fleet – heartbeat",
        false,
        &html! {
            header {
                h1 { "Fleet" }
                label { "Search " input #search type="search" autocomplete="off"; }
            }
            p #stale role="status" hidden {}
            main #fleet { (fleet_part(fleet)) }
        },
    )
}

/// What a refresh replaces.
pub fn fleet_part(fleet: &Fleet) -> Markup {
    let servers = &fleet.servers;
    html! {
        p.summary {
            (fleet.summary()) " · "
            time datetime=(fleet.at.to_rfc3339()) { (fleet.at.format("%H:%M:%S UTC")) }
        }
        @if let Some(warning) = fleet.warning() { p.failure { (warning) } }
        @if servers.is_empty() {
            p { "No server has sent a heartbeat yet." }
        } @else {
            table role="table" {
                caption { "Servers, problems first" }
                thead role="rowgroup" { tr role="row" {
                    @for title in ["Server", "Status", "Last seen", "CPU", "Memory", "Disk", "Remarks"] {
                        th scope="col" role="columnheader" { (title) }
                    }
                } }
                tbody role="rowgroup" { @for server in servers { (row(server, fleet.at)) } }
            }
        }
    }
}

fn row(server: &Server, now: DateTime<Utc>) -> Markup {
    html! {
        tr.offline[!server.is_online] role="row" {
            th scope="row" role="rowheader" {
                a href={ "/servers/" (server.id()) } { (server.id()) }
                @if let Some(hostname) = &server.stored.hostname { " " small { (hostname) } }
            }
            td role="cell" { (status(server)) }
            td role="cell" data-title="Last seen" { (seen(server, now)) }
            td role="cell" data-title="CPU" { (bar(server, CPU)) }
            td role="cell" data-title="Memory" { (bar(server, MEMORY)) }
            td role="cell" data-title="Disk" { (bar(server, DISK)) }
            td role="cell" { (remarks(server)) }
        }
    }
}

fn status(server: &Server) -> Markup {
    let sign = match server.status() {
        Status::Online => "●",
        Status::Offline => "○",
    };
    let word = server.status().as_str();
    html! { span.status.(word) { span aria-hidden="true" { (sign) } " " (word) } }
}

fn seen(server: &Server, now: DateTime<Utc>) -> Markup {
    html! {
        @if let Some(seen) = server.last_seen() {
            time datetime=(seen.to_rfc3339()) title=(seen.format("%Y-%m-%d %H:%M:%S UTC")) {
                (time::words((now - seen).max(TimeDelta::zero()))) " ago"
            }
        } @else { "never" }
    }
}

/// A bar and a number. A bar above its bound is drawn as bad.
fn bar(server: &Server, metric: &Metric) -> Markup {
    let is_high = server.is_high(metric);
    let bound = if is_high { 0 } else { 100 };
    html! {
        @if let Some(percent) = server.value(metric) {
            meter min="0" max="100" low=(bound) high=(bound) optimum="0" value=(percent) {}
            " " span.high[is_high] { (format!("{percent:.0} %")) }
        } @else { "–" }
    }
}

fn remarks(server: &Server) -> Markup {
    html! { @for remark in server.remarks() { span.remark { (remark) } " " } }
}

/// One server, with a place for its charts.
pub fn server(server: &Server, now: DateTime<Utc>) -> Markup {
    let charts = METRICS.iter().map(|metric| {
        json!({
            "name": metric.name,
            "label": metric.label(),
            "unit": series::unit(metric),
            "isPercent": metric.rule == Rule::Percent,
            // A limit on a counter is on its value, and the chart shows its rate.
            "limit": server.limit(metric).filter(|_| !metric.is_counter),
        })
    });
    let metrics = json!(charts.collect::<Vec<_>>()).to_string();
    let os = &server.stored.os;
    let parts = [&os.distribution, &os.version, &os.architecture];
    let system: Vec<_> = parts.into_iter().flatten().map(String::as_str).collect();
    page(
        &format!("{} – heartbeat", server.id()),
        false,
        &html! {
            header {
                h1 { a href="/" { "Fleet" } " / " (server.id()) }
                nav aria-label="Time" {
                    @for range in ["1h", "6h", "24h", "7d", "30d"] {
                        a.range href={ "#" (range) } { (range) }
                    }
                }
            }
            p #stale role="status" hidden {}
            main {
                p.summary {
                    (status(server)) ", " (seen(server, now))
                    @if let Some(hostname) = &server.stored.hostname { " · " (hostname) }
                    @if !system.is_empty() { " · " (system.join(" ")) }
                }
                p { (remarks(server)) }
                p #shown role="status" {}
                p.help {
                    "Drag over a chart to zoom in, double-click to zoom out. With the keyboard: arrow keys move the pointer, Shift \
                     with them selects, Enter zooms in, Escape zooms out."
                }
                div #charts data-server=(server.id()) data-metrics=(metrics) {}
                noscript { p { "The charts need JavaScript. " code { "heartbeatctl history" } " draws them in a terminal." } }
            }
        },
    )
}
