//! Sends administrator's commands to Redis, as lines of words.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;

use crate::{Error, TIMEOUT};

/// Sends commands, one after the other. Each reply must be a single line, and not an error.
///
/// # Errors
/// Redis is unavailable, or refused a command; the error has its reply.
pub fn administer(address: &str, commands: &[String]) -> Result<(), Error> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let mut answers = BufReader::new(stream.try_clone()?);
    for command in commands {
        stream.write_all(format!("{command}\r\n").as_bytes())?;
        let mut answer = String::new();
        answers.read_line(&mut answer)?;
        if !answer.starts_with(['+', ':']) {
            let verb: Vec<&str> = command.split(' ').take(2).collect();
            return Err(format!("{}: {}", verb.join(" "), answer.trim()).into());
        }
    }
    Ok(())
}
