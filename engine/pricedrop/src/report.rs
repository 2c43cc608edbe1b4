//! The exit code of a command, and its report on standard error.

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use crate::printable::printable_lines;
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, Report};

/// Why a command did not succeed.
#[derive(Debug)]
pub enum CliError {
    /// The answer is no, and the command has printed the reasons: exit code 1.
    Reported,
    /// The command failed: exit code 1.
    Failed(Report),
    /// The arguments or the configuration are wrong: exit code 2.
    Usage(Report),
    /// Standard output was closed by its reader, as `head` does: exit code 0.
    OutputClosed,
}

/// A failure: what happened, and the remedy.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{what}")]
pub struct Failure {
    what: String,
    #[help]
    remedy: Option<String>,
}

impl Failure {
    fn new(what: impl Display, remedy: impl Display) -> Failure {
        let remedy = printable_lines(&remedy.to_string());
        Failure {
            what: printable_lines(&what.to_string()),
            remedy: Some(remedy).filter(|remedy| !remedy.is_empty()),
        }
    }
}

impl CliError {
    /// Returns a failure: what happened, and the remedy.
    pub fn failed(what: impl Display, remedy: impl Display) -> CliError {
        CliError::Failed(Failure::new(what, remedy).into())
    }

    /// Returns a usage error: what is wrong, and the remedy.
    pub fn usage(what: impl Display, remedy: impl Display) -> CliError {
        CliError::Usage(Failure::new(what, remedy).into())
    }

    /// Prints the report, if there is one, and returns the exit code.
    pub fn exit(self) -> ExitCode {
        let (report, code) = match self {
            CliError::Reported => return ExitCode::from(1),
            CliError::OutputClosed => return ExitCode::SUCCESS,
            CliError::Failed(report) => (report, 1),
            CliError::Usage(report) => (report, 2),
        };
        let text = match std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
            true => render(&*report, GraphicalTheme::unicode()),
            false => printable_lines(&plain(&*report)),
        };
        // Standard error may be closed; a failed report must not become a panic.
        let _ = writeln!(std::io::stderr(), "{}", text.trim_end());
        ExitCode::from(code)
    }
}

impl From<crate::config::Refused> for CliError {
    fn from(refused: crate::config::Refused) -> CliError {
        CliError::Usage(refused.into())
    }
}

/// An error of writing to standard output.
impl From<std::io::Error> for CliError {
    fn from(error: std::io::Error) -> CliError {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => CliError::OutputClosed,
            _ => CliError::failed(error, ""),
        }
    }
}

/// Renders a report for a file or a pipe: no colour, no line drawing.
pub fn plain(report: &dyn Diagnostic) -> String {
    render(report, GraphicalTheme::none())
}

/// Width of a report, in columns.
const WIDTH: usize = 100;

fn render(report: &dyn Diagnostic, theme: GraphicalTheme) -> String {
    let handler = GraphicalReportHandler::new_themed(theme).with_links(false).with_width(WIDTH);
    let mut out = String::new();
    match handler.render_report(&mut out, report) {
        Ok(()) => out,
        Err(_) => format!("{report}\n"),
    }
}
