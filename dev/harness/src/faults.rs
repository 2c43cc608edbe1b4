//! An HTTP/1.1 proxy that injects faults, for tests of how a client handles them. Without
//! faults it passes everything on to its upstream server.
//!
//! Every request has a connection of its own, on both sides. Requests are passed on
//! unchanged, `host` included, so that signatures stay valid.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use crate::{Error, lock};

/// What happens to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The server gets this many bytes of the body, then the connection is closed.
    CutRequest(usize),
    /// The server handles the request, but the connection is closed before the response.
    LoseAnswer,
    /// The server handles the request, but the response is held back until the client gives up.
    HoldAnswer,
    /// The connection is closed in the middle of the response.
    CutAnswer,
    /// The server does not get the request; the response has this status and this body.
    Answer(u16, String),
}

impl Fault {
    /// Returns a response with an S3 error.
    pub fn s3(status: u16, code: &str) -> Fault {
        let xml =
            format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>a test</Message></Error>");
        Fault::Answer(status, xml)
    }
}

/// A request, as far as faults are chosen by it.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its method.
    pub method: String,
    /// Its path and query.
    pub path: String,
}

type Choose = Box<dyn FnMut(&Request) -> Option<Fault> + Send>;

struct State {
    upstream: String,
    choose: Mutex<Option<Choose>>,
    faults: AtomicU64,
}

/// The proxy. It runs until the process ends.
pub struct Faulty {
    address: String,
    state: Arc<State>,
}

impl Faulty {
    /// Starts a proxy in front of the server at this address, without faults.
    ///
    /// # Errors
    /// No port is free.
    pub fn before(upstream: &str) -> Result<Faulty, Error> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.to_string();
        let state = Arc::new(State {
            upstream: upstream.to_owned(),
            choose: Mutex::default(),
            faults: AtomicU64::new(0),
        });
        let of_listener = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().filter_map(Result::ok) {
                let state = Arc::clone(&of_listener);
                // Broken connections are intended here.
                std::thread::spawn(move || serve(&state, &client).unwrap_or_default());
            }
        });
        Ok(Faulty { address, state })
    }

    /// Returns its address, `127.0.0.1:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Chooses the fault of each request from now on; `None`: the request is passed on.
    pub fn misbehave(&self, choose: impl FnMut(&Request) -> Option<Fault> + Send + 'static) {
        *lock(&self.state.choose) = Some(Box::new(choose));
    }

    /// Passes every request on from now on.
    pub fn behave(&self) {
        *lock(&self.state.choose) = None;
    }

    /// Returns how many requests had a fault.
    pub fn faults(&self) -> u64 {
        self.state.faults.load(Relaxed)
    }
}

/// Handles one request.
fn serve(state: &State, client: &TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(client);
    let (request, head, length) = read_head(&mut reader)?;
    let fault = lock(&state.choose).as_mut().and_then(|choose| choose(&request));
    state.faults.fetch_add(u64::from(fault.is_some()), Relaxed);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    if let Some(Fault::Answer(status, text)) = &fault {
        return answer(client, *status, text);
    }
    let mut server = TcpStream::connect(&state.upstream)?;
    server.write_all(&head)?;
    if let Some(Fault::CutRequest(bytes)) = fault {
        server.write_all(&body[..bytes.min(length)])?;
        return server.shutdown(Shutdown::Both);
    }
    server.write_all(&body)?;
    let mut answered = Vec::new();
    server.read_to_end(&mut answered)?;
    match fault {
        Some(Fault::LoseAnswer) => client.shutdown(Shutdown::Both),
        Some(Fault::HoldAnswer) => reader.read_to_end(&mut body).map(|_| ()),
        Some(Fault::CutAnswer) => write(client, &answered[..answered.len() * 2 / 3]),
        _ => write(client, &answered),
    }
}

/// Reads the head of a request. Returns it parsed and as bytes, with the length of the body.
fn read_head(reader: &mut impl BufRead) -> std::io::Result<(Request, Vec<u8>, usize)> {
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut words = first.split(' ').map(str::to_owned);
    let request =
        Request { method: words.next().unwrap_or_default(), path: words.next().unwrap_or_default() };
    let (mut head, mut length) = (first.clone(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().map_err(|_| std::io::ErrorKind::InvalidData)?;
        }
        if !name.eq_ignore_ascii_case("connection") {
            head.push_str(&line);
        }
    }
    head.push_str("connection: close\r\n\r\n");
    Ok((request, head.into_bytes(), length))
}

fn answer(client: &TcpStream, status: u16, text: &str) -> std::io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status} Fault\r\ncontent-type: application/xml\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n",
        text.len()
    );
    write(client, &[head.as_bytes(), text.as_bytes()].concat())
}

fn write(mut client: &TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    client.write_all(bytes)?;
    client.shutdown(Shutdown::Both)
}
