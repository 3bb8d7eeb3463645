//! The table of metrics. Parsing, validation, the stored items and the API's schema are loops over it, and so are the
//! columns, charts, limits and names that are derived from it.

use crate::Number::{self, Float, Whole};

/// One metric.
#[derive(Debug, PartialEq)]
pub struct Metric {
    /// Its name in a heartbeat, and the name of its attribute.
    pub name: &'static str,
    pub place: Place,
    pub rule: Rule,
    pub unit: Unit,
    /// Whether it counts up from the machine's start, so that only its rate says something.
    pub is_counter: bool,
    pub description: &'static str,
    pub example: Number,
    pub view: View,
}

/// How people see a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// In a chart that every server has, and wherever a server is shown in brief.
    Usual(Chart),
    /// In a chart that every server has.
    Further(Chart),
    /// In words.
    Words,
    /// In a chart of its own, if it is sent.
    Own,
}

/// The charts that every server has, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chart {
    Cpu,
    Load,
    Memory,
    Disk,
    Network,
}

impl Chart {
    pub const ALL: [Self; 5] = [Self::Cpu, Self::Load, Self::Memory, Self::Disk, Self::Network];

    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Cpu => "CPU",
            Self::Load => "Load",
            Self::Memory => "Memory",
            Self::Disk => "Disk",
            Self::Network => "Network",
        }
    }

    /// The metrics in it.
    pub fn metrics(self) -> impl Iterator<Item = &'static Metric> {
        let views = [View::Usual(self), View::Further(self)];
        METRICS.iter().filter(move |metric| views.contains(&metric.view))
    }
}

/// Where a heartbeat has a metric, and what becomes of a value that breaks its rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In `metrics`, as in the seed: the heartbeat is rejected.
    Seed,
    /// In `metrics`, which the seed ignores: the value is left out.
    Metrics,
    /// In the body itself, which the seed ignores: the value is left out.
    Body,
}

/// The values that a metric may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// A share of a whole: 0 to 100.
    Percent,
    /// A quantity: 0 to [`MAX_AMOUNT`].
    Amount,
    /// A whole number: 0 to 2^64-1.
    Count,
    /// No or yes, which is stored as 0 or 1.
    Flag,
    /// A temperature: [`MIN_TEMPERATURE`] to [`MAX_TEMPERATURE`].
    Temperature,
}

/// The largest amount. DynamoDB stores numbers up to 9.99…e125, with 38 digits.
pub const MAX_AMOUNT: f64 = 9.9e125;

/// The lowest and the highest temperature, °C.
pub const MIN_TEMPERATURE: f64 = -100.0;
pub const MAX_TEMPERATURE: f64 = 200.0;

/// What a metric is measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Percent,
    /// 2^20 bytes.
    Megabytes,
    /// 2^30 bytes.
    Gigabytes,
    Bytes,
    Seconds,
    Celsius,
    None,
}

impl Unit {
    /// How the unit is written after a number.
    #[must_use]
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Percent => "%",
            Self::Megabytes => "MB",
            Self::Gigabytes => "GB",
            Self::Bytes => "B",
            Self::Seconds => "s",
            Self::Celsius => "°C",
            Self::None => "",
        }
    }

    /// How the name of a metric ends that is measured in it.
    const fn suffix(self) -> &'static str {
        match self {
            Self::Percent => "_percent",
            Self::Megabytes => "_mb",
            Self::Gigabytes => "_gb",
            Self::Bytes => "_bytes",
            Self::Seconds => "_seconds",
            Self::Celsius => "_celsius",
            Self::None => "",
        }
    }
}

/// Every metric, in the order of the contract (C3.3, C3.10).
#[rustfmt::skip]
pub const METRICS: [Metric; 17] = [
    gauge("cpu_percent", Rule::Percent, Unit::Percent, "CPU in use, percent.", Float(23.5)).seen(View::Usual(Chart::Cpu)),
    gauge("memory_percent", Rule::Percent, Unit::Percent, "Memory in use, percent.", Float(67.2)).seen(View::Usual(Chart::Memory)),
    gauge("memory_total_mb", Rule::Count, Unit::Megabytes, "Memory installed, MB.", Whole(16384)).seen(View::Words),
    gauge("memory_used_mb", Rule::Count, Unit::Megabytes, "Memory in use, MB.", Whole(11010)).seen(View::Words),
    gauge("disk_percent", Rule::Percent, Unit::Percent, "Disk space in use, percent.", Float(82.1)).seen(View::Usual(Chart::Disk)),
    gauge("disk_total_gb", Rule::Amount, Unit::Gigabytes, "Disk space, GB.", Float(500.0)).seen(View::Words),
    gauge("disk_used_gb", Rule::Amount, Unit::Gigabytes, "Disk space in use, GB.", Float(410.5)).seen(View::Words),
    counter("network_rx_bytes", Unit::Bytes, "Bytes received since boot.", 1_234_567_890).seen(View::Usual(Chart::Network)),
    counter("network_tx_bytes", Unit::Bytes, "Bytes sent since boot.", 987_654_321).seen(View::Usual(Chart::Network)),
    gauge("load_1m", Rule::Amount, Unit::None, "Load average over one minute.", Float(0.5)).seen(View::Usual(Chart::Load)),
    gauge("load_5m", Rule::Amount, Unit::None, "Load average over five minutes.", Float(0.75)).seen(View::Further(Chart::Load)),
    gauge("load_15m", Rule::Amount, Unit::None, "Load average over fifteen minutes.", Float(0.6)).seen(View::Further(Chart::Load)),
    gauge("uptime_seconds", Rule::Count, Unit::Seconds, "Time since boot, seconds.", Whole(86400)).seen(View::Words),
    gauge("updates_available", Rule::Count, Unit::None, "Packages that can be upgraded.", Whole(12)).at(Place::Body).seen(View::Words),
    gauge("security_updates", Rule::Count, Unit::None, "Those of them that fix a vulnerability.", Whole(3)).at(Place::Body).seen(View::Words),
    gauge("reboot_required", Rule::Flag, Unit::None, "Whether an upgrade waits for a reboot.", Whole(0)).at(Place::Metrics).seen(View::Words),
    gauge("temperature_celsius", Rule::Temperature, Unit::Celsius, "Temperature of the processor, °C.", Float(48.5)).at(Place::Metrics),
];

const fn gauge(
    name: &'static str,
    rule: Rule,
    unit: Unit,
    description: &'static str,
    example: Number,
) -> Metric {
    let (place, view, is_counter) = (Place::Seed, View::Own, false);
    Metric { name, place, rule, unit, is_counter, description, example, view }
}

const fn counter(
    name: &'static str,
    unit: Unit,
    description: &'static str,
    example: u64,
) -> Metric {
    Metric { is_counter: true, ..gauge(name, Rule::Count, unit, description, Whole(example)) }
}

impl Metric {
    const fn at(self, place: Place) -> Self {
        Self { place, ..self }
    }

    const fn seen(self, view: View) -> Self {
        Self { view, ..self }
    }

    /// Those by which a server is shown in brief.
    pub fn usual() -> impl Iterator<Item = &'static Self> {
        METRICS.iter().filter(|metric| matches!(metric.view, View::Usual(_)))
    }

    /// What the metric measures, for people: its name without its unit.
    #[must_use]
    pub fn label(&self) -> String {
        self.name.strip_suffix(self.unit.suffix()).unwrap_or(self.name).replace('_', " ")
    }

    /// The metric with this name, for constants: a misspelt name does not compile. In an expression,
    /// [`metric!`](crate::metric!) sees to it that this is evaluated by the compiler.
    ///
    /// ```
    /// # use tables::Metric;
    /// const CPU: &Metric = Metric::named("cpu_percent");
    /// ```
    ///
    /// ```compile_fail,E0080
    /// # use tables::Metric;
    /// const CPU: &Metric = Metric::named("cpu_percents");
    /// ```
    ///
    /// # Panics
    /// If there is none. A name that is read while the program runs is for [`find`](Self::find).
    #[must_use]
    pub const fn named(name: &str) -> &'static Self {
        let metrics: &'static [Self] = &METRICS;
        let mut index = 0;
        while index < metrics.len() {
            if is_same(metrics[index].name, name) {
                return &metrics[index];
            }
            index += 1;
        }
        panic!("there is no metric of this name")
    }

    /// Finds a metric by its name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        METRICS.iter().find(|metric| metric.name == name)
    }
}

/// The metric with this name: `metric!("cpu_percent")`. A misspelt name does not compile.
///
/// ```compile_fail,E0080
/// tables::metric!("cpu_percents");
/// ```
#[macro_export]
macro_rules! metric {
    ($name:literal) => {
        const { $crate::Metric::named($name) }
    };
}

/// `==` of strings, which a constant cannot use.
const fn is_same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut index = 0;
    while index < one.len() && index < other.len() && one[index] == other[index] {
        index += 1;
    }
    index == one.len() && index == other.len()
}

/// The values of one reading, in the order of [`METRICS`]. A metric that was not sent has none.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Metrics([Option<Number>; METRICS.len()]);

impl Metrics {
    /// Takes a value for each metric.
    pub fn from_fn(mut value: impl FnMut(&'static Metric) -> Option<Number>) -> Self {
        let mut values = [None; METRICS.len()];
        for (metric, slot) in METRICS.iter().zip(&mut values) {
            *slot = value(metric);
        }
        Self(values)
    }

    /// These values, and those of `other` for the metrics that have none.
    #[must_use]
    pub fn or(&self, other: Self) -> Self {
        let mut values = self.0;
        for (value, other) in values.iter_mut().zip(other.0) {
            *value = value.or(other);
        }
        Self(values)
    }

    /// The values that there are.
    pub fn iter(&self) -> impl Iterator<Item = (&'static Metric, Number)> {
        METRICS.iter().zip(self.0).filter_map(|(metric, value)| Some((metric, value?)))
    }

    /// The value of each metric, in the order of [`METRICS`].
    #[cfg(feature = "items")]
    pub(crate) const fn values(&self) -> &[Option<Number>; METRICS.len()] {
        &self.0
    }

    /// The value of a metric.
    #[must_use]
    pub fn value(&self, metric: &Metric) -> Option<Number> {
        self.get(metric.name)
    }

    /// The value of the metric with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Number> {
        self.iter().find(|(metric, _)| metric.name == name).map(|(_, value)| value)
    }
}

impl FromIterator<(&'static Metric, Number)> for Metrics {
    fn from_iter<T: IntoIterator<Item = (&'static Metric, Number)>>(values: T) -> Self {
        let values: Vec<_> = values.into_iter().collect();
        Self::from_fn(|metric| {
            let (_, value) = values.iter().find(|(known, _)| known.name == metric.name)?;
            Some(*value)
        })
    }
}

#[cfg(feature = "items")]
mod items {
    use super::{METRICS, Metrics, Number};
    use crate::Item;
    use aws_sdk_dynamodb::types::AttributeValue;

    impl Metrics {
        /// Reads the metrics among an item's attributes. What cannot be read is left out.
        #[must_use]
        pub fn from_item(item: &Item) -> Self {
            let mut metrics = Self::default();
            // To compare names is faster than to hash them, which a sweep notices.
            for (name, value) in item {
                let place = METRICS.iter().position(|metric| metric.name == name);
                if let Some((place, number)) = place.zip(value.as_n().ok()) {
                    metrics.0[place] = Number::parse(number);
                }
            }
            metrics
        }

        /// The metrics as attributes.
        pub(crate) fn attributes(&self) -> impl Iterator<Item = (String, AttributeValue)> {
            self.iter().map(|(metric, value)| {
                (metric.name.to_owned(), AttributeValue::N(value.to_string()))
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_found_by_its_name() {
        for metric in &METRICS {
            assert_eq!(Metric::named(metric.name), metric);
            assert_eq!(Metric::find(metric.name), Some(metric));
        }
        assert_eq!(Metric::find("cpu"), None);
        assert_eq!(Metric::find("cpu_percents"), None);
    }

    #[test]
    fn a_label_is_the_name_without_its_unit() {
        for (name, label) in [
            ("cpu_percent", "cpu"),
            ("memory_total_mb", "memory total"),
            ("disk_used_gb", "disk used"),
            ("network_rx_bytes", "network rx"),
            ("load_15m", "load 15m"),
            ("uptime_seconds", "uptime"),
            ("temperature_celsius", "temperature"),
            ("reboot_required", "reboot required"),
        ] {
            assert_eq!(Metric::named(name).label(), label);
        }
    }
}
