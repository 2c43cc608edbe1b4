//! The shared servers and the servers of a single test: each speaks its own protocol, and
//! survives or ends as documented.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use pricedrop_harness::servers::{self, Kind, Own};

/// Sends a request and reads the first `length` bytes of the response.
fn ask(address: &str, question: &[u8], length: usize) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(question)?;
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

/// Sends a command in the protocol of Redis.
fn redis(address: &str, words: &[&str], length: usize) -> String {
    let mut question = format!("*{}\r\n", words.len());
    for word in words {
        question += &format!("${}\r\n{word}\r\n", word.len());
    }
    String::from_utf8(ask(address, question.as_bytes(), length).unwrap()).unwrap()
}

/// Sends a query in version 4 of Cassandra's protocol. Returns the response, which is not an error.
fn query(address: &str, text: &str) -> String {
    const STARTUP: &[u8] = b"\x04\0\0\0\x01\0\0\0\x16\0\x01\0\x0bCQL_VERSION\0\x053.0.0";
    const READY: u8 = 0x02;
    const AUTHENTICATE: u8 = 0x03;
    const AUTH_SUCCESS: u8 = 0x10;
    const RESULT: u8 = 0x08;
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(STARTUP).unwrap();
    match frame(&mut stream).0 {
        AUTHENTICATE => {
            stream.write_all(b"\x04\0\0\0\x0f\0\0\0\x18\0\0\0\x14\0cassandra\0cassandra").unwrap();
            assert_eq!(frame(&mut stream).0, AUTH_SUCCESS);
        }
        operation => assert_eq!(operation, READY),
    }
    let body = [&u32::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes(), b"\0\x01\0"].concat();
    let head = [&b"\x04\0\0\0\x07"[..], &u32::try_from(body.len()).unwrap().to_be_bytes()].concat();
    stream.write_all(&[head, body].concat()).unwrap();
    let (operation, answer) = frame(&mut stream);
    assert_eq!(operation, RESULT, "{text}: {answer}");
    answer
}

/// Reads one frame of Cassandra's protocol: its opcode, and the printable part of its body.
fn frame(stream: &mut TcpStream) -> (u8, String) {
    let mut head = [0; 9];
    stream.read_exact(&mut head).unwrap();
    let length = u32::from_be_bytes(head[5..].try_into().unwrap());
    let mut body = vec![0; usize::try_from(length).unwrap()];
    stream.read_exact(&mut body).unwrap();
    (head[4], String::from_utf8_lossy(&body).into_owned())
}

/// Asks Kafka for its API versions. Returns the correlation id and the error code.
fn api_versions(address: &str) -> Vec<u8> {
    let question = b"\0\0\0\x0a\0\x12\0\0\0\0\0\x07\xff\xff";
    ask(address, question, 10).unwrap()[4..].to_vec()
}

const VERSIONS: &[u8] = b"\0\0\0\x07\0\0";

/// Asks Kafka to create a topic `t` with three replicas. Returns the error code.
fn create_topic(address: &str) -> u16 {
    let question = b"\0\x13\0\x02\0\0\0\0\xff\xff\
        \0\0\0\x01\0\x01t\0\0\0\x01\0\x03\0\0\0\0\0\0\0\0\0\0\x75\x30\0";
    let length = u32::try_from(question.len()).unwrap().to_be_bytes();
    let answer = ask(address, &[&length[..], question].concat(), 21).unwrap();
    u16::from_be_bytes([answer[19], answer[20]])
}

/// Returns whether Kafka accepts SCRAM-SHA-256 in a SASL handshake of version 1.
fn offers_scram(address: &str) -> bool {
    let question = b"\0\0\0\x19\0\x11\0\x01\0\0\0\0\xff\xff\0\x0dSCRAM-SHA-256";
    ask(address, question, 10).unwrap()[8..] == [0, 0]
}

const CREATED: u16 = 0;
const EXISTS: u16 = 36;

#[test]
fn the_shared_servers_answer_in_their_own_protocols() {
    assert_eq!(redis(&servers::redis(), &["PING"], 7), "+PONG\r\n");
    assert_eq!(api_versions(&servers::kafka()), VERSIONS);
    assert!(query(&servers::cassandra(), "SELECT cluster_name FROM system.local").ends_with("pricedrop"));
}

#[test]
fn a_shared_server_is_the_same_for_every_process() {
    let again = std::process::Command::new(pricedrop_harness::repository().join("dev/servers/start"))
        .args(["redis", "--shared"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(again.stdout).unwrap().trim(), servers::redis());
}

#[test]
fn an_own_redis_keeps_its_data_when_it_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut own = Own::redis(folder.path()).unwrap();
    let address = own.address().to_owned();
    assert_ne!(address, servers::redis());
    assert_eq!(redis(&address, &["SET", "a", "b"], 5), "+OK\r\n");
    own.kill().unwrap();
    assert!(TcpStream::connect(&address).is_err(), "nobody listens");
    own.start().unwrap();
    assert_eq!(own.address(), address, "the same port");
    assert_eq!(redis(&address, &["GET", "a"], 7), "$1\r\nb\r\n");
}

#[test]
fn a_secure_redis_wants_a_password() {
    let folder = tempfile::tempdir().unwrap();
    let own = Own::secure(Kind::Redis, folder.path()).unwrap();
    assert_eq!(redis(own.address(), &["PING"], 7), "-NOAUTH");
    assert_eq!(redis(own.address(), &["AUTH", "pricedrop", "pricedrop-secret"], 5), "+OK\r\n");
    assert!(TcpStream::connect(own.listener(1)).is_ok(), "TLS");
    assert!(own.authority().is_file());
}

#[test]
fn a_paused_server_answers_when_it_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let own = Own::redis(folder.path()).unwrap();
    own.all().pause().unwrap();
    let mut stream = TcpStream::connect(own.address()).unwrap();
    stream.write_all(b"PING\r\n").unwrap();
    let mut answer = [0; 7];
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(stream.read_exact(&mut answer).is_err(), "paused");
    own.all().resume().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"+PONG\r\n");
}

#[test]
fn an_own_server_ends_with_its_value() {
    let folder = tempfile::tempdir().unwrap();
    let own = Own::redis(folder.path()).unwrap();
    let address = own.address().to_owned();
    drop(own);
    assert!(TcpStream::connect(&address).is_err());
}

#[test]
fn a_secure_cassandra_keeps_its_data_when_it_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut own = Own::secure(Kind::Cassandra, folder.path()).unwrap();
    let address = own.address().to_owned();
    for statement in [
        "CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
        "CREATE TABLE k.t (a text PRIMARY KEY)",
        "INSERT INTO k.t (a) VALUES ('still here')",
    ] {
        query(&address, statement);
    }
    own.kill().unwrap();
    own.start().unwrap();
    assert_eq!(own.address(), address);
    assert!(query(&address, "SELECT a FROM k.t").ends_with("still here"));
}

#[test]
fn one_broker_of_three_is_killed_and_comes_back_and_all_keep_their_topics() {
    let folder = tempfile::tempdir().unwrap();
    let mut own =
        Own::with(Kind::Kafka, folder.path(), &["--nodes", "3", "--heap", "256m", "--secure"]).unwrap();
    let brokers: Vec<String> = own.address().split(',').map(str::to_owned).collect();
    assert_eq!(brokers.len(), 3);
    assert_eq!(create_topic(&brokers[0]), CREATED);
    assert!(offers_scram(&own.listener(1)));
    assert!(TcpStream::connect(own.listener(2)).is_ok(), "TLS");
    own.node(2).kill().unwrap();
    assert!(TcpStream::connect(&brokers[1]).is_err());
    assert_eq!(api_versions(&brokers[0]), VERSIONS);
    own.start().unwrap();
    for broker in &brokers {
        assert_eq!(api_versions(broker), VERSIONS, "{broker}");
    }
    own.restart().unwrap();
    assert_eq!(create_topic(&brokers[1]), EXISTS);
}

#[test]
fn what_stands_in_the_way_of_a_start_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = held.local_addr().unwrap().port().to_string();
    let report = Own::with(Kind::Redis, folder.path(), &["--port", &port]).unwrap_err().to_string();
    assert!(report.contains("taken by another program"), "{report}");
}

#[test]
fn the_images_for_containers_are_of_the_same_versions() {
    let read = |file: &str| std::fs::read_to_string(pricedrop_harness::repository().join(file)).unwrap();
    let (versions, compose) = (read("dev/servers/versions.bash"), read("docker-compose.yml"));
    let version = |name: &str| versions.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
    assert!(compose.contains(&format!("image: apache/kafka:{}\n", version("kafka_version="))));
    // The tags of its images have only two of the three version numbers.
    let cassandra = version("cassandra_version=");
    let (minor, _) = cassandra.rsplit_once('.').unwrap();
    assert!(compose.contains(&format!("image: cassandra:{minor}\n")));
}
