//! Problems that a check found, each with its remedy, and how they are printed.

use std::io::Write;

use anstyle::{AnsiColor, Style};
use pricedrop_cassandra as cassandra;
use pricedrop_kafka as kafka;

use crate::printable::printable_lines;
use crate::report::CliError;

/// A problem that a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where it is: a server, a topic, a table.
    pub place: String,
    /// What is wrong.
    pub what: String,
    /// The remedy.
    pub remedy: String,
    /// Whether the engine works in spite of it.
    pub works: bool,
}

impl Finding {
    /// Returns a problem with which the engine does not work, or not as documented.
    pub fn wrong(place: impl Into<String>, what: impl ToString, remedy: impl Into<String>) -> Finding {
        Finding { place: place.into(), what: what.to_string(), remedy: remedy.into(), works: false }
    }

    /// Returns advice: the engine works, but an operator should know.
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
        let works = weight == cassandra::schema::FindingKind::Advice;
        Finding { place: format!("table {table}"), what, remedy, works }
    }
}

/// Prints problems on standard output, those that prevent the engine from working first.
///
/// # Errors
/// A problem prevents the engine from working.
pub fn print(of: &str, mut findings: Vec<Finding>) -> Result<(), CliError> {
    findings.sort_by_key(|finding| finding.works);
    let (mut out, text) = (anstream::stdout(), printable_lines);
    for finding in &findings {
        let (mark, style) = match finding.works {
            false => ("wrong", AnsiColor::Red.on_default().bold()),
            true => ("note ", AnsiColor::Yellow.on_default()),
        };
        let dim = Style::new().dimmed();
        writeln!(out, "{style}{mark}{style:#}  {}", text(&format!("{}: {}", finding.place, finding.what)))?;
        writeln!(out, "       {dim}{}{dim:#}", text(&finding.remedy))?;
    }
    let wrong = findings.iter().filter(|finding| !finding.works).count();
    match (wrong, findings.len()) {
        (0, 0) => writeln!(out, "{of}: no problems were found")?,
        (0, notes) => writeln!(out, "{of}: it works, with {notes} notes")?,
        (wrong, all) => {
            writeln!(out, "{of}: {wrong} wrong, {} notes", all - wrong)?;
            return Err(CliError::Reported);
        }
    }
    Ok(())
}
