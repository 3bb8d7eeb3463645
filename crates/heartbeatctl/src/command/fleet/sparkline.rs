//! The CPU usage of a server's last hour, in one line.

use aws_sdk_dynamodb::Client;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt, TryStreamExt, stream};
use page::explain_in;
use page::fleet::{CPU, Server};
use page::history::TOLERANCE;
use tables::row::Row;
use tables::{Item, Metrics, Number};

/// Maximum number of concurrent queries.
const CONCURRENCY: usize = 16;

/// How far back a sparkline goes.
const HISTORY: TimeDelta = TimeDelta::hours(1);

/// Rows of metrics that are read per server, so that a server that sends too often does not make a view expensive.
const MAX_ROWS: i32 = 500;

/// The highest reading of each minute, oldest first; `None` for a minute without a reading.
pub struct Sparkline(pub Vec<Option<f64>>);

impl Sparkline {
    /// Reads those of some servers from the metrics table, one query for each.
    ///
    /// # Errors
    /// If one cannot be read.
    pub async fn read_all(
        client: &Client,
        table: &str,
        servers: &[Server],
        now: DateTime<Utc>,
    ) -> anyhow::Result<Vec<Self>> {
        stream::iter(servers)
            .map(|server| Self::query(client, table, server, now))
            .buffered(CONCURRENCY)
            .try_collect()
            .await
    }

    /// Reads what a server has measured, by its own clock: the newest rows.
    async fn query(
        client: &Client,
        table: &str,
        server: &Server,
        now: DateTime<Utc>,
    ) -> anyhow::Result<Self> {
        let query = client.query().table_name(table);
        let period = [now - HISTORY, now + TOLERANCE];
        let page = Row::select(query, server.id(), period, &[CPU.name])
            .scan_index_forward(false)
            .limit(MAX_ROWS)
            .send()
            .await
            .map_err(explain_in(table))?;
        Ok(Self::of(page.items(), now - HISTORY))
    }

    fn of(rows: &[Item], since: DateTime<Utc>) -> Self {
        let mut minutes = vec![None; HISTORY.num_minutes() as usize];
        for row in rows {
            let time = Row::recorded_at(row);
            let minute = time.and_then(|time| usize::try_from((time - since).num_minutes()).ok());
            if let Some(peak) = minute.and_then(|minute| minutes.get_mut(minute)) {
                let reading = Metrics::from_item(row).value(CPU).map(Number::as_f64);
                *peak = (*peak).into_iter().chain(reading).reduce(f64::max);
            }
        }
        Self(minutes)
    }

    /// `width` columns for the whole period; each shows the peak of its minutes.
    pub fn draw(&self, width: usize) -> String {
        const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let Self(minutes) = self;
        let peak = |column: usize| {
            let range = column * minutes.len() / width..(column + 1) * minutes.len() / width;
            minutes[range].iter().copied().flatten().reduce(f64::max)
        };
        let level = |percent: f64| LEVELS[((percent / 100.0 * 8.0) as usize).min(7)];
        (0..width).map(|column| peak(column).map_or(' ', level)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparklines_show_peaks_and_gaps() {
        let minutes = [Some(0.0), Some(100.0), None, None, Some(50.0), None];
        let sparkline = Sparkline(minutes.to_vec());
        assert_eq!(sparkline.draw(6), "▁█  ▅ ");
        assert_eq!(sparkline.draw(3), "█ ▅");
    }
}
