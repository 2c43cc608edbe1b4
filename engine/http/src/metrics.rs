//! Figures, as Prometheus reads them.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

/// What kind of figure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MeasureKind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// How often it was how much.
    Histogram,
}

/// What one figure says.
#[derive(Debug, Clone, PartialEq)]
pub enum Figure {
    /// Of a counter or a gauge.
    Number(f64),
    /// Of a histogram.
    Spread {
        /// All values together.
        sum: f64,
        /// The upper bound of each cell, ascending, and how many values fell
        /// into it alone. The last bound is infinite.
        cells: Vec<(f64, u64)>,
    },
}

impl From<f64> for Figure {
    fn from(number: f64) -> Figure {
        Figure::Number(number)
    }
}

/// One figure, or one per set of labels.
#[derive(Debug, Clone)]
pub struct Measure {
    /// Without the prefix `pricedrop_`; a counter without `_total`.
    pub name: &'static str,
    /// One sentence without its full stop.
    pub help: &'static str,
    /// Counter, gauge or histogram.
    pub kind: MeasureKind,
    /// Labels and value.
    pub samples: Vec<(Vec<(&'static str, String)>, Figure)>,
}

impl Measure {
    /// A figure that only grows.
    pub fn counter(name: &'static str, help: &'static str, value: u64) -> Measure {
        Measure::seconds(name, help, value as f64)
    }

    /// A figure that only grows, in fractions.
    pub fn seconds(name: &'static str, help: &'static str, value: f64) -> Measure {
        Measure { name, help, kind: MeasureKind::Counter, samples: vec![(Vec::new(), value.into())] }
    }

    /// A figure that goes up and down.
    pub fn gauge(name: &'static str, help: &'static str, value: f64) -> Measure {
        Measure { name, help, kind: MeasureKind::Gauge, samples: vec![(Vec::new(), value.into())] }
    }

    /// The same figure by one label.
    pub fn by(
        name: &'static str,
        help: &'static str,
        kind: MeasureKind,
        label: &'static str,
        values: impl IntoIterator<Item = (String, u64)>,
    ) -> Measure {
        let samples =
            values.into_iter().map(|(value, figure)| (vec![(label, value)], (figure as f64).into()));
        Measure { name, help, kind, samples: samples.collect() }
    }

    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let name = format!("pricedrop_{}", self.name);
        let kind = match self.kind {
            MeasureKind::Counter => MetricType::Counter,
            MeasureKind::Gauge => MetricType::Gauge,
            MeasureKind::Histogram => MetricType::Histogram,
        };
        let mut family = encoder.encode_descriptor(&name, self.help, None, kind)?;
        for (labels, value) in &self.samples {
            match labels.is_empty() {
                true => self.encode_value(value, &mut family)?,
                false => self.encode_value(value, &mut family.encode_family(labels)?)?,
            }
        }
        Ok(())
    }

    fn encode_value(&self, figure: &Figure, encoder: &mut MetricEncoder<'_>) -> Result<(), fmt::Error> {
        match (figure, self.kind) {
            (Figure::Number(value), MeasureKind::Counter) => {
                encoder.encode_counter::<NoLabelSet, _, u64>(value, None)
            }
            (Figure::Number(value), _) => encoder.encode_gauge(value),
            (Figure::Spread { sum, cells }, _) => {
                let count = cells.iter().map(|(_, values)| values).sum();
                encoder.encode_histogram::<NoLabelSet>(*sum, count, cells, None)
            }
        }
    }
}

#[derive(Debug)]
struct Scrape(Vec<Measure>);

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        self.0.iter().try_for_each(|measure| measure.encode(&mut encoder))
    }
}

/// All figures as text.
pub(crate) fn render(measures: Vec<Measure>) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape(measures)));
    let mut out = String::new();
    text::encode(&mut out, &registry).expect("writing to a string does not fail");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_is_written_with_cumulated_cells() {
        let spread = Figure::Spread { sum: 0.5, cells: vec![(0.1, 2), (f64::INFINITY, 1)] };
        let samples = vec![(vec![("table", "t".to_owned())], spread)];
        let text =
            render(vec![Measure { name: "reads", help: "Reads", kind: MeasureKind::Histogram, samples }]);
        assert!(text.contains("pricedrop_reads_bucket{le=\"0.1\",table=\"t\"} 2"), "{text}");
        assert!(text.contains("pricedrop_reads_bucket{le=\"+Inf\",table=\"t\"} 3"), "{text}");
        assert!(text.contains("pricedrop_reads_count{table=\"t\"} 3"), "{text}");
    }
}
