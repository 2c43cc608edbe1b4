//! Metrics as text: in the format of OpenMetrics or in that of Prometheus.

use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

/// How a scraper wants them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    OpenMetrics,
    Prometheus,
}

impl Format {
    /// By the values of `Accept`.
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

    /// All metrics of a registry.
    pub(crate) fn render(self, registry: &Registry) -> String {
        let mut out = String::new();
        text::encode(&mut out, registry).expect("writing to a string does not fail");
        match self {
            Format::OpenMetrics => out,
            Format::Prometheus => prometheus(&out),
        }
    }
}

/// OpenMetrics names a family of counters without `_total`, Prometheus as its samples;
/// and Prometheus has no end mark.
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

/// `help` and `of_type` begin with the name of the family.
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
    fn a_scraper_that_accepts_open_metrics_gets_it() {
        let accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.2";
        let format = Format::of([accept].into_iter());
        assert_eq!(format, Format::OpenMetrics);
        let text = format.render(&registry());
        assert!(text.contains("# TYPE pricedrop_reads counter\n"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }

    #[test]
    fn others_get_the_text_format_of_prometheus() {
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
