//! The pages. Every value is escaped by the template, and what is not printable is replaced.

use crate::chart;
use crate::events::Events;
use crate::fleet::{CPU, DISK, Fleet, MAX_ROWS, MEMORY, Server, Standing, UPTIME};
use announcement::words::{at, escape, percent};
use chrono::{DateTime, TimeDelta, Utc};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::json;
use syntax::duration::rounded;
use tables::Metric;

/// The style of every page.
pub const STYLE: &str = include_str!("style.css");

/// Where a page stands below the root, which its relative addresses lead back to: a proxy may put a path before it.
#[derive(Debug, Clone, Copy)]
pub struct Root(usize);

impl Root {
    /// Of the page with this path.
    pub fn of(path: &str) -> Self {
        Self(path.matches('/').count().saturating_sub(1))
    }

    /// The relative address of a path below the root.
    fn to(self, path: &str) -> String {
        match (self.0, path) {
            (0, "") => "./".to_owned(),
            (depth, path) => "../".repeat(depth) + path,
        }
    }
}

/// The most events that a page lists.
pub const MAX_EVENTS: usize = 50;

fn page(title: &str, root: Root, retried_after: Option<u64>, body: &Markup) -> Markup {
    printable(&html! {
        (DOCTYPE)
        html lang="en" {
            head {
                (head(title))
                @if let Some(seconds) = retried_after { meta http-equiv="refresh" content=(seconds); }
                link rel="stylesheet" href=(root.to("style.css"));
                script src=(root.to("app.js")) defer {}
            }
            body { (body) }
        }
    })
}

/// No template has a character that is not printable, so each is from an agent.
fn printable(markup: &Markup) -> Markup {
    PreEscaped(tables::printable(&markup.0))
}

fn head(title: &str) -> Markup {
    html! {
        meta charset="utf-8";
        meta name="viewport" content="width=device-width, initial-scale=1";
        meta name="color-scheme" content="light dark";
        title { (title) }
        link rel="icon" href="data:,";
    }
}

/// The form that asks for the password, for whoever serves the page to many. Its style is within it, so that it needs nothing
/// else; it leads back to the server whose page was asked for.
#[must_use]
pub fn sign_in(path: &str, server: Option<&str>, is_wrong: bool) -> Markup {
    let root = Root::of(path);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                (head("Sign in – heartbeat"))
                style { (PreEscaped(STYLE)) }
            }
            body {
                header { h1 { "heartbeat" } }
                main {
                    @if is_wrong { p.failure role="alert" { "That is not the password." } }
                    form.sign-in method="post" action=(root.to("login")) {
                        // For password managers.
                        input type="text" name="username" value="heartbeat" autocomplete="username" hidden;
                        @if let Some(server) = server { input type="hidden" name="server" value=(server); }
                        label { "Password " input name="password" type="password" autocomplete="current-password" required autofocus; }
                        button { "Sign in" }
                    }
                }
            }
        }
    }
}

/// What went wrong, in words.
pub fn failure(reason: &str, root: Root, retried_after: Option<u64>) -> Markup {
    page(
        "heartbeat",
        root,
        retried_after,
        &html! {
            header { h1 { a href=(root.to("")) { "Fleet" } } }
            main {
                p.failure role="alert" { (reason) }
                @if let Some(seconds) = retried_after { p { "This page is retried every " (seconds) " seconds." } }
            }
        },
    )
}

fn fleet_title(fleet: &Fleet) -> String {
    format!("{} – heartbeat", fleet.summary)
}

/// The fleet, what is worse first. The roles stand for what a table loses when a phone lays it out as a grid.
pub fn fleet(
    fleet: &Fleet,
    events: &anyhow::Result<Events>,
    search: &str,
    group: &str,
    refresh: u64,
) -> Markup {
    page(
        &fleet_title(fleet),
        Root(0),
        None,
        &html! {
            header {
                h1 { "Fleet" @if !group.is_empty() { " – group " (group) } }
                form role="search" {
                    @if !group.is_empty() { input name="group" type="hidden" value=(group); }
                    label { "Search " input #search name="search" type="search" value=(search) autocomplete="off"; }
                }
            }
            p #stale role="status" hidden {}
            main #fleet data-refresh=(refresh) { (fleet_part(fleet, events, search)) }
        },
    )
}

/// What a refresh replaces.
pub fn fleet_part(fleet: &Fleet, events: &anyhow::Result<Events>, search: &str) -> Markup {
    let (found, count) = fleet.find(search);
    let shown = &found[..found.len().min(MAX_ROWS)];
    printable(&html! {
        p.summary.well[fleet.summary.is_well()] data-page-title=(fleet_title(fleet)) {
            (fleet.summary) " · "
            time datetime=(fleet.at.to_rfc3339()) { (fleet.at.format("%H:%M:%S UTC")) }
        }
        @if let Some(warning) = fleet.warning() { p.failure { (warning) } }
        @if !fleet.servers.is_empty() {
            (problems(fleet))
            @if shown.len() < count {
                p { "The first " (shown.len()) " of " (count) " servers, what is worse first. A search finds the others." }
            }
            @if found.is_empty() { p { "No server matches this search." } }
            table role="table" {
                caption { "Servers, what is worse first" }
                thead role="rowgroup" { tr role="row" {
                    @for title in ["Server", "Status", "Last seen", "CPU", "Memory", "Disk", "Free", "Remarks"] {
                        th scope="col" role="columnheader" { (title) }
                    }
                } }
                tbody role="rowgroup" { @for server in shown { (row(server, fleet.at)) } }
            }
            (happened(events, Root(0)))
        }
    })
}

/// What was announced in seven days.
fn happened(events: &anyhow::Result<Events>, root: Root) -> Markup {
    html! {
        h2 #happened { "What happened in seven days" }
        @if let Ok(Events { uptime: Some(uptime), .. }) = events { p { (uptime) } }
        @match events {
            Err(error) => p.failure { "It cannot be read. " (format!("{error:#}")) },
            Ok(events) if events.newest.is_empty() => p { "No announcement is recorded." },
            Ok(events) => {
                ul.events aria-labelledby="happened" {
                    @for said in &events.newest {
                        @let id = said.announcement.server_id();
                        li.(said.announcement.kind().key()) {
                            time datetime=(said.at.to_rfc3339()) { (at(said.at, None)) } " "
                            a href=(root.to(&format!("servers/{id}"))) { (id) } (said.words())
                        }
                    }
                }
                @if events.is_cut { p { "Only the newest " (events.newest.len()) " are listed." } }
            }
        }
    }
}

/// Everything that is wrong, in words, each a link.
fn problems(fleet: &Fleet) -> Markup {
    let problems: Vec<_> = fleet.problems().collect();
    let shown = &problems[..problems.len().min(MAX_PROBLEMS)];
    let more = problems.len() - shown.len() + fleet.unlisted_problems();
    html! {
        @if !problems.is_empty() {
            ul.problems aria-label="Problems" {
                @for (server, problem) in shown {
                    li { a href={ "servers/" (server.id()) } { (server.id()) } ": " (problem) }
                }
                @if more > 0 { li { "and " (more) " more" } }
            }
        }
    }
}

/// The most problems that are said in words; the table has them all.
const MAX_PROBLEMS: usize = 20;

fn row(server: &Server, now: DateTime<Utc>) -> Markup {
    html! {
        tr.old[server.verdict.is_old] role="row" {
            th scope="row" role="rowheader" {
                a href={ "servers/" (server.id()) } { (server.id()) }
                @if let Some(hostname) = &server.stored.hostname { " " small { (hostname) } }
            }
            td role="cell" { (status(server)) }
            td role="cell" data-title="Last seen" { (seen(server, now)) }
            td role="cell" data-title="CPU" { (bar(server, CPU)) }
            td role="cell" data-title="Memory" { (bar(server, MEMORY)) }
            td role="cell" data-title="Disk" { (bar(server, DISK)) }
            td role="cell" data-title="Free" {
                @if let Some(free) = server.free_gb() { (chart::gigabytes(free)) } @else { "–" }
            }
            td role="cell" { (remarks(server)) }
        }
    }
}

fn status(server: &Server) -> Markup {
    let sign = match server.standing() {
        Standing::Offline | Standing::Late | Standing::Gone => "○",
        _ => "●",
    };
    let word = server.standing().as_str();
    html! { span.status.(word) { span aria-hidden="true" { (sign) } " " (word) } }
}

fn seen(server: &Server, now: DateTime<Utc>) -> Markup {
    html! {
        @if let Some(seen) = server.last_seen() {
            time datetime=(seen.to_rfc3339()) title=(seen.format("%Y-%m-%d %H:%M:%S UTC")) {
                (rounded((now - seen).max(TimeDelta::zero()))) " ago"
            }
        } @else { "never" }
    }
}

/// A bar and a number. A bar above its bound is drawn as bad.
fn bar(server: &Server, metric: &Metric) -> Markup {
    let is_high = server.is_high(metric);
    let bound = if is_high { 0 } else { 100 };
    html! {
        @if let Some(value) = server.value(metric) {
            meter min="0" max="100" low=(bound) high=(bound) optimum="0" value=(value) {}
            " " span.high[is_high] { (percent(value, server.limit(metric))) " %" }
        } @else { "–" }
    }
}

fn remarks(server: &Server) -> Markup {
    html! { @for remark in server.remarks() { span.remark { (remark) } " " } }
}

/// One server, with a place for its charts.
pub fn server(
    server: &Server,
    fleet: &Fleet,
    events: &anyhow::Result<Events>,
    refresh: u64,
) -> Markup {
    let root = Root(1);
    let charts = json!(chart::of(server)).to_string();
    let os = &server.stored.os;
    let parts = [&os.distribution, &os.version, &os.architecture];
    let system: Vec<_> = parts.into_iter().flatten().map(String::as_str).collect();
    let uptime = server.value(UPTIME).filter(|_| !server.verdict.is_old);
    // A number that is too large becomes the largest one.
    let uptime =
        uptime.map(|seconds| TimeDelta::try_seconds(seconds as i64).unwrap_or(TimeDelta::MAX));
    page(
        &format!("{} – heartbeat", server.id()),
        root,
        None,
        &html! {
            header {
                h1 { a href=(root.to("")) { "Fleet" } " / " (server.id()) }
                nav aria-label="Time" {
                    @for range in ["1h", "6h", "24h", "7d", "30d", "1y"] {
                        a.range href={ "#" (range) } { (range) }
                    }
                }
            }
            p #stale role="status" hidden {}
            main {
                p.summary {
                    (status(server)) ", " (seen(server, fleet.at))
                    @if let Some(hostname) = &server.stored.hostname { " · " (hostname) }
                    @if !system.is_empty() { " · " (system.join(" ")) }
                    @if let Some(version) = &server.stored.agent_version { " · agent " (escape(version)) }
                    @if let Some(uptime) = uptime { " · up for " (rounded(uptime)) }
                }
                @if let Some(warning) = fleet.warning() { p.failure { (warning) } }
                @let problems = server.problems();
                @if !problems.is_empty() {
                    ul.problems aria-label="Problems" {
                        @for problem in problems { li { (server.id()) ": " (problem) } }
                    }
                }
                p { (remarks(server)) }
                p #shown role="status" {}
                p.help {
                    "Drag over a chart to zoom in, double-click to zoom out. With the keyboard: arrow keys move the pointer, Shift \
                     with them selects, Enter zooms in, Escape zooms out."
                }
                div #charts data-server=(server.id()) data-charts=(charts) data-refresh=(refresh) data-now=(fleet.at.to_rfc3339()) {}
                noscript { p { "The charts need JavaScript. " code { "heartbeatctl history" } " draws them in a terminal." } }
                (happened(events, root))
            }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Announced;
    use announcement::{Absence, Announcement};
    use insta::assert_snapshot;
    use tables::server::{Reading, Server as Stored, Status};
    use tables::{Metrics, Number, Service, ServiceStatus, Services, time::Stored as StoredTime};

    /// A server with a full disk, whose host name is no HTML, and a silent one.
    fn example() -> (Fleet, anyhow::Result<Events>) {
        let at = DateTime::from_timestamp(1_768_732_200, 0).expect("a time");
        let ago = |seconds| tables::time::format(at - TimeDelta::seconds(seconds));
        let reading = Reading {
            metrics: Metrics::from_fn(|metric: &Metric| {
                let values = [(CPU, 12.5), (DISK, 97.4)];
                let (_, value) = values.into_iter().find(|(known, _)| known.name == metric.name)?;
                Some(Number::Float(value))
            }),
            received_at: Some(at - TimeDelta::seconds(5)),
            ..Reading::default()
        };
        let full = Stored {
            server_id: "db-1".to_owned(),
            hostname: Some("<b>db</b>".to_owned()),
            status: Some(Status::Online),
            last_seen: StoredTime::parse(ago(5)),
            reading: Some(reading),
            ..Default::default()
        };
        let silent = Stored {
            server_id: "mail".to_owned(),
            status: Some(Status::Offline),
            last_seen: StoredTime::parse(ago(3600)),
            ..Default::default()
        };
        let announcement = Announcement::Offline(Absence {
            left_at: None,
            server_id: "mail".to_owned(),
            hostname: None,
            last_seen: Some(ago(3600)),
        });
        let newest = vec![Announced { at: at - TimeDelta::minutes(57), announcement }];
        (
            Fleet::new(vec![full, silent], None, at),
            Ok(Events {
                newest,
                uptime: Some("Uptime: 100 % of 7 d".to_owned()),
                ..Events::default()
            }),
        )
    }

    /// A line for each element.
    fn lines(page: Markup) -> String {
        page.into_string().replace("><", ">\n<")
    }

    #[test]
    fn the_fleet_is_shown_with_its_problems_first() {
        let (fleet, events) = example();
        assert_snapshot!(lines(super::fleet(&fleet, &events, "", "", 10)));
    }

    #[test]
    fn a_server_is_shown_with_a_place_for_its_charts() {
        let (fleet, events) = example();
        assert_snapshot!(lines(server(&fleet.servers[1], &fleet, &events, 10)));
    }

    // C9.8 C13.7
    #[test]
    fn a_server_has_the_version_of_its_agent_and_the_reason_of_a_failed_service() {
        let (fleet, events) = example();
        let mut stored = fleet.server("db-1").expect("a server").stored.clone();
        stored.agent_version = Some("0.1<b>\u{202e}".to_owned());
        let postfix = Service {
            status: ServiceStatus::Failed,
            name: "postfix".to_owned(),
            reason: Some("exit <i>1</i>\n".to_owned()),
        };
        let services = Services { not_running: vec![postfix], is_cut: false };
        stored.reading.as_mut().expect("a reading").services = Some(services);
        let fleet = Fleet::new(vec![stored], None, fleet.at);
        let shown = server(&fleet.servers[0], &fleet, &events, 10).into_string();
        assert!(shown.contains(" · agent 0.1&lt;b&gt;\\u{202e}"), "{shown}");
        let said = "service postfix failed: exit &lt;i&gt;1&lt;/i&gt;\\u{a}, since ";
        assert!(shown.contains(said), "{shown}");
        assert!(super::fleet(&fleet, &events, "", "", 10).into_string().contains(said));
    }

    // C13.13
    #[test]
    fn what_is_not_printable_is_replaced() {
        let (mut fleet, events) = example();
        fleet.servers[1].stored.hostname = Some("db\u{1b}[2J\u{9b}\u{202e}\n".to_owned());
        for page in [
            super::fleet(&fleet, &events, "", "", 10),
            fleet_part(&fleet, &events, ""),
            server(&fleet.servers[1], &fleet, &events, 10),
        ] {
            let page = page.into_string();
            assert!(page.contains("db\u{fffd}[2J\u{fffd}\u{fffd}\u{fffd}<"), "{page}");
        }
        let json = fleet.json("").expect("JSON");
        assert!(json.contains(r#""db\u001b[2J\u009b\u202e\n""#), "{json}");
    }

    #[test]
    fn addresses_lead_back_to_the_root() {
        for (path, style, start) in [
            ("/", "style.css", "./"),
            ("/nothing", "style.css", "./"),
            ("/servers/web-1", "../style.css", "../"),
            ("/a/b/c", "../../style.css", "../../"),
        ] {
            let root = Root::of(path);
            assert_eq!(
                (root.to("style.css").as_str(), root.to("").as_str()),
                (style, start),
                "{path}"
            );
        }
    }
}
