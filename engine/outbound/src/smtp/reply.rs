//! Reads the replies of an SMTP server.
//!
//! Invariant: the code decides. No text after it makes a reply unreadable: text may be missing, may
//! be in any encoding, and may be of any length. Only [`REPLY_TEXT_BYTES`] of it are kept, and after
//! [`REPLY_BYTES`] the reply ends.

use std::fmt;
use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt};

use crate::limits::{REPLY_BYTES, REPLY_TEXT_BYTES};

/// A reply of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerReply {
    /// The code of the last line, 200 to 599.
    pub(crate) code: u16,
    /// The text of each line, without control characters.
    pub(super) lines: Vec<String>,
    /// Whether the reply ended before its last line: the connection broke, or the reply was too
    /// long. The connection cannot be used for another command.
    pub(super) is_cut: bool,
}

impl ServerReply {
    /// Returns the text of all lines, separated by spaces.
    pub(crate) fn text(&self) -> String {
        let lines: Vec<_> =
            self.lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty()).collect();
        lines.join(" ")
    }
}

impl fmt::Display for ServerReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.text();
        let space = if text.is_empty() { "" } else { " " };
        write!(f, "{}{space}{text}", self.code)
    }
}

/// Reads a reply of one or several lines.
///
/// # Errors
/// The connection broke before a code, or the first line has no code.
pub(super) async fn read_reply(input: &mut (impl AsyncBufRead + Unpin)) -> io::Result<ServerReply> {
    let mut reply = ServerReply { code: 0, lines: Vec::new(), is_cut: false };
    let (mut read, mut kept) = (0, 0);
    loop {
        let line = match read_line(input, REPLY_TEXT_BYTES.saturating_sub(kept), REPLY_BYTES - read).await {
            Ok(line) => line,
            Err(error) if reply.code == 0 => return Err(error),
            Err(_) => Line { text: Vec::new(), bytes: 0, is_complete: false },
        };
        read += line.bytes;
        let parsed = parse_line(&line.text);
        let is_last = match parsed {
            Some((code, is_last, _)) => {
                reply.code = code;
                is_last
            }
            None if reply.code == 0 => return Err(no_code(&line.text)),
            // A line without a code inside a reply is text.
            None => false,
        };
        let text = parsed.map_or(line.text.as_slice(), |(_, _, text)| text);
        kept += text.len();
        // Many empty lines need memory, too.
        if reply.lines.len() < REPLY_TEXT_BYTES / 8 {
            reply.lines.push(printable(text));
        }
        reply.is_cut = !line.is_complete;
        if is_last || reply.is_cut {
            return Ok(reply);
        }
    }
}

struct Line {
    /// The first bytes of the line, without its end.
    text: Vec<u8>,
    /// How many bytes were read.
    bytes: usize,
    /// Whether the end of the line was read.
    is_complete: bool,
}

/// A code, a separator, and the end of a line.
const CODE_BYTES: usize = 6;

/// Reads a line: keeps its code and `keep` bytes of its text, and stops after `most` bytes.
async fn read_line(input: &mut (impl AsyncBufRead + Unpin), keep: usize, most: usize) -> io::Result<Line> {
    let mut line = Line { text: Vec::new(), bytes: 0, is_complete: false };
    while !line.is_complete && line.bytes < most {
        let buffer = input.fill_buf().await?;
        if buffer.is_empty() {
            break;
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let used = end.map_or(buffer.len(), |at| at + 1).min(most - line.bytes);
        let room = (keep + CODE_BYTES).saturating_sub(line.text.len());
        line.text.extend_from_slice(&buffer[..used.min(room)]);
        line.is_complete = buffer[..used].ends_with(b"\n");
        line.bytes += used;
        input.consume(used);
    }
    while line.text.last().is_some_and(|byte| matches!(byte, b'\r' | b'\n')) {
        line.text.pop();
    }
    Ok(line)
}

/// Splits a line into its code, whether it is the last line of the reply, and its text. None if it
/// has no code.
fn parse_line(line: &[u8]) -> Option<(u16, bool, &[u8])> {
    let code = line.get(..3)?;
    if !matches!(code[0], b'2'..=b'5') || !code.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let code = code.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    match line.get(3) {
        None => Some((code, true, &[])),
        Some(b'-') => Some((code, false, &line[4..])),
        Some(b' ' | b'\t') => Some((code, true, &line[4..])),
        Some(byte) if byte.is_ascii_digit() => None,
        Some(_) => Some((code, true, &line[3..])),
    }
}

fn printable(text: &[u8]) -> String {
    String::from_utf8_lossy(text).chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn no_code(line: &[u8]) -> io::Error {
    if line.is_empty() {
        return io::Error::new(io::ErrorKind::UnexpectedEof, "the mail server closed the connection");
    }
    let text = printable(line);
    let text = &text[..text.floor_char_boundary(100)];
    io::Error::new(io::ErrorKind::InvalidData, format!("the mail server replied without a code: {text:?}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    async fn read(bytes: &[u8]) -> io::Result<ServerReply> {
        read_reply(&mut tokio::io::BufReader::with_capacity(7, bytes)).await
    }

    #[tokio::test]
    async fn the_code_decides_whatever_text_follows() {
        let long = format!("550 {}\r\n", "x".repeat(5_000));
        let many: String =
            (0..3_000).map(|n| format!("250-line {n}\r\n")).chain(["250 end\r\n".into()]).collect();
        for (bytes, code) in [
            (b"250\r\n".as_slice(), 250),
            (b"250 \r\n", 250),
            (b"250\n", 250),
            (b"250 OK\n", 250),
            (b"250OK\r\n", 250),
            (b"550 Bo\xeete inconnue\r\n", 550),
            (b"550-\xff\xfe\r\n550 \x80\r\n", 550),
            (b"571 5.7.1 not authorized\r\n", 571),
            (b"250-queued\r\n250\r\n", 250),
            (b"250-queued\r\nas 1\r\n250 end\r\n", 250),
            (long.as_bytes(), 550),
            (many.as_bytes(), 250),
        ] {
            let reply = read(bytes).await.unwrap();
            assert_eq!((reply.code, reply.is_cut), (code, false), "{:?}", String::from_utf8_lossy(bytes));
            assert!(reply.text().len() <= 2 * REPLY_TEXT_BYTES);
        }
        assert_eq!(
            read(b"550-5.1.1 no\r\n550 such box\r\n").await.unwrap().to_string(),
            "550 5.1.1 no such box"
        );
        assert_eq!(read(b"250\r\n").await.unwrap().to_string(), "250");
    }

    #[tokio::test]
    async fn a_reply_that_is_cut_or_endless_has_its_code_and_ends_the_connection() {
        let endless = format!("250 {}", "x".repeat(2 * REPLY_BYTES));
        let lines = "250-more\r\n".repeat(REPLY_BYTES / 4);
        for bytes in [b"250".as_slice(), b"250 O", b"250-first\r\n", endless.as_bytes(), lines.as_bytes()] {
            let reply = read(bytes).await.unwrap();
            assert_eq!((reply.code, reply.is_cut), (250, true), "{} bytes", bytes.len());
        }
    }

    #[tokio::test]
    async fn a_reply_without_a_code_is_an_error_with_its_text() {
        for bytes in [b"".as_slice(), b"25", b"OK\r\n", b"2500 x\r\n", b"150 x\r\n", b"650 x\r\n", b"\r\n"] {
            assert!(read(bytes).await.is_err(), "{bytes:?}");
        }
        assert!(read(b"welcome\r\n").await.unwrap_err().to_string().contains("welcome"));
    }
}
