//! Bodies with a `Content-Encoding`.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::rig::{Served, served};

const WATCH: &str = r#"{"productId":"P","userId":"u1","priceWatchValue":80}"#;

/// The answer to watches that are sent with this content encoding.
async fn put(served: &Served, encoding: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let length = body.len();
    let head = format!(
        "PUT /v1/watches HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-encoding: {encoding}\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zlib(text: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn raw_deflate(text: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zstd(text: &[u8]) -> Vec<u8> {
    zstd::encode_all(text, 3).unwrap()
}

#[tokio::test]
async fn an_encoded_body_is_decoded() {
    let text = WATCH.as_bytes();
    let two_members = [gzip(&text[..9]), gzip(&text[9..])].concat();
    for (encoding, body) in [
        ("gzip", gzip(text)),
        ("GZIP", two_members),
        ("zstd", zstd(text)),
        ("deflate", zlib(text)),
        ("deflate", raw_deflate(text)),
        ("identity", text.to_vec()),
    ] {
        let answer = put(&served().await, encoding, &body).await;
        assert!(answer.contains(r#"{"written":1,"#), "{encoding}: {answer}");
    }
}

#[tokio::test]
async fn a_body_that_exceeds_the_limit_after_decoding_is_refused() {
    let blanks = vec![b' '; 10_000];
    for (encoding, body) in [("gzip", gzip(&blanks)), ("zstd", zstd(&blanks)), ("deflate", zlib(&blanks))] {
        assert!(body.len() < 400);
        let answer = put(&served().await, encoding, &body).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{encoding}: {answer}");
        assert!(answer.contains("the decoded body is longer than 400 bytes"), "{answer}");
    }
}

#[tokio::test]
async fn an_encoding_that_is_not_supported_is_refused_with_those_that_are() {
    for encoding in ["br", "gzip, gzip"] {
        let answer = put(&served().await, encoding, WATCH.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 415 "), "{answer}");
        assert!(answer.contains("gzip, zstd or deflate"), "{answer}");
    }
}

#[tokio::test]
async fn a_damaged_body_is_refused_as_a_whole() {
    let whole = gzip(WATCH.as_bytes());
    for (encoding, body) in [("gzip", &whole[..whole.len() - 9]), ("zstd", &whole[..]), ("gzip", b"{}")] {
        let answer = put(&served().await, encoding, body).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{encoding}: {answer}");
        assert!(answer.contains("the body could not be decoded"), "{answer}");
    }
}
