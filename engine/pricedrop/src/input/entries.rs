//! The JSON entries of a file, with their line numbers.

use std::io::{self, BufRead};

use pricedrop_model::entries::{Splitter, Step, foreign_encoding};

use super::format::Error;

/// Longest entry, in bytes. Of a longer one the start is an invalid entry.
const MAX_ENTRY: usize = 16 << 20;

/// An iterator over the entries of a file: the line where each begins, from 1, and its text. Text
/// that is not JSON is an entry up to the end of its line.
pub struct EntryReader<R> {
    input: R,
    splitter: Splitter,
    /// The bytes that were read; those before `from` belong to earlier entries.
    buffer: Vec<u8>,
    from: usize,
    ended: bool,
    /// The length of the unread bytes from which the splitter is called again.
    enough: usize,
}

impl<R: BufRead> EntryReader<R> {
    /// Reads `input` from its current position.
    pub fn new(input: R) -> EntryReader<R> {
        EntryReader {
            input,
            splitter: Splitter::default(),
            buffer: Vec::new(),
            from: 0,
            ended: false,
            enough: 1,
        }
    }

    /// Returns the next entry.
    ///
    /// # Errors
    /// The input fails, or is not UTF-8.
    pub fn read(&mut self) -> Result<Option<(u64, Vec<u8>)>, Error> {
        loop {
            let unread = &self.buffer[self.from..];
            if self.ended || unread.len() >= self.enough {
                let cut = self.ended || unread.len() >= MAX_ENTRY;
                match self.splitter.next(unread, cut) {
                    Step::Entry(entry) => {
                        let text = entry.text(unread).to_vec();
                        self.from += entry.end;
                        self.enough = 1;
                        return Ok(Some((entry.line, text)));
                    }
                    Step::End if self.ended => return Ok(None),
                    // Twice the bytes each time, so that the time grows with the length only.
                    Step::End | Step::More => self.enough = unread.len().max(1) * 2,
                }
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> Result<(), Error> {
        self.buffer.drain(..self.from);
        self.from = 0;
        let read = match self.input.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            read => read?,
        };
        let (first, length) = (self.buffer.is_empty(), read.len());
        if first && let Some(encoding) = foreign_encoding(read) {
            return Err(Error::Encoding(encoding));
        }
        self.ended = length == 0;
        self.buffer.extend_from_slice(read);
        self.input.consume(length);
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn read(text: &[u8], capacity: usize) -> Vec<(u64, String)> {
        let mut reader = EntryReader::new(BufReader::with_capacity(capacity, text));
        let entries = std::iter::from_fn(|| reader.read().unwrap());
        entries.map(|(line, text)| (line, String::from_utf8_lossy(&text).into_owned())).collect()
    }

    #[test]
    fn the_entries_do_not_depend_on_how_the_file_is_read() {
        let text = "\u{feff}{\n\"a\": \"ä\"}{}\nnonsense\n\n[{},{\"b\":[]}\n]";
        let entries = [(1, "{\n\"a\": \"ä\"}"), (2, "{}"), (3, "nonsense"), (5, "{}"), (5, "{\"b\":[]}")];
        for capacity in [1, 2, 5, 8_192] {
            assert_eq!(read(text.as_bytes(), capacity), entries.map(|(line, text)| (line, text.into())));
        }
    }

    #[test]
    fn a_file_of_another_encoding_is_refused() {
        let utf16: Vec<u8> = "\u{feff}{}\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let error = EntryReader::new(&utf16[..]).read().unwrap_err();
        assert_eq!(error.to_string(), "the file is encoded in UTF-16, not in UTF-8");
        assert!(error.remedy().contains("iconv"));
    }
}
