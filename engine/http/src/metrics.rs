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
}

/// One figure, or one per set of labels.
#[derive(Debug, Clone)]
pub struct Measure {
    /// Without the prefix `pricedrop_`; a counter without `_total`.
    pub name: &'static str,
    /// One sentence without its full stop.
    pub help: &'static str,
    /// Counter or gauge.
    pub kind: MeasureKind,
    /// Labels and value.
    pub samples: Vec<(Vec<(&'static str, String)>, f64)>,
}

impl Measure {
    /// A figure that only grows.
    pub fn counter(name: &'static str, help: &'static str, value: u64) -> Measure {
        let samples = vec![(Vec::new(), value as f64)];
        Measure { name, help, kind: MeasureKind::Counter, samples }
    }

    /// A figure that goes up and down.
    pub fn gauge(name: &'static str, help: &'static str, value: f64) -> Measure {
        Measure { name, help, kind: MeasureKind::Gauge, samples: vec![(Vec::new(), value)] }
    }

    /// The same figure by one label.
    pub fn by(
        name: &'static str,
        help: &'static str,
        kind: MeasureKind,
        label: &'static str,
        values: impl IntoIterator<Item = (String, u64)>,
    ) -> Measure {
        let samples = values.into_iter().map(|(value, figure)| (vec![(label, value)], figure as f64));
        Measure { name, help, kind, samples: samples.collect() }
    }

    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let name = format!("pricedrop_{}", self.name);
        let kind = match self.kind {
            MeasureKind::Counter => MetricType::Counter,
            MeasureKind::Gauge => MetricType::Gauge,
        };
        let mut family = encoder.encode_descriptor(&name, self.help, None, kind)?;
        for (labels, value) in &self.samples {
            match labels.is_empty() {
                true => self.encode_value(*value, &mut family)?,
                false => self.encode_value(*value, &mut family.encode_family(labels)?)?,
            }
        }
        Ok(())
    }

    fn encode_value(&self, value: f64, encoder: &mut MetricEncoder<'_>) -> Result<(), fmt::Error> {
        match self.kind {
            MeasureKind::Counter => encoder.encode_counter::<NoLabelSet, _, u64>(&value, None),
            MeasureKind::Gauge => encoder.encode_gauge(&value),
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
