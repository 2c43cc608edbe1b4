//! How what is not as it should be is listed: each with its remedy.

use std::io::Write;

use anstyle::{AnsiColor, Style};
use pricedrop_cassandra as cassandra;
use pricedrop_kafka as kafka;

use crate::report::Stopped;

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where: a server, a topic, a table.
    pub place: String,
    /// What is the matter.
    pub what: String,
    /// What to do.
    pub remedy: String,
    /// Whether the engine works all the same.
    pub works: bool,
}

impl Finding {
    /// The engine does not work, or not as promised.
    pub fn wrong(place: impl Into<String>, what: impl ToString, remedy: impl Into<String>) -> Finding {
        Finding { place: place.into(), what: what.to_string(), remedy: remedy.into(), works: false }
    }

    /// It works, and somebody should know.
    pub fn advice(place: impl Into<String>, what: impl ToString, remedy: impl Into<String>) -> Finding {
        Finding { works: true, ..Finding::wrong(place, what, remedy) }
    }
}

impl From<kafka::topics::Finding> for Finding {
    fn from(finding: kafka::topics::Finding) -> Finding {
        let kafka::topics::Finding { topic, what, remedy, fatal } = finding;
        Finding { place: format!("topic {topic}"), what, remedy, works: !fatal }
    }
}

impl From<cassandra::Finding> for Finding {
    fn from(finding: cassandra::Finding) -> Finding {
        let cassandra::Finding { table, what, remedy, weight, .. } = finding;
        let works = weight == cassandra::schema::Weight::Advice;
        Finding { place: format!("table {table}"), what, remedy, works }
    }
}

/// Lists them on standard output, what does not work first.
///
/// # Errors
/// One of them keeps the engine from its work: the answer is no.
pub fn print(of: &str, mut findings: Vec<Finding>) -> Result<(), Stopped> {
    findings.sort_by_key(|finding| finding.works);
    let mut out = anstream::stdout();
    for finding in &findings {
        let (mark, style) = match finding.works {
            false => ("wrong", AnsiColor::Red.on_default().bold()),
            true => ("note ", AnsiColor::Yellow.on_default()),
        };
        let dim = Style::new().dimmed();
        writeln!(out, "{style}{mark}{style:#}  {}: {}", finding.place, finding.what)?;
        writeln!(out, "       {dim}{}{dim:#}", finding.remedy)?;
    }
    let wrong = findings.iter().filter(|finding| !finding.works).count();
    match (wrong, findings.len()) {
        (0, 0) => writeln!(out, "{of}: all as it should be")?,
        (0, notes) => writeln!(out, "{of}: it works, with {notes} notes")?,
        (wrong, all) => {
            writeln!(out, "{of}: {wrong} wrong, {} notes", all - wrong)?;
            return Err(Stopped::No);
        }
    }
    Ok(())
}
