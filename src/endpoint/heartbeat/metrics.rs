//! The readings: loops over the table of metrics.

use super::field::{Field, Report, Schema};
use super::json::{Json, Members};
use super::{lenient, number};
use tables::metric::Place;
use tables::{METRICS, Metrics};

impl Field for Metrics {
    const SCHEMA: Schema = Schema::Object("Metrics");

    fn from_json(json: Json<'_>, report: &mut Report) -> Option<Self> {
        let members = report.members(json, names(|place| place != Place::Body))?;
        let mut is_valid = true;
        let metrics = Self::from_fn(|metric| {
            let sent = members.get(metric.name).filter(|json| !json.is_null())?;
            match metric.place {
                Place::Body => None,
                Place::Metrics => lenient::number(sent, metric.rule),
                Place::Seed => {
                    let read = report.member(metric.name, |report| {
                        report.value(sent, |value| number::parse(value, metric.rule))
                    });
                    is_valid &= read.is_some();
                    read
                }
            }
        });
        is_valid.then_some(metrics)
    }
}

/// The names of the metrics in the body itself.
pub fn in_body() -> impl Iterator<Item = &'static str> + Clone {
    names(|place| place == Place::Body)
}

/// Reads the metrics in the body itself.
pub fn read_body(members: &Members<'_>) -> Metrics {
    Metrics::from_fn(|metric| match metric.place {
        Place::Body => lenient::number(members.get(metric.name)?, metric.rule),
        Place::Seed | Place::Metrics => None,
    })
}

fn names(is_in: fn(Place) -> bool) -> impl Iterator<Item = &'static str> + Clone {
    METRICS.iter().filter(move |metric| is_in(metric.place)).map(|metric| metric.name)
}
