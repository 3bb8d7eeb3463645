//! The fleet as a table of text, as wide as the terminal.

use super::sparkline::Sparkline;
use crate::terminal::{USUAL_COLUMNS, cut, printable};
use announcement::words::{percent, round};
use chrono::{DateTime, TimeDelta, Utc};
use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, Cell, CellAlignment, Color, ColumnConstraint, Row, Table, Width};
use page::fleet::{CPU, DISK, Fleet, LOAD, MEMORY, Server, Standing, UPTIME};
use std::iter::repeat;
use syntax::duration::rounded;
use tables::Metric;

/// Usage from which a value is shown in yellow, percent.
const ELEVATED: f64 = 75.0;

/// Placeholder for an unknown value.
const UNKNOWN: &str = "–";

/// The rows above the first server: the summary, a warning or an empty one, and the header.
pub const HEADER_ROWS: usize = 3;

/// Renders the fleet as a table `columns` wide, or so that nothing is cut. Sparklines are those of the first servers.
pub fn paint(
    fleet: &Fleet,
    sparklines: &[Sparkline],
    columns: Option<usize>,
    colours: bool,
) -> String {
    let layout = Layout::of(fleet, columns);
    let mut table = Table::new();
    table.load_style(NOTHING);
    if colours {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    table.set_header(layout.header());
    let sparklines = sparklines.iter().map(Some).chain(repeat(None));
    for (server, sparkline) in fleet.servers.iter().zip(sparklines) {
        table.add_row(layout.row(server, sparkline, fleet.at));
    }
    let hidden = layout.hidden(columns);
    let widths = layout.widths();
    let last = (0..widths.len()).rfind(|index| !hidden.contains(index));
    for (index, (column, width)) in table.column_iter_mut().zip(widths).enumerate() {
        // What follows the last column would be a part of its colour, and not be trimmed.
        let gap = u16::from(Some(index) != last);
        column.set_padding((0, gap));
        column.set_constraint(if hidden.contains(&index) {
            ColumnConstraint::Hidden
        } else {
            ColumnConstraint::Absolute(Width::Fixed(width as u16 + gap))
        });
    }
    for right in [LOAD_COLUMN, UPTIME_COLUMN] {
        if let Some(column) = table.column_mut(right) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let warning = fleet.warning().unwrap_or_default();
    let head = [fleet.summary.to_string(), warning].map(|line| cut(&line, columns));
    let notes = fleet.silence().into_iter().chain(fleet.servers.iter().flat_map(notes));
    let notes: Vec<_> = notes.map(|note| cut(&note, columns)).collect();
    let space = (!notes.is_empty()).then(String::new);
    let lines: Vec<_> =
        (head.into_iter().chain([table.trim_fmt()])).chain(space).chain(notes).collect();
    lines.join("\n")
}

/// One line for each remark on a server.
fn notes(server: &Server) -> impl Iterator<Item = String> {
    let remarks = server.remarks().into_iter();
    remarks.map(|remark| format!("{}: {}", server.id(), printable(&remark)))
}

/// Suffix of a time, if the column is wide enough.
const AGO: &str = " ago";

/// Indexes of the right-aligned columns.
const LOAD_COLUMN: usize = 7;
const UPTIME_COLUMN: usize = 8;

/// The indexes of the columns that a narrow terminal has no room for, the least informative first.
const DISPENSABLE: [usize; 8] = [9, 8, 7, 3, 4, 5, 6, 2];

/// The width of each column, without the gap after it.
struct Layout {
    name: usize,
    standing: usize,
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
    fn of(fleet: &Fleet, columns: Option<usize>) -> Self {
        let now = fleet.at;
        let longest = |least: usize, text: &dyn Fn(&Server) -> String| {
            fleet.servers.iter().map(|server| text(server).chars().count()).fold(least, usize::max)
        };
        let name = longest(6, &|server| server.id().to_owned());
        let full_seen = longest(4, &|server| seen(server, now, AGO));
        let short_os = longest(2, &|server| os(server, false));
        let full_os = longest(2, &|server| os(server, true));
        let mut layout = Self {
            name: 10,
            standing: longest(6, &|server| server.standing().as_str().to_owned()),
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
        let mut spare = columns.unwrap_or(USUAL_COLUMNS).saturating_sub(taken - 1);
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
        if columns.is_none() {
            layout.name = name;
            layout.os = full_os;
        }
        layout.ago = if layout.seen >= full_seen { AGO } else { "" };
        layout.full_os = layout.os >= full_os;
        layout
    }

    fn widths(&self) -> [usize; 10] {
        let share = self.bar + " 100".len();
        [
            self.name,
            self.standing,
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

    /// The indexes of the columns that are left out, so that no line is longer than the terminal is wide.
    fn hidden(&self, columns: Option<usize>) -> &'static [usize] {
        let widths = self.widths();
        let all: usize = widths.iter().map(|width| width + 1).sum();
        let mut left = all - 1;
        let mut count = 0;
        while count < DISPENSABLE.len() && columns.is_some_and(|columns| left > columns) {
            left -= widths[DISPENSABLE[count]] + 1;
            count += 1;
        }
        &DISPENSABLE[..count]
    }

    fn header(&self) -> Row {
        let titles =
            ["SERVER", "STATUS", "SEEN", "OS", "CPU %", "MEM %", "DISK %", "LOAD", "UP", "CPU 1H"];
        line(titles.map(|title| Cell::new(title).add_attribute(Attribute::Bold)))
    }

    fn row(&self, server: &Server, sparkline: Option<&Sparkline>, now: DateTime<Utc>) -> Row {
        let colour = match server.standing() {
            Standing::Offline | Standing::Late | Standing::Problem => Color::Red,
            Standing::Returning | Standing::Unknown | Standing::Silenced => Color::Yellow,
            Standing::Well => Color::Green,
            Standing::Gone => Color::DarkGrey,
        };
        let last_hour = sparkline.map_or_else(String::new, |line| line.draw(self.sparkline));
        let cells = [
            Cell::new(printable(server.id())).add_attribute(Attribute::Bold),
            Cell::new(server.standing().as_str()).fg(colour),
            Cell::new(seen(server, now, self.ago)),
            Cell::new(os(server, self.full_os)),
            self.share(server, CPU),
            self.share(server, MEMORY),
            self.share(server, DISK),
            Cell::new(load(server)),
            Cell::new(uptime(server)),
            Cell::new(last_hour).fg(Color::Cyan),
        ];
        // What is old is not shown as the present.
        let shade = |cell: Cell| match server.verdict.is_old {
            true => cell.add_attribute(Attribute::Dim),
            false => cell,
        };
        line(cells.map(shade))
    }

    /// A share of a whole, as a bar and a number.
    fn share(&self, server: &Server, metric: &Metric) -> Cell {
        let Some(value) = server.value(metric) else {
            return Cell::new(format!("{:width$} {UNKNOWN:>3}", "", width = self.bar));
        };
        let colour = match value {
            _ if server.is_high(metric) => Color::Red,
            _ if value >= ELEVATED => Color::Yellow,
            _ => Color::Green,
        };
        let number = percent(value, server.limit(metric));
        // A number with a decimal takes its room from the bar.
        let width = (self.bar + 3).saturating_sub(number.len()).min(self.bar);
        Cell::new(format!("{} {number:>3}", bar(value, width))).fg(colour)
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
    server.last_seen().map_or("never".into(), |time| {
        format!("{}{ago}", short((now - time).max(TimeDelta::zero())))
    })
}

/// The distribution and its version, or the first word of each.
fn os(server: &Server, full: bool) -> String {
    let os = &server.stored.os;
    let parts: Vec<_> = [&os.distribution, &os.version]
        .into_iter()
        .flatten()
        .filter_map(|part| match full {
            true => Some(part.as_str()),
            false => part.split(' ').next(),
        })
        .filter(|part| !part.is_empty())
        .collect();
    if parts.is_empty() { UNKNOWN.into() } else { printable(&parts.join(" ")) }
}

/// The load in at most five characters.
fn load(server: &Server) -> String {
    match server.value(LOAD) {
        None => UNKNOWN.into(),
        Some(load) if load < 100.0 => format!("{:.2}", round(load, 2, server.limit(LOAD))),
        Some(load) if load < 9999.5 => format!("{load:.0}"),
        Some(_) => ">9999".into(),
    }
}

fn uptime(server: &Server) -> String {
    server.value(UPTIME).map_or(UNKNOWN.into(), |seconds| {
        // A number that is too large becomes the largest one.
        let seconds = seconds as i64;
        short(TimeDelta::try_seconds(seconds).unwrap_or(TimeDelta::MAX))
    })
}

/// An age in at most seven characters.
fn short(duration: TimeDelta) -> String {
    if duration < TimeDelta::days(10_000) { rounded(duration) } else { ">9999 d".to_owned() }
}

/// A bar `width` columns long, filled in steps of half a column.
fn bar(percent: f64, width: usize) -> String {
    let halves = (percent.clamp(0.0, 100.0) / 100.0 * width as f64 * 2.0).round() as usize;
    let half = if halves % 2 == 1 { "╸" } else { "" };
    let bar = format!("{}{half}", "━".repeat(halves / 2));
    format!("{bar:─<width$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tables::server::{Memory, Os, Reading, Rules, Server as StoredServer, Status};
    use tables::time::Stored;
    use tables::{Metrics, Number};

    #[test]
    fn bars_match_the_percentage() {
        for (percent, expected) in
            [(0.0, "────"), (12.5, "╸───"), (50.0, "━━──"), (99.0, "━━━━"), (250.0, "━━━━")]
        {
            assert_eq!(bar(percent, 4), expected, "{percent}");
        }
    }

    const NOW: &str = "2026-01-18T10:30:00Z";

    /// A server that is online, but for its last reading.
    fn online() -> StoredServer {
        StoredServer {
            server_id: "a-name-that-is-longer-than-a-narrow-column".into(),
            status: Some(Status::Online),
            last_seen: Stored::parse("2026-01-18T10:29:18Z".into()),
            os: Os {
                distribution: Some("Debian GNU/Linux".into()),
                version: Some("12 (bookworm)".into()),
                ..Os::default()
            },
            ..StoredServer::default()
        }
    }

    fn reading(values: &[(&'static Metric, f64)]) -> Option<Reading> {
        let value = |metric: &Metric| values.iter().find(|(known, _)| *known == metric);
        Some(Reading {
            metrics: Metrics::from_fn(|metric| Some(Number::Float(value(metric)?.1))),
            received_at: "2026-01-18T10:29:18Z".parse().ok(),
            ..Reading::default()
        })
    }

    const BUSY: [(&Metric, f64); 5] =
        [(CPU, 100.0), (MEMORY, 67.2), (DISK, 9.9), (LOAD, 12.3), (UPTIME, 1_100_000.0)];

    /// One that is busy, and one of which nothing is known.
    fn servers() -> [StoredServer; 2] {
        let busy = StoredServer { reading: reading(&BUSY), ..online() };
        let unknown = StoredServer { server_id: "nas".into(), ..StoredServer::default() };
        [busy, unknown]
    }

    fn fleet(servers: impl Into<Vec<StoredServer>>) -> Fleet {
        let now = NOW.parse().expect("a time");
        let watchdog =
            Memory { swept_at: Some(now), rules: Some(Rules::default()), ..Memory::default() };
        Fleet::new(servers.into(), Some(&watchdog), now)
    }

    fn sparklines() -> [Sparkline; 2] {
        [vec![None; 60], vec![Some(99.0); 60]].map(Sparkline)
    }

    fn without_colours(text: &str) -> String {
        let parts = text.split('\u{1b}').enumerate();
        let parts = parts.map(|(place, part)| match part.split_once('m') {
            Some((_, rest)) if place > 0 => rest,
            _ => part,
        });
        parts.collect()
    }

    fn painted(servers: impl Into<Vec<StoredServer>>, columns: usize) -> String {
        paint(&fleet(servers), &sparklines(), Some(columns), false)
    }

    #[test]
    fn a_fleet_fits_eighty_columns() {
        let expected = "\
1 of 2 are well: 1 unknown

SERVER         STATUS  SEEN  OS        CPU %   MEM %   DISK %   LOAD   UP CPU 1H
nas            unknown never –               –       –       –     –    –
a-name-that-i… well    42 s  Debian 12 ━━━ 100 ━━─  67 ╸──  10 12.30 13 d ██████

nas: unknown: no status
nas: unknown: no fresh reading";
        assert_eq!(painted(servers(), 80), expected);
    }

    #[test]
    fn extreme_values_do_not_widen_the_table() {
        let extreme = |name: &str, last_seen: &str| StoredServer {
            server_id: name.to_owned(),
            last_seen: Stored::parse(last_seen.into()),
            reading: reading(&[(LOAD, 9.9e125), (UPTIME, u64::MAX as f64)]),
            ..online()
        };
        let painted = painted(
            [extreme("first", "0001-01-01T00:00:00Z"), extreme("second", "2025-02-01T00:00:00Z")],
            80,
        );
        let rows: Vec<_> = painted.lines().skip(HEADER_ROWS).take(2).collect();
        assert_eq!(rows.len(), 2, "{painted}");
        for (row, seen) in rows.iter().zip(["351 d", ">9999 d"]) {
            assert!(row.chars().count() <= 80, "{painted}");
            for value in [seen, ">9999", ">9999 d"] {
                assert!(row.contains(value), "{value}: {painted}");
            }
        }
    }

    #[test]
    fn loads_and_uptimes_are_short() {
        let shown = |metric, value: Option<f64>, show: &dyn Fn(&Server) -> String| {
            let reading = value.and_then(|value| reading(&[(metric, value)]));
            let server = StoredServer { reading, ..online() };
            show(&fleet([server]).servers[0])
        };
        for (value, expected) in [
            (Some(0.0), "0.00"),
            (Some(99.99), "99.99"),
            (Some(99.996), "99.90"),
            (Some(100.4), "100"),
            (Some(9999.4), "9999"),
            (Some(9999.6), ">9999"),
            (None, UNKNOWN),
        ] {
            assert_eq!(shown(LOAD, value, &load), expected, "{value:?}");
        }
        for (value, expected) in [
            (Some(59.9), "59 s"),
            (Some(364.0 * 86_400.0), "364 d"),
            (Some(9_999.4 * 86_400.0), "9999 d"),
            (Some(1e4 * 86_400.0), ">9999 d"),
            (Some(1e300), ">9999 d"),
            (None, UNKNOWN),
        ] {
            assert_eq!(shown(UPTIME, value, &uptime), expected, "{value:?}");
        }
    }

    #[test]
    fn silenced_servers_are_counted_and_listed_below_the_table() {
        let mut servers = servers();
        servers[1].silenced_until = "2026-01-18T12:00:00Z".parse().ok();
        let painted = painted(servers, 80);
        assert!(painted.starts_with("1 of 2 are well: 1 silenced\n"), "{painted}");
        assert!(painted.contains("\n\nnas: silenced until 12:00 UTC\n"), "{painted}");
    }

    #[test]
    fn wide_terminals_show_full_names() {
        let painted = painted(servers(), 200);
        let widths = painted.lines().map(|line| line.chars().count());
        assert_eq!(widths.max(), Some(200));
        assert!(painted.contains("a-name-that-is-longer-than-a-narrow-column"), "{painted}");
        assert!(painted.contains("Debian GNU/Linux 12 (bookworm)"), "{painted}");
    }

    // C13.12
    #[test]
    fn no_line_is_longer_than_a_narrow_terminal_is_wide() {
        let mut servers = servers();
        servers[1].silenced_until = "2026-01-18T12:00:00Z".parse().ok();
        for columns in 20..=240 {
            let coloured = paint(&fleet(servers.clone()), &sparklines(), Some(columns), true);
            let painted = without_colours(&coloured);
            let widest = painted.lines().map(|line| line.chars().count()).max();
            assert!(widest <= Some(columns), "{columns}: {painted}");
            let nas = painted.lines().find(|line| line.starts_with("nas "));
            let words: Vec<_> = nas.into_iter().flat_map(str::split_whitespace).collect();
            assert_eq!(words[..2], ["nas", "silenced"], "{painted}");
        }
    }

    // C13.12
    #[test]
    fn nothing_is_cut_without_a_terminal() {
        let painted = paint(&fleet(servers()), &[], None, false);
        assert!(painted.contains("a-name-that-is-longer-than-a-narrow-column well"), "{painted}");
        assert!(painted.contains("Debian GNU/Linux 12 (bookworm)"), "{painted}");
    }

    #[test]
    fn control_characters_are_replaced() {
        let mut servers = servers();
        servers[0].os.distribution = Some("\u{1b}[2J\n".into());
        let painted = painted(servers, 200);
        assert!(painted.contains("\u{fffd}[2J\u{fffd}"), "{painted}");
    }

    #[test]
    fn output_is_plain_without_colours() {
        let fleet = fleet(servers());
        assert!(paint(&fleet, &[], Some(80), true).contains('\u{1b}'));
        assert!(!paint(&fleet, &[], Some(80), false).contains('\u{1b}'));
    }
}
