//! Clients that are slow or idle.

use std::time::Duration;

use pricedrop_http::Options;
use pricedrop_model::Rules;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::rig::{Served, options, serve};

/// A connection that sent this much of a request.
async fn began(served: &Served, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

/// A request whose body does not arrive.
const SLOW_BODY: &str =
    "POST /v1/prices HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n";

#[tokio::test]
async fn health_is_answered_while_slow_bodies_use_all_requests() {
    let served = serve(Options { max_concurrent_requests: 2, ..options() }, Rules::default()).await;
    let mut slow = Vec::new();
    for _ in 0..2 {
        let mut stream = began(&served, SLOW_BODY).await;
        // The engine asks for the body, so the request has its permit.
        let mut asked = [0; 12];
        stream.read_exact(&mut asked).await.unwrap();
        assert_eq!(&asked, b"HTTP/1.1 100");
        slow.push(stream);
    }
    assert_eq!(served.get("/v1/watches").await.status, 503);
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(served.get(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn a_connection_whose_next_head_does_not_arrive_in_time_is_closed() {
    let hasty = Options { head_timeout: Duration::from_millis(50), ..options() };
    let served = serve(hasty, Rules::default()).await;
    let answered = "GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n";
    for (text, status) in [("", ""), ("GET /livez HTTP/1.1\r\nho", ""), (answered, "HTTP/1.1 200")] {
        let mut stream = began(&served, text).await;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(status), "{text:?}: {answer:?}");
    }
}

#[tokio::test]
async fn a_connection_past_the_limit_closes_the_one_that_has_been_idle_for_longest() {
    let served = serve(Options { max_connections: 2, ..options() }, Rules::default()).await;
    let mut idle = Vec::new();
    for _ in 0..20 {
        idle.push(began(&served, "GET /livez HTTP/1.1\r\nhost: ").await);
        assert_eq!(served.get("/livez").await.status, 200);
    }
    let mut answer = String::new();
    idle[0].read_to_string(&mut answer).await.unwrap_or(0);
    assert_eq!(answer, "", "the oldest is closed");
}

#[tokio::test]
async fn a_connection_whose_client_reads_nothing_is_closed() {
    let hasty = Options { body_timeout: Duration::from_millis(100), ..options() };
    let served = serve(hasty, Rules::default()).await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    // Requests go in and no response is read, until the buffers of the system are full.
    let requests = "GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(1_000);
    while stream.write_all(requests.as_bytes()).await.is_ok() {}
    assert_eq!(served.get("/livez").await.status, 200);
}

#[tokio::test]
async fn a_connection_past_the_limit_waits_while_all_are_being_served() {
    let served = serve(Options { max_connections: 1, ..options() }, Rules::default()).await;
    let mut first = began(&served, SLOW_BODY).await;
    first.read_exact(&mut [0; 12]).await.unwrap();
    let mut second =
        began(&served, "GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    let mut answer = String::new();
    let waited = tokio::time::timeout(Duration::from_millis(100), second.read_to_string(&mut answer)).await;
    assert!(waited.is_err(), "{answer}");
    drop(first);
    second.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}
