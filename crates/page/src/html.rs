//! The pages. Every value is escaped by the template, and what is not printable is replaced.

use crate::asset::{SCRIPT_FILE, STYLE, STYLE_FILE};
use crate::chart;
use crate::events::Events;
use crate::fleet::{CPU, DISK, Fleet, MAX_ROWS, MEMORY, Section, Server, Standing, UPTIME};
use crate::session::Session;
use announcement::words::{at, escape, moment, percent};
use chrono::{DateTime, TimeDelta, Utc};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::json;
use syntax::duration::rounded;
use tables::problem::Key;
use tables::{Group, Metric, ServiceStatus, Zone};
use verdict::{Remark, announce};

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

/// What a page depends on besides what it shows.
#[derive(Clone, Copy, Default)]
pub struct Visit<'a> {
    /// Seconds after which an open page asks anew.
    pub refresh: u64,
    pub session: Option<&'a Session>,
    /// Whether whoever has a session may silence servers.
    pub may_silence: bool,
}

/// The most events that a page lists.
pub const MAX_EVENTS: usize = 50;

const COLUMNS: [&str; 7] = ["Server", "Standing", "Last seen", "CPU", "Memory", "Disk", "Remarks"];

/// The most servers that are said in words to be unwell; the table has them all.
const MAX_UNWELL: usize = 20;

/// The least seconds between two reloads of a page that has no script.
const RELOADED: u64 = 60;

/// How good the news is, for the icon of the tab and for colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Well,
    /// Not known, silenced, or not for long enough.
    Mixed,
    Bad,
}

impl Mood {
    fn of_fleet(fleet: &Fleet) -> Self {
        let count = |standing| fleet.summary.count(standing);
        let bad = [Standing::Offline, Standing::Late, Standing::Problem];
        match bad.into_iter().any(|standing| count(standing) > 0) {
            _ if fleet.summary.is_well() => Self::Well,
            false if fleet.summary.doubts.is_empty() => Self::Mixed,
            _ => Self::Bad,
        }
    }

    const fn of(standing: Standing) -> Self {
        match standing {
            Standing::Offline | Standing::Late | Standing::Problem => Self::Bad,
            Standing::Returning | Standing::Unknown | Standing::Silenced | Standing::Gone => {
                Self::Mixed
            }
            Standing::Well => Self::Well,
        }
    }

    const fn class(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::Mixed => "mixed",
            Self::Bad => "bad",
        }
    }

    /// A tick, a ring, or an exclamation mark, so that the shape says it, too.
    fn icon(self) -> String {
        let shapes = match self {
            Self::Well => {
                "<circle cx='8' cy='8' r='8' fill='%2312713a'/><path d='M4 8.5l3 3 5-6' fill='none' stroke='white' stroke-width='2'/>"
            }
            Self::Mixed => {
                "<circle cx='8' cy='8' r='6' fill='none' stroke='%23808890' stroke-width='4'/>"
            }
            Self::Bad => {
                "<rect width='16' height='16' rx='3' fill='%23b3261e'/><path d='M8 3v6m0 2v2' stroke='white' stroke-width='2.5'/>"
            }
        };
        format!(
            "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'>{shapes}</svg>"
        )
    }
}

fn page(title: &str, mood: Mood, root: Root, reload: Markup, body: &Markup) -> Markup {
    printable(&html! {
        (DOCTYPE)
        html lang="en" {
            head {
                (head(title, mood))
                (reload)
                link rel="stylesheet" href=(root.to(&STYLE_FILE.name));
                script src=(root.to(&SCRIPT_FILE.name)) defer {}
            }
            body { (body) }
        }
    })
}

/// No template has a character that is not printable, so each is from an agent.
fn printable(markup: &Markup) -> Markup {
    PreEscaped(tables::printable(&markup.0))
}

fn head(title: &str, mood: Mood) -> Markup {
    html! {
        meta charset="utf-8";
        meta name="viewport" content="width=device-width, initial-scale=1";
        meta name="color-scheme" content="light dark";
        title { (title) }
        link rel="icon" href=(mood.icon());
    }
}

/// Without a script, a page is loaded anew.
fn reloaded_without_script(seconds: u64) -> Markup {
    html! { noscript { meta http-equiv="refresh" content=(seconds.max(RELOADED)); } }
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
                (head("Sign in – heartbeat", Mood::Mixed))
                style { (PreEscaped(STYLE)) }
            }
            body {
                main.sign-in {
                    h1 { "heartbeat" }
                    @if is_wrong { p.failure role="alert" { "That is not the password." } }
                    form method="post" action=(root.to("login")) {
                        // For password managers.
                        input type="text" name="username" value="heartbeat" autocomplete="username" hidden;
                        @if let Some(server) = server { input type="hidden" name="server" value=(server); }
                        label for="password" { "Password" }
                        input #password name="password" type="password" autocomplete="current-password" required autofocus;
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
        Mood::Bad,
        root,
        html! { @if let Some(seconds) = retried_after { meta http-equiv="refresh" content=(seconds); } },
        &html! {
            header { h1 { a href=(root.to("")) { "Fleet" } } }
            main {
                p.failure role="alert" { (reason) }
                @if let Some(seconds) = retried_after { p { "This page is retried every " (seconds) " seconds." } }
            }
        },
    )
}

/// What stands above every page: its name, what belongs beside it, and how to leave.
fn header(name: &Markup, beside: &Markup, root: Root, visit: Visit) -> Markup {
    html! {
        header {
            (name)
            (beside)
            @if visit.session.is_some() {
                form method="post" action=(root.to("logout")) { button.quiet { "Sign out" } }
            }
        }
        p #stale .failure role="status" hidden {}
    }
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
    visit: Visit,
) -> Markup {
    let charts = json!(chart::usual(None).collect::<Vec<_>>()).to_string();
    let name = html! { p.brand { "heartbeat" @if !group.is_empty() { " – group " (group) } } };
    let find = html! {
        form role="search" {
            @if !group.is_empty() { input name="group" type="hidden" value=(group); }
            label for="search" { "Search" }
            input #search name="search" type="search" value=(search) autocomplete="off";
        }
    };
    page(
        &fleet_title(fleet),
        Mood::of_fleet(fleet),
        Root(0),
        reloaded_without_script(visit.refresh),
        &html! {
            (header(&name, &find, Root(0), visit))
            main #fleet data-refresh=(visit.refresh) data-charts=(charts) { (fleet_part(fleet, events, search)) }
        },
    )
}

/// What a refresh brings.
pub fn fleet_part(fleet: &Fleet, events: &anyhow::Result<Events>, search: &str) -> Markup {
    let (found, count) = fleet.find(search);
    let shown = &found[..found.len().min(MAX_ROWS)];
    let mood = Mood::of_fleet(fleet);
    printable(&html! {
        div.summary.(mood.class()) data-page-title=(fleet_title(fleet)) data-icon=(mood.icon()) {
            h1 { span role="status" { (fleet.summary) } } " " (as_of(Clock::of(fleet)))
        }
        @if let Some(warning) = fleet.warning() { p.failure { (warning) } }
        @if let Some(silence) = fleet.silence() { p { (silence) } }
        @if !fleet.servers.is_empty() {
            (unwell(fleet))
            @if shown.len() < count {
                p { "The first " (shown.len()) " of " (count) " servers, what is worse first. A search finds the others." }
            }
            @if found.is_empty() { p { "No server matches this search." } }
            @match fleet.sections(shown).filter(|_| search.is_empty()) {
                Some(sections) => { @for section in &sections { (folding(section, fleet)) } }
                None => (table("Servers", shown, fleet)),
            }
            (happened(events, fleet, Root(0)))
        }
    })
}

/// When the fleet was read, and the zone in which times are said.
#[derive(Clone, Copy)]
struct Clock<'a> {
    now: DateTime<Utc>,
    zone: &'a Zone,
}

impl<'a> Clock<'a> {
    const fn of(fleet: &'a Fleet) -> Self {
        Self { now: fleet.at, zone: &fleet.zone }
    }
}

fn as_of(Clock { now, zone }: Clock<'_>) -> Markup {
    html! { time #at datetime=(now.to_rfc3339()) { "as of " (zone.say(now, "%H:%M:%S")) } }
}

/// A group, which folds under its heading.
fn folding(Section { group, servers, summary }: &Section<'_>, fleet: &Fleet) -> Markup {
    let name = group.map_or("in no group", Group::as_str);
    let mood = Mood::of(servers[0].standing());
    let of_group = group.map_or(name.to_owned(), |group| format!("of {}", group.as_str()));
    html! {
        details.group open data-key={ "group " (group.map_or("", Group::as_str)) } {
            summary {
                h2 { (name) } " "
                @if let Some(summary) = summary {
                    span.(mood.class()) {
                        (summary)
                    }
                }
            }
            (table(&format!("Servers {of_group}"), servers, fleet))
        }
    }
}

fn table(name: &str, servers: &[&Server], fleet: &Fleet) -> Markup {
    html! {
        table role="table" {
            caption { (name) ", what is worse first" }
            colgroup { @for _ in COLUMNS { col; } }
            thead role="rowgroup" { tr role="row" {
                @for title in COLUMNS {
                    th scope="col" role="columnheader" { (title) }
                }
            } }
            tbody role="rowgroup" { @for server in servers { (row(server, Clock::of(fleet))) } }
        }
    }
}

/// Everything that is wrong, by server, each with a link.
fn unwell(fleet: &Fleet) -> Markup {
    let unwell: Vec<_> = fleet
        .servers
        .iter()
        .map(|server| (server, server.wrong()))
        .filter(|(_, wrong)| !wrong.is_empty())
        .collect();
    let shown = &unwell[..unwell.len().min(MAX_UNWELL)];
    let more = unwell.len() - shown.len() + fleet.unlisted_unwell();
    html! {
        @if !unwell.is_empty() {
            ul.problems aria-label="Problems" {
                @for (server, wrong) in shown {
                    li.(Mood::of(server.standing()).class()) data-key=(server.id()) {
                        a href={ "servers/" (server.id()) } { (server.id()) } span.unseen { ": " }
                        span { (said(wrong, Clock::of(fleet))) }
                    }
                }
                @if more > 0 { li { "and " (more) " more servers" } }
            }
        }
    }
}

/// Remarks with when they began, one after another.
fn said(remarks: &[Remark], clock: Clock<'_>) -> Markup {
    html! {
        @for (place, remark) in remarks.iter().enumerate() {
            @if place > 0 { span.unseen { "; " } }
            span.what data-key=(remark.key) {
                (remark.words)
                @if let Some(at) = remark.at { (related(remark.relation, at, clock)) }
            }
        }
    }
}

/// A time after what it is about. What is said since when is clear without the word, if one sees it.
fn related(relation: &str, time: DateTime<Utc>, clock: Clock<'_>) -> Markup {
    html! {
        @match relation {
            "" => " ",
            "since" => { span.unseen { " since" } " " },
            "last seen" => ", last seen ",
            _ => { " " (relation) " " },
        }
        (when(time, clock))
    }
}

/// A time in words, and exactly for whoever points at it or listens.
fn when(time: DateTime<Utc>, Clock { now, zone }: Clock<'_>) -> Markup {
    let exact = moment(Some(time), zone);
    html! {
        @if time > now && time - now > TimeDelta::minutes(1) {
            time datetime=(time.to_rfc3339()) title=(exact) { (at(time, Some(now), zone)) }
        } @else {
            time datetime=(time.to_rfc3339()) title=(exact) {
                (rounded((now - time).max(TimeDelta::zero()))) " ago"
                span.unseen { " (" (exact) ")" }
            }
        }
    }
}

/// What was announced in seven days.
fn happened(events: &anyhow::Result<Events>, fleet: &Fleet, root: Root) -> Markup {
    html! {
        @if let Ok(Events { uptime: Some(uptime), .. }) = events { p { (uptime) } }
        h2 #happened { "What happened in seven days" }
        @match events {
            Err(error) => p.failure { "It cannot be read. " (format!("{error:#}")) },
            Ok(events) if events.newest.is_empty() => p { "No announcement is recorded." },
            Ok(events) => {
                ul.events aria-labelledby="happened" {
                    @for said in &events.newest {
                        @let id = said.announcement.server_id();
                        @let kind = said.announcement.kind().key();
                        li.(kind) data-key={ (said.at.timestamp_micros()) " " (id) " " (kind) } {
                            time datetime=(said.at.to_rfc3339()) { (at(said.at, None, &fleet.zone)) } " "
                            // One that was forgotten has no page.
                            @if fleet.may_have(id) {
                                a href=(root.to(&format!("servers/{id}"))) { (id) }
                            } @else { (id) }
                            (said.words(&fleet.zone))
                        }
                    }
                }
                @if events.is_cut { p { "Only the newest " (events.newest.len()) " are listed." } }
            }
        }
    }
}

/// A line of the table. What its problems say stands above; here, what they are about is marked.
fn row(server: &Server, clock: Clock<'_>) -> Markup {
    html! {
        tr.old[server.verdict.is_old] role="row" data-key=(server.id()) {
            th scope="row" role="rowheader" {
                button.open aria-expanded="false" aria-label={ "The last hour of " (server.id()) } {}
                a href={ "servers/" (server.id()) } { (server.id()) }
                @if let Some(hostname) = &server.stored.hostname { " " small { (hostname) } }
            }
            td role="cell" { (status(server)) }
            td role="cell" data-title="Last seen" { (seen(server, clock)) }
            td role="cell" data-title="CPU" { (metric(server, CPU)) }
            td role="cell" data-title="Memory" { (metric(server, MEMORY)) }
            td role="cell" data-title="Disk" { (disk(server)) }
            td role="cell" { (remarkable(server, clock)) }
        }
    }
}

fn status(server: &Server) -> Markup {
    let sign = match Mood::of(server.standing()) {
        Mood::Well => "●",
        Mood::Mixed => "◐",
        Mood::Bad => "○",
    };
    let word = server.standing().as_str();
    html! { span.status.(word) { span aria-hidden="true" { (sign) } " " (word) } }
}

fn seen(server: &Server, clock: Clock<'_>) -> Markup {
    html! { @if let Some(seen) = server.last_seen() { (when(seen, clock)) } @else { "never" } }
}

fn metric(server: &Server, metric: &Metric) -> Markup {
    html! {
        @if let Some(value) = server.value(metric) {
            (bar(value, server.limit(metric), server.is_high(metric)))
        } @else { "–" }
    }
}

/// The fullest file system, by its name if it has one.
fn disk(server: &Server) -> Markup {
    html! {
        @if let Some((disk, is_full)) = server.fullest_disk() {
            (bar(disk.percent, server.disk_limit(&disk.mount), is_full)) " " span.name { (disk.mount) }
        } @else {
            (metric(server, DISK))
            @if let Some(free) = server.free_gb() { " " span.name { (chart::gigabytes(free)) " free" } }
        }
    }
}

/// A bar and a number. A bar above its bound is drawn as bad.
fn bar(value: f64, limit: Option<f64>, is_high: bool) -> Markup {
    let bound = if is_high { 0 } else { 100 };
    html! {
        meter min="0" max="100" low=(bound) high=(bound) optimum="0" value=(value) aria-hidden="true" {}
        " " span.high[is_high] { (percent(value, limit)) " %" }
    }
}

/// What no other column shows.
fn remarkable(server: &Server, clock: Clock<'_>) -> Markup {
    let fullest = server.fullest_disk().map(|(disk, _)| disk.mount.as_str());
    let is_marked = |key: &Key| match key {
        Key::Metric(metric, _) => {
            [CPU, MEMORY].contains(metric) || *metric == DISK && fullest.is_none()
        }
        Key::Disk(mount, _) => fullest == Some(mount.as_str()),
        Key::Service(_) | Key::Duplicate => false,
    };
    let problems = server
        .verdict
        .problems
        .iter()
        .filter(|problem| server.standing() == Standing::Problem && !is_marked(&problem.key));
    let marks = problems.map(|problem| announce::problem(&server.stored, problem).about());
    let marks: Vec<_> = marks.collect();
    html! {
        @for mark in marks { span.remark.high { (mark) } " " }
        @for remark in besides(server) { span.remark { (said(&[remark], clock)) } " " }
        @for remark in server.remarks_of_reading() { span.remark { (remark) } " " }
    }
}

/// What is remarkable besides, without the age of values that are as old as the last heartbeat.
fn besides(server: &Server) -> impl Iterator<Item = Remark> {
    let seen = server.last_seen();
    let is_news = move |remark: &Remark| {
        let age = remark.at.zip(seen).map(|(at, seen)| (seen - at).abs());
        remark.relation != "of" || age.is_none_or(|age| age > TimeDelta::minutes(1))
    };
    server.besides().into_iter().filter(is_news)
}

/// One server, with a place for its charts.
pub fn server(
    server: &Server,
    fleet: &Fleet,
    events: &anyhow::Result<Events>,
    visit: Visit,
) -> Markup {
    let root = Root(1);
    let ranges = html! {
        nav aria-label="Time" {
            @for range in ["1h", "6h", "24h", "7d", "30d", "1y"] { a.range href={ "#" (range) } { (range) } }
        }
    };
    let name = html! { h1 { a href=(root.to("")) { "Fleet" } " / " (server.id()) } };
    page(
        &server_title(server),
        Mood::of(server.standing()),
        root,
        reloaded_without_script(visit.refresh),
        &html! {
            (header(&name, &ranges, root, visit))
            main #server data-server=(server.id()) data-refresh=(visit.refresh) {
                (server_part(server, fleet, events, visit))
            }
        },
    )
}

fn server_title(server: &Server) -> String {
    match server.standing() {
        Standing::Well => format!("{} – heartbeat", server.id()),
        standing => format!("{}: {} – heartbeat", server.id(), standing.as_str()),
    }
}

/// What a refresh brings.
pub fn server_part(
    server: &Server,
    fleet: &Fleet,
    events: &anyhow::Result<Events>,
    visit: Visit,
) -> Markup {
    let mood = Mood::of(server.standing());
    let wrong = server.wrong();
    let besides: Vec<_> = besides(server).collect();
    let reading = server.remarks_of_reading();
    let charts = json!(chart::of(server)).to_string();
    let clock = Clock::of(fleet);
    printable(&html! {
        p.summary data-page-title=(server_title(server)) data-icon=(mood.icon()) {
            span role="status" { (status(server)) } " · last seen " (seen(server, clock))
            @if let Some(hostname) = &server.stored.hostname { " · " span { (hostname) } }
            " · " (as_of(clock))
        }
        @if let Some(warning) = fleet.warning() { p.failure { (warning) } }
        @if !wrong.is_empty() {
            ul.problems aria-label="Problems" {
                @for remark in &wrong {
                    li.(mood.class()) data-key=(remark.key) { (said(std::slice::from_ref(remark), clock)) }
                }
            }
        }
        @if !besides.is_empty() || !reading.is_empty() {
            ul.remarks aria-label="Remarks" {
                @for remark in besides { li { (said(&[remark], clock)) } }
                @for remark in reading { li { (remark) } }
            }
        }
        @if let Some(session) = visit.session.filter(|_| visit.may_silence) {
            (silence_form(server, session))
        }
        p #shown data-keep {}
        div #charts data-keep data-charts=(charts) data-registered=[&server.stored.registered_at] {}
        p.help {
            "Drag over a chart to zoom in, double-click to zoom out. With the keyboard: arrow keys move the pointer, Shift \
             with them selects, Enter zooms in, Escape zooms out."
        }
        noscript { p { "The charts need JavaScript. " code { "heartbeatctl history" } " draws them in a terminal." } }
        (machine(server))
        (happened(events, fleet, Root(1)))
    })
}

/// What is known of it besides its charts.
fn machine(server: &Server) -> Markup {
    let os = &server.stored.os;
    let parts = [&os.distribution, &os.version, &os.architecture];
    let system: Vec<_> = parts.into_iter().flatten().map(String::as_str).collect();
    let uptime = server.value(UPTIME).filter(|_| !server.verdict.is_old);
    // A number that is too large becomes the largest one.
    let uptime =
        uptime.map(|seconds| TimeDelta::try_seconds(seconds as i64).unwrap_or(TimeDelta::MAX));
    let services = server.stored.reading.as_ref().and_then(|reading| reading.services.as_ref());
    html! {
        dl.machine.old[server.verdict.is_old] {
            @if !server.disks().is_empty() {
                dt { "File systems" }
                @for disk in server.disks() {
                    dd {
                        (bar(disk.percent, server.disk_limit(&disk.mount), server.is_full(disk)))
                        " " span.name { (disk.mount) }
                    }
                }
            }
            @if let Some(services) = services {
                dt { "Services" }
                @for service in &services.not_running {
                    dd {
                        span.high[service.status < ServiceStatus::Unknown] { (service.status.as_str()) }
                        " " span.name { (escape(&service.name)) }
                        @if let Some(reason) = &service.reason { ": " (escape(reason)) }
                    }
                }
                @if services.is_cut { dd { "and others that do not run" } }
                @else if services.not_running.is_empty() { dd { "all run" } }
            }
            @if let Some(group) = &server.stored.group {
                dt { "Group" }
                dd { a href=(Root(1).to(&format!("?group={}", group.as_str()))) { (group.as_str()) } }
            }
            @if !system.is_empty() { dt { "System" } dd { (system.join(" ")) } }
            @if let Some(kernel) = &os.kernel { dt { "Kernel" } dd { (kernel) } }
            @if let Some(version) = &server.stored.agent_version { dt { "Agent" } dd { (escape(version)) } }
            @if let Some(uptime) = uptime { dt { "Up for" } dd { (rounded(uptime)) } }
        }
    }
}

/// Silences the server for a time, or ends that.
fn silence_form(server: &Server, session: &Session) -> Markup {
    let choices: &[_] = match server.stored.silenced_until {
        Some(_) => &[("off", "End the silence")],
        // Quiet times, and a silence of all, end by themselves.
        None => &[("1h", "1 h"), ("8h", "8 h"), ("3d", "3 days")],
    };
    html! {
        form.silence method="post" action={ (server.id()) "/silence" } {
            input type="hidden" name="token" value=(session.token);
            @if choices.len() > 1 { span #silence { "Announce nothing for" } " " }
            @for (time, words) in choices {
                button.quiet name="for" value=(time) aria-describedby=[(choices.len() > 1).then_some("silence")] { (words) } " "
            }
        }
    }
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
            group: None,
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

    const VISIT: Visit = Visit { refresh: 10, session: None, may_silence: false };

    /// A line for each element, without the hashes of files.
    fn lines(page: Markup) -> String {
        let page = page.into_string().replace(&STYLE_FILE.name, "style.css");
        page.replace(&SCRIPT_FILE.name, "app.js").replace("><", ">\n<")
    }

    #[test]
    fn the_fleet_is_shown_with_its_problems_first() {
        let (fleet, events) = example();
        assert_snapshot!(lines(super::fleet(&fleet, &events, "", "", VISIT)));
    }

    #[test]
    fn a_server_is_shown_with_a_place_for_its_charts() {
        let (fleet, events) = example();
        assert_snapshot!(lines(server(&fleet.servers[1], &fleet, &events, VISIT)));
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
        let shown = server(&fleet.servers[0], &fleet, &events, VISIT).into_string();
        assert!(shown.contains("<dd>0.1&lt;b&gt;\\u{202e}</dd>"), "{shown}");
        let said = "service postfix failed: exit &lt;i&gt;1&lt;/i&gt;\\u{a}<span class=\"unseen\"> since</span> ";
        assert!(shown.contains(said), "{shown}");
        assert!(super::fleet(&fleet, &events, "", "", VISIT).into_string().contains(said));
    }

    // C13.13
    #[test]
    fn what_is_not_printable_is_replaced() {
        let (mut fleet, events) = example();
        fleet.servers[1].stored.hostname = Some("db\u{1b}[2J\u{9b}\u{202e}\n".to_owned());
        for page in [
            super::fleet(&fleet, &events, "", "", VISIT),
            fleet_part(&fleet, &events, ""),
            server(&fleet.servers[1], &fleet, &events, VISIT),
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
