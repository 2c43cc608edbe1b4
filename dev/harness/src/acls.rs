//! Grants Kafka ACLs, over a listener without authentication. The client library can do this only in
//! unsafe code, and Kafka's own tool takes seconds for each; the protocol needs only two small messages.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::{Error, TIMEOUT, wait_for};

/// A type of resource, with its number in the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// A topic.
    Topic = 2,
    /// A consumer group.
    Group = 3,
    /// A transactional id.
    TransactionalId = 5,
}

/// An ACL: one operation that a user may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acl {
    /// The user.
    pub user: String,
    /// The type of the resource.
    pub on: On,
    /// The name of the resource.
    pub name: String,
    /// Whether the name is a prefix.
    pub prefixed: bool,
    /// The operation: Read, Write, Create, Describe, DescribeConfigs.
    pub operation: String,
}

const DESCRIBE_ACLS: i16 = 29;
const CREATE_ACLS: i16 = 30;
const VERSION: i16 = 1;
const ANY: i8 = 1;
const ALLOW: i8 = 3;
const LITERAL: i8 = 3;
const PREFIXED: i8 = 4;

fn operation(name: &str) -> Result<i8, Error> {
    match name {
        "Read" => Ok(3),
        "Write" => Ok(4),
        "Create" => Ok(5),
        "Describe" => Ok(8),
        "DescribeConfigs" => Ok(10),
        _ => Err(format!("no operation {name}").into()),
    }
}

fn string(to: &mut Vec<u8>, text: &str) {
    to.extend((text.len() as i16).to_be_bytes());
    to.extend(text.as_bytes());
}

/// Grants these ACLs, and waits until the broker knows all of them.
///
/// # Errors
/// The broker is unavailable, or refused.
pub fn grant(bootstrap: &str, acls: &[Acl]) -> Result<(), Error> {
    let mut stream = TcpStream::connect(bootstrap)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let mut body = (acls.len() as i32).to_be_bytes().to_vec();
    for acl in acls {
        body.push(acl.on as u8);
        string(&mut body, &acl.name);
        body.push(if acl.prefixed { PREFIXED } else { LITERAL } as u8);
        string(&mut body, &format!("User:{}", acl.user));
        string(&mut body, "*");
        body.extend([operation(&acl.operation)? as u8, ALLOW as u8]);
    }
    let answer = ask(&mut stream, CREATE_ACLS, &body)?;
    // The throttle time and the count; then a code and a text for each ACL.
    let mut at = 8;
    for acl in acls {
        let code = i16_at(&answer, at)?;
        if code != 0 {
            return Err(format!("{acl:?}: error {code}").into());
        }
        at += 4 + usize::try_from(i16_at(&answer, at + 2)?).unwrap_or(0);
    }
    wait_for("the broker to know the rights", || (known(&mut stream).ok()? >= acls.len()).then_some(()))
}

/// Returns the number of ACLs that the broker knows.
fn known(stream: &mut TcpStream) -> Result<usize, Error> {
    let mut body = vec![ANY as u8];
    body.extend((-1i16).to_be_bytes());
    body.push(ANY as u8);
    body.extend((-1i16).to_be_bytes());
    body.extend((-1i16).to_be_bytes());
    body.extend([ANY as u8, ANY as u8]);
    let answer = ask(stream, DESCRIBE_ACLS, &body)?;
    // The throttle time, the error code, its text; then the resources with their ACLs.
    let mut at = 6;
    at += 2 + usize::try_from(i16_at(&answer, at)?).unwrap_or(0);
    let (resources, mut count) = (i32_at(&answer, at)?, 0);
    at += 4;
    for _ in 0..resources {
        at += 1 + 2 + usize::try_from(i16_at(&answer, at + 1)?)? + 1;
        let rights = i32_at(&answer, at)?;
        at += 4;
        for _ in 0..rights {
            at += 2 + usize::try_from(i16_at(&answer, at)?)?;
            at += 2 + usize::try_from(i16_at(&answer, at)?)? + 2;
            count += 1;
        }
    }
    Ok(count)
}

/// Sends one request, and returns the body of its response.
fn ask(stream: &mut TcpStream, key: i16, body: &[u8]) -> Result<Vec<u8>, Error> {
    let mut message = [key.to_be_bytes(), VERSION.to_be_bytes()].concat();
    message.extend(1i32.to_be_bytes());
    string(&mut message, "tests");
    message.extend(body);
    stream.write_all(&(message.len() as i32).to_be_bytes())?;
    stream.write_all(&message)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; usize::try_from(i32::from_be_bytes(length))?];
    stream.read_exact(&mut answer)?;
    // The body follows the correlation id.
    Ok(answer.get(4..).ok_or("a short answer")?.to_vec())
}

fn i16_at(bytes: &[u8], at: usize) -> Result<i16, Error> {
    Ok(i16::from_be_bytes(bytes.get(at..at + 2).ok_or("a short answer")?.try_into()?))
}

fn i32_at(bytes: &[u8], at: usize) -> Result<i32, Error> {
    Ok(i32::from_be_bytes(bytes.get(at..at + 4).ok_or("a short answer")?.try_into()?))
}
