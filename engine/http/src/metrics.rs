//! Renders metrics as text, in the format of OpenMetrics or of Prometheus.

use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

/// The text format of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    OpenMetrics,
    Prometheus,
}

impl Format {
    /// Chooses the format by the values of the `Accept` header.
    pub(crate) fn of<'a>(mut accepted: impl Iterator<Item = &'a str>) -> Format {
        match accepted.any(|value| value.contains("application/openmetrics-text")) {
            true => Format::OpenMetrics,
            false => Format::Prometheus,
        }
    }

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// Renders all metrics of a registry.
    pub(crate) fn render(self, registry: &Registry) -> String {
        let mut out = String::new();
        text::encode(&mut out, registry).expect("writing to a string does not fail");
        match self {
            Format::OpenMetrics => out,
            Format::Prometheus => prometheus(&out),
        }
    }
}

/// Converts OpenMetrics text to Prometheus text: `HELP` and `TYPE` of a counter get the suffix
/// `_total`, as its samples have it, and the final `# EOF` is removed.
fn prometheus(open_metrics: &str) -> String {
    let mut out = String::with_capacity(open_metrics.len());
    let mut help = None;
    for line in open_metrics.lines() {
        if let Some(text) = line.strip_prefix("# HELP ") {
            help = text.split_once(' ');
        } else if let Some(text) = line.strip_prefix("# TYPE ") {
            describe(&mut out, help.take(), text);
        } else if !line.starts_with('#') {
            out.extend([line, "\n"]);
        }
    }
    out
}

/// Writes the `HELP` and `TYPE` lines of a family. `of_type` begins with the family's name.
fn describe(out: &mut String, help: Option<(&str, &str)>, of_type: &str) {
    let (name, kind) = of_type.split_once(' ').unwrap_or((of_type, "untyped"));
    let suffix = if kind == "counter" { "_total" } else { "" };
    if let Some((_, help)) = help {
        out.extend(["# HELP ", name, suffix, " ", help, "\n"]);
    }
    out.extend(["# TYPE ", name, suffix, " ", kind, "\n"]);
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::family::Family;
    use prometheus_client::metrics::histogram::Histogram;

    use super::*;

    fn registry() -> Registry {
        let mut registry = Registry::with_prefix("pricedrop");
        let reads = Family::<[(&str, &str); 1], Counter>::default();
        reads.get_or_create_owned(&[("table", "t")]).inc();
        registry.register("reads", "Reads", reads);
        let seconds = Histogram::new([0.1]);
        seconds.observe(0.05);
        registry.register("read_seconds", "How long reads took", seconds);
        registry
    }

    #[test]
    fn a_scraper_that_accepts_openmetrics_gets_openmetrics() {
        let accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.2";
        let format = Format::of([accept].into_iter());
        assert_eq!(format, Format::OpenMetrics);
        let text = format.render(&registry());
        assert!(text.contains("# TYPE pricedrop_reads counter\n"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }

    #[test]
    fn other_scrapers_get_the_prometheus_text_format() {
        let format = Format::of(["*/*"].into_iter());
        assert_eq!(format, Format::Prometheus);
        assert_eq!(
            format.render(&registry()),
            "# HELP pricedrop_reads_total Reads.\n\
             # TYPE pricedrop_reads_total counter\n\
             pricedrop_reads_total{table=\"t\"} 1\n\
             # HELP pricedrop_read_seconds How long reads took.\n\
             # TYPE pricedrop_read_seconds histogram\n\
             pricedrop_read_seconds_sum 0.05\n\
             pricedrop_read_seconds_count 1\n\
             pricedrop_read_seconds_bucket{le=\"0.1\"} 1\n\
             pricedrop_read_seconds_bucket{le=\"+Inf\"} 1\n"
        );
    }
}
