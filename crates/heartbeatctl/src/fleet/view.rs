//! The fleet as a table of text, as wide as the terminal.

use super::server::{OVERLOADED, Server, Status};
use crate::terminal::printable;
use crate::time;
use chrono::{DateTime, TimeDelta, Utc};
use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, Cell, CellAlignment, Color, ColumnConstraint, Row, Table, Width};
use tables::server::Memory;
use tables::time::parse;

/// Usage from which a value is shown in yellow, percent.
const ELEVATED: f64 = 75.0;

/// Time without a sweep from which the watchdog is late: it sweeps every minute.
const LATE_SWEEP: TimeDelta = TimeDelta::minutes(3);

/// Placeholder for an unknown value.
const UNKNOWN: &str = "–";

/// The rows above the first server: the summary, an empty one and the header.
pub const HEADER_ROWS: usize = 3;

/// Renders the fleet as a table `columns` wide.
pub fn paint(
    servers: &[Server],
    memory: Option<&Memory>,
    now: DateTime<Utc>,
    columns: usize,
    colours: bool,
) -> String {
    let layout = Layout::of(servers, now, columns);
    let mut table = Table::new();
    table.load_style(NOTHING);
    if colours {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    table.set_header(layout.header());
    table.add_rows(servers.iter().map(|server| layout.row(server, now)));
    for (column, width) in table.column_iter_mut().zip(layout.widths()) {
        column.set_padding((0, 1));
        column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(width as u16 + 1)));
    }
    for right in [LOAD, UPTIME] {
        if let Some(column) = table.column_mut(right) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    format!(
        "{}\n\n{}{}",
        summary(servers),
        table.trim_fmt(),
        notes(servers, memory, now)
    )
}

/// One line for each thing that a person has to know besides: a watchdog that is late, and servers that are silenced, that
/// are about to be announced as back, whose metrics are high, or whose clock is wrong.
fn notes(servers: &[Server], memory: Option<&Memory>, now: DateTime<Utc>) -> String {
    let late = late_sweep(memory, now).map(|late| format!("\n{late}"));
    let high = servers.iter().flat_map(|server| {
        server.high.iter().map(|high| {
            let since =
                parse(&high.since).map_or_else(String::new, |at| format!(" since {}", minute(at)));
            let server_id = printable(&server.server_id);
            format!(
                "\n{server_id}: {} is high{since}, limit {}",
                high.metric, high.limit
            )
        })
    });
    let returned = servers.iter().filter_map(|server| {
        let since = minute(server.returned_at?);
        let server_id = printable(&server.server_id);
        Some(format!(
            "\n{server_id}: back since {since}, not announced yet"
        ))
    });
    let silenced = servers.iter().filter_map(|server| {
        let until = minute(server.silenced_until?);
        let server_id = printable(&server.server_id);
        Some(format!("\n{server_id} is silenced until {until}"))
    });
    let wrong_clocks = servers.iter().filter_map(|server| {
        let error = server.clock_error_seconds?;
        let direction = if error > 0 { "ahead" } else { "behind" };
        let error = time::rounded(TimeDelta::seconds(error));
        let server_id = printable(&server.server_id);
        Some(format!("\n{server_id}: clock {error} {direction}"))
    });
    let lines: String = (late.into_iter())
        .chain(high)
        .chain(returned)
        .chain(silenced)
        .chain(wrong_clocks)
        .collect();
    if lines.is_empty() {
        lines
    } else {
        format!("\n{lines}")
    }
}

/// Says that the watchdog is late.
pub fn late_sweep(memory: Option<&Memory>, now: DateTime<Utc>) -> Option<String> {
    let at = memory?.swept_at.filter(|at| now - *at > LATE_SWEEP)?;
    let (ago, at) = (time::rounded(now - at), minute(at));
    Some(format!("The watchdog's last sweep was {ago} ago, at {at}"))
}

pub fn minute(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M UTC").to_string()
}

fn summary(servers: &[Server]) -> String {
    let offline = servers
        .iter()
        .filter(|server| server.status == Status::Offline)
        .count();
    let silenced = servers
        .iter()
        .filter(|server| server.silenced_until.is_some())
        .count();
    let plural = if servers.len() == 1 { "" } else { "s" };
    let summary = format!("{} server{plural}, {offline} offline", servers.len());
    match silenced {
        0 => summary,
        _ => format!("{summary}, {silenced} silenced"),
    }
}

/// Suffix of a time, if the column is wide enough.
const AGO: &str = " ago";

/// Indexes of the right-aligned columns.
const LOAD: usize = 7;
const UPTIME: usize = 8;

/// The width of each column, without the gap after it.
struct Layout {
    name: usize,
    seen: usize,
    os: usize,
    full_os: bool,
    ago: &'static str,
    bar: usize,
    load: usize,
    uptime: usize,
    sparkline: usize,
}

impl Layout {
    /// Starts with widths that fit 80 columns and distributes the remaining space, most informative column first.
    fn of(servers: &[Server], now: DateTime<Utc>, columns: usize) -> Self {
        let longest = |least: usize, text: &dyn Fn(&Server) -> String| {
            servers
                .iter()
                .map(|server| text(server).chars().count())
                .fold(least, usize::max)
        };
        let name = longest(6, &|server| server.server_id.clone());
        let full_seen = longest(4, &|server| seen(server, now, AGO));
        let short_os = longest(2, &|server| os(server, false));
        let full_os = longest(2, &|server| os(server, true));
        let mut layout = Self {
            name: 10,
            seen: longest(4, &|server| seen(server, now, "")),
            os: 6,
            full_os: false,
            ago: "",
            bar: 3,
            load: longest(4, &load),
            uptime: longest(2, &uptime),
            sparkline: 6,
        };
        let taken: usize = layout.widths().iter().map(|width| width + 1).sum();
        let mut spare = columns.saturating_sub(taken - 1);
        let mut grow = |width: &mut usize, wish: usize, columns: usize| {
            let more = wish.saturating_sub(*width).min(spare / columns);
            *width += more;
            spare -= more * columns;
        };
        grow(&mut layout.os, short_os.min(10), 1);
        grow(&mut layout.name, name.min(16), 1);
        grow(&mut layout.os, short_os, 1);
        grow(&mut layout.name, name.min(24), 1);
        grow(&mut layout.sparkline, 12, 1);
        grow(&mut layout.seen, full_seen, 1);
        grow(&mut layout.bar, 8, 3);
        grow(&mut layout.sparkline, 30, 1);
        grow(&mut layout.name, name, 1);
        grow(&mut layout.os, full_os, 1);
        grow(&mut layout.bar, 12, 3);
        grow(&mut layout.sparkline, 60, 1);
        layout.ago = if layout.seen >= full_seen { AGO } else { "" };
        layout.full_os = layout.os >= full_os;
        layout
    }

    fn widths(&self) -> [usize; 10] {
        let share = self.bar + " 100".len();
        [
            self.name,
            "offline".len(),
            self.seen,
            self.os,
            share,
            share,
            share,
            self.load,
            self.uptime,
            self.sparkline,
        ]
    }

    fn header(&self) -> Row {
        let titles = [
            "SERVER", "STATUS", "SEEN", "OS", "CPU %", "MEM %", "DISK %", "LOAD", "UP", "CPU 1H",
        ];
        line(titles.map(|title| Cell::new(title).add_attribute(Attribute::Bold)))
    }

    fn row(&self, server: &Server, now: DateTime<Utc>) -> Row {
        let online = server.status == Status::Online;
        let (status, colour) = if online {
            ("online", Color::Green)
        } else {
            ("offline", Color::Red)
        };
        let cells = [
            Cell::new(printable(&server.server_id)).add_attribute(Attribute::Bold),
            Cell::new(status).fg(colour),
            Cell::new(seen(server, now, self.ago)),
            Cell::new(os(server, self.full_os)),
            self.share(server, "cpu_percent", server.cpu_percent),
            self.share(server, "memory_percent", server.memory_percent),
            self.share(server, "disk_percent", server.disk_percent),
            Cell::new(load(server)),
            Cell::new(uptime(server)),
            Cell::new(sparkline(&server.cpu_percent_by_minute, self.sparkline)).fg(Color::Cyan),
        ];
        // The metrics of an offline server are out of date.
        line(cells.map(|cell| {
            if online {
                cell
            } else {
                cell.add_attribute(Attribute::Dim)
            }
        }))
    }

    /// A share of a whole, as a bar and a number.
    fn share(&self, server: &Server, metric: &str, percent: Option<f64>) -> Cell {
        let Some(percent) = percent else {
            return Cell::new(format!("{:width$} {UNKNOWN:>3}", "", width = self.bar));
        };
        let colour = match percent {
            _ if server.high.iter().any(|high| high.metric == metric) => Color::Red,
            _ if percent >= OVERLOADED => Color::Red,
            _ if percent >= ELEVATED => Color::Yellow,
            _ => Color::Green,
        };
        Cell::new(format!("{} {percent:>3.0}", bar(percent, self.bar))).fg(colour)
    }
}

/// A row that never wraps: long values are cut off with an ellipsis.
fn line(cells: [Cell; 10]) -> Row {
    let mut row = Row::from(cells);
    row.max_height(1);
    row
}

/// How long ago the server was last seen, with or without " ago".
fn seen(server: &Server, now: DateTime<Utc>, ago: &str) -> String {
    server.last_seen.map_or("never".into(), |time| {
        format!("{}{ago}", words((now - time).max(TimeDelta::zero())))
    })
}

/// The distribution and its version, or the first word of each.
fn os(server: &Server, full: bool) -> String {
    let parts = [&server.os_distribution, &server.os_version]
        .into_iter()
        .flatten();
    let parts = parts.filter_map(|part| {
        if full {
            Some(part.as_str())
        } else {
            part.split(' ').next()
        }
    });
    let parts: Vec<_> = parts.filter(|part| !part.is_empty()).collect();
    if parts.is_empty() {
        UNKNOWN.into()
    } else {
        printable(&parts.join(" "))
    }
}

/// The load in at most five characters.
fn load(server: &Server) -> String {
    match server.load_1m {
        None => UNKNOWN.into(),
        Some(load) if load < 99.995 => format!("{load:.2}"),
        Some(load) if load < 9999.5 => format!("{load:.0}"),
        Some(_) => ">9999".into(),
    }
}

fn uptime(server: &Server) -> String {
    // A number that is too large becomes the largest one.
    let uptime = server.uptime_seconds.map(|seconds| seconds as i64);
    uptime.map_or(UNKNOWN.into(), |seconds| {
        words(TimeDelta::try_seconds(seconds).unwrap_or(TimeDelta::MAX))
    })
}

/// A duration by its largest unit, in at most eight characters.
fn words(duration: TimeDelta) -> String {
    if duration >= TimeDelta::days(36_525) {
        return ">99years".into();
    }
    time::words(duration)
}

/// A bar `width` columns long, filled in steps of half a column.
fn bar(percent: f64, width: usize) -> String {
    let halves = (percent.clamp(0.0, 100.0) / 100.0 * width as f64 * 2.0).round() as usize;
    let half = if halves % 2 == 1 { "╸" } else { "" };
    let bar = format!("{}{half}", "━".repeat(halves / 2));
    format!("{bar:─<width$}")
}

/// `width` columns for the whole period; each shows the peak of its minutes.
fn sparkline(percents: &[Option<f64>], width: usize) -> String {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let peak = |column: usize| {
        let minutes = column * percents.len() / width..(column + 1) * percents.len() / width;
        percents[minutes].iter().copied().flatten().reduce(f64::max)
    };
    let level = |percent: f64| LEVELS[((percent / 100.0 * 8.0) as usize).min(7)];
    (0..width)
        .map(|column| peak(column).map_or(' ', level))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_match_the_percentage() {
        for (percent, expected) in [
            (0.0, "────"),
            (12.5, "╸───"),
            (50.0, "━━──"),
            (99.0, "━━━━"),
            (250.0, "━━━━"),
        ] {
            assert_eq!(bar(percent, 4), expected, "{percent}");
        }
    }

    #[test]
    fn sparklines_show_peaks_and_gaps() {
        let minutes = [Some(0.0), Some(100.0), None, None, Some(50.0), None];
        assert_eq!(sparkline(&minutes, 6), "▁█  ▅ ");
        assert_eq!(sparkline(&minutes, 3), "█ ▅");
    }

    fn fleet() -> ([Server; 2], DateTime<Utc>) {
        let now: DateTime<Utc> = "2026-01-18T10:30:00Z".parse().expect("a time");
        let online = Server {
            server_id: "a-name-that-is-longer-than-a-narrow-column".into(),
            status: Status::Online,
            last_seen: "2026-01-18T10:29:18Z".parse().ok(),
            os_distribution: Some("Debian GNU/Linux".into()),
            os_version: Some("12 (bookworm)".into()),
            cpu_percent: Some(100.0),
            memory_percent: Some(67.2),
            disk_percent: Some(9.9),
            load_1m: Some(12.3),
            uptime_seconds: Some(1_100_000.0),
            cpu_percent_by_minute: vec![Some(99.0); 60],
            ..Server::default()
        };
        let offline = Server {
            server_id: "nas".into(),
            cpu_percent_by_minute: vec![None; 60],
            ..Server::default()
        };
        ([offline, online], now)
    }

    #[test]
    fn a_fleet_fits_eighty_columns() {
        let (servers, now) = fleet();
        let expected = "\
2 servers, 1 offline

SERVER       STATUS  SEEN  OS        CPU %   MEM %   DISK %   LOAD     UP CPU 1H
nas          offline never –               –       –       –     –      –
a-name-that… online  42s   Debian 12 ━━━ 100 ━━─  67 ╸──  10 12.30 12days ██████";
        assert_eq!(paint(&servers, None, now, 80, false), expected);
    }

    #[test]
    fn extreme_values_do_not_widen_the_table() {
        let (servers, now) = fleet();
        let mut servers = servers.map(|server| Server {
            os_distribution: Some("Debian".into()),
            last_seen: "0001-01-01T00:00:00Z".parse().ok(),
            load_1m: Some(9.9e125),
            uptime_seconds: Some(u64::MAX as f64),
            ..server
        });
        servers[1].last_seen = "2025-02-01T00:00:00Z".parse().ok();
        let painted = paint(&servers, None, now, 80, false);
        let rows: Vec<_> = painted.lines().skip(3).collect();
        assert_eq!(rows.len(), 2, "{painted}");
        for (row, seen) in rows.iter().zip([">99years", "11months"]) {
            assert!(row.chars().count() <= 80, "{painted}");
            for value in [seen, ">9999", ">99years"] {
                assert!(row.contains(value), "{value}: {painted}");
            }
        }
    }

    #[test]
    fn loads_and_uptimes_are_short() {
        for (value, expected) in [
            (Some(0.0), "0.00"),
            (Some(99.99), "99.99"),
            (Some(99.996), "100"),
            (Some(9999.4), "9999"),
            (Some(9999.6), ">9999"),
            (None, UNKNOWN),
        ] {
            let server = Server {
                load_1m: value,
                ..Server::default()
            };
            assert_eq!(load(&server), expected, "{value:?}");
        }
        for (value, expected) in [
            (Some(59.9), "59s"),
            (Some(364.0 * 86_400.0), "11months"),
            (Some(99.9 * 31_557_600.0), "99years"),
            (Some(100.0 * 31_557_600.0), ">99years"),
            (Some(1e300), ">99years"),
            (None, UNKNOWN),
        ] {
            let server = Server {
                uptime_seconds: value,
                ..Server::default()
            };
            assert_eq!(uptime(&server), expected, "{value:?}");
        }
    }

    #[test]
    fn silenced_servers_are_counted_and_listed_below_the_table() {
        let (mut servers, now) = fleet();
        servers[0].silenced_until = "2026-01-18T12:00:00Z".parse().ok();
        let painted = paint(&servers, None, now, 80, false);
        assert!(
            painted.starts_with("2 servers, 1 offline, 1 silenced\n"),
            "{painted}"
        );
        assert!(
            painted.ends_with("\n\nnas is silenced until 2026-01-18 12:00 UTC"),
            "{painted}"
        );
    }

    #[test]
    fn wide_terminals_show_full_names() {
        let (servers, now) = fleet();
        let painted = paint(&servers, None, now, 200, false);
        let widest = painted
            .lines()
            .map(|line| line.chars().count())
            .max()
            .expect("a line");
        assert_eq!(widest, 200);
        assert!(
            painted.contains("a-name-that-is-longer-than-a-narrow-column"),
            "{painted}"
        );
        assert!(
            painted.contains("Debian GNU/Linux 12 (bookworm)"),
            "{painted}"
        );
    }

    #[test]
    fn control_characters_are_replaced() {
        let (mut servers, now) = fleet();
        servers[1].os_distribution = Some("\u{1b}[2J\n".into());
        let painted = paint(&servers, None, now, 200, false);
        assert!(painted.contains("\u{fffd}[2J\u{fffd}"), "{painted}");
    }

    #[test]
    fn output_is_plain_without_colours() {
        let (servers, now) = fleet();
        assert!(paint(&servers, None, now, 80, true).contains('\u{1b}'));
        assert!(!paint(&servers, None, now, 80, false).contains('\u{1b}'));
    }
}
