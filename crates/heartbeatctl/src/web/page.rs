//! The pages. Every value is escaped by the template.

use crate::fleet::{Fleet, Server, Status, minute};
use crate::time;
use chrono::{DateTime, TimeDelta, Utc};
use maud::{DOCTYPE, Markup, html};
use serde_json::json;
use tables::Limits;
use tables::metric::{METRICS, Rule};

/// Usage from which a bar is drawn as high, percent.
const OVERLOADED: u8 = 90;

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
    let offline = servers
        .iter()
        .filter(|server| server.status == Status::Offline)
        .count();
    let plural = if servers.len() == 1 { "" } else { "s" };
    html! {
        p.summary {
            (servers.len()) " server" (plural) ", " (offline) " offline · "
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
        tr.offline[server.status == Status::Offline] role="row" {
            th scope="row" role="rowheader" {
                a href={ "/servers/" (server.server_id) } { (server.server_id) }
                @if let Some(hostname) = &server.hostname { " " small { (hostname) } }
            }
            td role="cell" { (status(server)) }
            td role="cell" data-title="Last seen" { (seen(server, now)) }
            td role="cell" data-title="CPU" { (bar(server, "cpu_percent", server.cpu_percent)) }
            td role="cell" data-title="Memory" { (bar(server, "memory_percent", server.memory_percent)) }
            td role="cell" data-title="Disk" { (bar(server, "disk_percent", server.disk_percent)) }
            td role="cell" { (remarks(server)) }
        }
    }
}

fn status(server: &Server) -> Markup {
    let (class, sign, word) = match server.status {
        Status::Online => ("online", "●", "online"),
        Status::Offline => ("offline", "○", "offline"),
    };
    html! { span.status.(class) { span aria-hidden="true" { (sign) } " " (word) } }
}

fn seen(server: &Server, now: DateTime<Utc>) -> Markup {
    html! {
        @if let Some(seen) = server.last_seen {
            time datetime=(seen.to_rfc3339()) title=(seen.format("%Y-%m-%d %H:%M:%S UTC")) {
                (time::words((now - seen).max(TimeDelta::zero()))) " ago"
            }
        } @else { "never" }
    }
}

/// A bar and a number.
fn bar(server: &Server, metric: &str, percent: Option<f64>) -> Markup {
    let is_high = server.high.iter().any(|high| high.metric == metric);
    html! {
        @if let Some(percent) = percent {
            meter min="0" max="100" low=(OVERLOADED - 1) high=(OVERLOADED) optimum="0" value=(percent) {}
            " " span.high[is_high] { (format!("{percent:.0} %")) }
        } @else { "–" }
    }
}

/// What is high, silenced, or wrong.
fn remarks(server: &Server) -> Markup {
    let high = server.high.iter().map(|high| {
        let since = tables::time::parse(&high.since).map_or_else(|| high.since.clone(), minute);
        format!(
            "{} is high (limit {}) since {since}",
            high.metric, high.limit
        )
    });
    let silenced = server
        .silenced_until
        .map(|until| format!("silenced until {}", minute(until)));
    let back = server
        .returned_at
        .map(|at| format!("back since {}", minute(at)));
    let clock = server.clock_error_seconds.map(|error| {
        let direction = if error > 0 { "ahead" } else { "behind" };
        format!(
            "clock {} {direction}",
            time::rounded(TimeDelta::seconds(error))
        )
    });
    let remarks: Vec<_> = high.chain(silenced).chain(back).chain(clock).collect();
    html! { @for remark in &remarks { span.remark { (remark) } " " } }
}

/// One server, with a place for its charts.
pub fn server(server: &Server, limits: &Limits, now: DateTime<Utc>) -> Markup {
    let metrics = METRICS.iter().map(|metric| {
        let limit = limits.of(metric, server.limits.as_ref());
        let unit = if metric.is_counter {
            format!("{}/s", metric.unit.symbol())
        } else {
            metric.unit.symbol().to_owned()
        };
        json!({
            "name": metric.name,
            "label": metric.label(),
            "unit": unit,
            "isPercent": metric.rule == Rule::Percent,
            // A limit on a counter is on its value, and the chart shows its rate.
            "limit": limit.filter(|_| !metric.is_counter),
        })
    });
    let metrics = json!(metrics.collect::<Vec<_>>()).to_string();
    let os = [
        &server.os_distribution,
        &server.os_version,
        &server.architecture,
    ];
    let os: Vec<_> = os.into_iter().flatten().map(String::as_str).collect();
    page(
        &format!("{} – heartbeat", server.server_id),
        false,
        &html! {
            header {
                h1 { a href="/" { "Fleet" } " / " (server.server_id) }
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
                    @if let Some(hostname) = &server.hostname { " · " (hostname) }
                    @if !os.is_empty() { " · " (os.join(" ")) }
                }
                p { (remarks(server)) }
                p #shown role="status" {}
                p.help {
                    "Drag over a chart to zoom in, double-click to zoom out. With the keyboard: arrow keys move the pointer, Shift \
                     with them selects, Enter zooms in, Escape zooms out."
                }
                div #charts data-server=(server.server_id) data-metrics=(metrics) {}
                noscript { p { "The charts need JavaScript. " code { "heartbeatctl history" } " draws them in a terminal." } }
            }
        },
    )
}
