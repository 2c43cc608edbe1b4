//! A bucket that cannot be used is refused; one that is unavailable is waited for.
#![allow(clippy::unwrap_used)]

mod rig;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use pricedrop_archive::{AccessKey, Bucket, Error, Options, Reader};
use pricedrop_harness::faults::{Fault, Faulty};
use pricedrop_harness::peers::Peer;
use pricedrop_harness::servers;
use rig::{GROUP, open, s3, s3_at};

#[tokio::test]
async fn a_bucket_belongs_to_the_group_that_took_it() {
    let options = s3();
    open(&options).claim(GROUP).await.unwrap();
    open(&options).claim(GROUP).await.unwrap();
    let error = open(&options).claim("another").await.unwrap_err().to_string();
    assert!(error.contains("holds the archive of the group shop, and this one is another"), "{error}");
    let error = Reader::open(open(&s3()), None).await.unwrap_err().to_string();
    assert!(error.contains("holds no archive"), "{error}");
}

#[tokio::test]
async fn a_url_of_no_store_is_refused() {
    for (url, why) in [
        ("", "is not a URL"),
        ("/var/archive", "is not a URL"),
        ("gs://bucket", "s3: and file: are supported"),
        ("s3:///prefix", "names no bucket"),
    ] {
        let options = Options { url: url.into(), ..Options::default() };
        let error = Bucket::open(&options, pricedrop_outbound::trusting_client(None).unwrap()).unwrap_err();
        assert!(error.to_string().contains(why), "{url}: {error}");
        assert!(!error.is_transient());
    }
}

#[tokio::test]
async fn a_server_that_denies_access_is_not_taken_for_one_that_is_unavailable() {
    let denied =
        Options { access_key: Some(AccessKey { id: "admin".into(), secret: "wrong".into() }), ..s3() };
    let error = open(&denied).claim(GROUP).await.unwrap_err();
    assert!(matches!(error, Error::Denied { .. }), "{error}");
    assert!(error.is_transient() && !error.to_string().contains("wrong"), "{error}");
}

#[tokio::test]
async fn a_bucket_that_does_not_exist_is_refused() {
    let missing = Options { url: "s3://no-such-bucket/x".into(), ..s3() };
    for error in [
        open(&missing).claim(GROUP).await.unwrap_err(),
        // A missing bucket is not read as an empty archive.
        Reader::open(open(&missing), None).await.unwrap_err(),
    ] {
        assert!(matches!(error, Error::NoBucket(_)) && !error.is_transient(), "{error:?}");
        let said = error.to_string();
        assert!(said.contains("archive.url names does not exist") && said.contains("NoSuchBucket"), "{said}");
    }
}

#[tokio::test]
async fn a_bucket_of_another_region_is_refused() {
    let elsewhere = Options { region: Some("eu-central-1".into()), ..s3() };
    let error = open(&elsewhere).claim(GROUP).await.unwrap_err();
    assert!(matches!(error, Error::OtherRegion(_)) && !error.is_transient(), "{error:?}");
    let said = error.to_string();
    assert!(said.contains("archive.region") && said.contains("us-east-1"), "{said}");
    // Amazon's response for a bucket in another region has no `Location` header.
    let server = Faulty::before(&servers::s3()).unwrap();
    server.misbehave(|_| Some(Fault::s3(301, "PermanentRedirect")));
    let error = open(&s3_at(server.address())).claim(GROUP).await.unwrap_err();
    assert!(matches!(error, Error::OtherRegion(_)), "{error:?}");
}

#[tokio::test]
async fn moto_keeps_the_first_of_several_objects() {
    let moto = Peer::s3().unwrap();
    let options = s3_at(&moto.host());
    let bucket = open(&options);
    bucket.claim(GROUP).await.unwrap();
    open(&options).claim(GROUP).await.unwrap();
    let error = open(&options).claim("another").await.unwrap_err().to_string();
    assert!(error.contains("holds the archive of the group shop"), "{error}");
}

/// A server of S3 that accepts every PUT, whatever its conditions.
fn careless_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let objects: Arc<Mutex<HashMap<String, Vec<u8>>>> = Arc::default();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, objects) = (stream.unwrap(), Arc::clone(&objects));
            std::thread::spawn(move || while answer(&stream, &objects).is_some() {});
        }
    });
    address
}

fn answer(mut stream: &TcpStream, objects: &Mutex<HashMap<String, Vec<u8>>>) -> Option<()> {
    let mut reader = BufReader::with_capacity(1, stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let (method, path) = line.split_once(' ').map(|(method, rest)| (method.to_owned(), rest.to_owned()))?;
    let path = path.split(' ').next()?.to_owned();
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        match line.trim_end().split_once(": ") {
            None => break,
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().ok()?
            }
            Some(_) => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let mut objects = objects.lock().unwrap();
    let (status, answer) = match method.as_str() {
        "PUT" => {
            objects.insert(path, body);
            ("200 OK", Vec::new())
        }
        "GET" => objects.get(&path).map_or(("404 Not Found", Vec::new()), |body| ("200 OK", body.clone())),
        _ => ("204 No Content", Vec::new()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\netag: \"x\"\r\n\
         last-modified: Mon, 30 Nov 2026 00:00:00 GMT\r\n\r\n",
        answer.len()
    );
    stream.write_all(&[head.into_bytes(), answer].concat()).ok()
}

#[tokio::test]
async fn a_server_that_ignores_conditions_is_refused() {
    let options = Options { endpoint: Some(format!("http://{}", careless_server())), ..s3() };
    let error = open(&options).claim(GROUP).await.unwrap_err();
    assert!(matches!(error, Error::Refused(_)), "{error}");
    assert!(error.to_string().contains("does not honour If-None-Match"), "{error}");
}
