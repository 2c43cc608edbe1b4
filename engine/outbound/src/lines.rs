//! Writes lines to standard output. One thread writes them, so lines do not mix, and it writes all
//! waiting lines, up to [`LINES`], in one call.

use std::io::Write;
use std::sync::mpsc;

use pricedrop_model::channel::Reply;
use tokio::sync::oneshot;

use super::limits::{LINE_BYTES, LINES};

type Waiting = (String, oneshot::Sender<Reply>);

/// A handle of the writing thread. The queue is bounded by the callers, which wait for their line.
pub(super) struct Lines(mpsc::Sender<Waiting>);

impl Lines {
    /// Starts the thread. It ends after this handle is dropped.
    pub(super) fn start(out: Box<dyn Write + Send>) -> std::io::Result<Lines> {
        let (lines, inbox) = mpsc::channel();
        std::thread::Builder::new().name("lines".into()).spawn(move || write_lines(out, &inbox))?;
        Ok(Lines(lines))
    }

    /// Writes a line. Returns after it was written and flushed, or with the error.
    pub(super) async fn write(&self, line: &str) -> Reply {
        let (answer, written) = oneshot::channel();
        let ended = || Reply::Unanswered("the thread that writes lines has ended".into());
        match self.0.send((one_line(line), answer)) {
            Ok(()) => written.await.unwrap_or_else(|_| ended()),
            Err(_) => ended(),
        }
    }
}

fn write_lines(mut out: Box<dyn Write + Send>, inbox: &mpsc::Receiver<Waiting>) {
    let mut closed = false;
    let (mut text, mut waiting) = (String::new(), Vec::new());
    while let Ok(first) = inbox.recv() {
        for (line, answer) in std::iter::once(first).chain(inbox.try_iter().take(LINES - 1)) {
            text.push_str(&line);
            waiting.push(answer);
        }
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        if let Err(error) = &written
            && !closed
        {
            tracing::error!(%error, "lines cannot be written to standard output; their deliveries are retried");
        }
        closed = written.is_err();
        for answer in waiting.drain(..) {
            let reply = match &written {
                Ok(()) => Reply::Done,
                Err(error) => Reply::Unanswered(format!("standard output: {error}")),
            };
            // The caller may have timed out and dropped its receiver.
            let _ = answer.send(reply);
        }
        text.clear();
    }
}

/// Replaces control characters by spaces, so that a product's title cannot add a line, and
/// truncates.
fn one_line(line: &str) -> String {
    let cut = &line[..line.floor_char_boundary(LINE_BYTES)];
    let mut line: String = cut.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    line.push('\n');
    line
}
