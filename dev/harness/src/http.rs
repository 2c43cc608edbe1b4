//! A client of HTTP/1.1 that sends each request over a connection of its own.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::waiting::{Error, TIMEOUT};

/// Sends one request, and returns the body of a successful response.
///
/// # Errors
/// There was no response, or its status was not 2xx.
pub fn request(address: &str, method: &str, path: &str, body: &[u8]) -> Result<String, Error> {
    match respond(address, method, path, body)? {
        (200..=299, body) => Ok(body),
        (status, body) => Err(format!("{method} {path}: {status}: {body}").into()),
    }
}

/// Sends one request, and returns the status and the body of its response.
pub(crate) fn respond(address: &str, method: &str, path: &str, body: &[u8]) -> Result<(u16, String), Error> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(&[head.as_bytes(), body].concat())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let (head, body) =
        split(&answer).ok_or("the engine closed the connection before its response was complete")?;
    Ok((head.split(' ').nth(1).ok_or("no status")?.parse()?, body))
}

/// Splits a response into head and body; `None` if the body is incomplete.
fn split(answer: &[u8]) -> Option<(String, String)> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8(answer[..end].to_vec()).ok()?;
    let lower = head.to_ascii_lowercase();
    let body = &answer[end + 4..];
    if let Some(length) = lower.lines().find_map(|line| line.strip_prefix("content-length: ")) {
        (body.len() == length.trim().parse::<usize>().ok()?).then_some(())?;
        return Some((head, String::from_utf8(body.to_vec()).ok()?));
    }
    if lower.contains("transfer-encoding: chunked") {
        return Some((head, String::from_utf8(unchunk(body)?).ok()?));
    }
    Some((head, String::from_utf8(body.to_vec()).ok()?))
}

fn unchunk(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let line = body.windows(2).position(|window| window == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&body[..line]).ok()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(whole);
        }
        whole.extend_from_slice(body.get(line + 2..line + 2 + size)?);
        body = body.get(line + 2 + size + 2..)?;
    }
}
