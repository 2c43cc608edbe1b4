//! What a user sees of damaged or deleted files of the store.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use pricedrop_harness::{Home, wait_for};

use crate::support::{get, home, post, put};

/// Runs an engine that stores watches of these users, and stops it.
fn fill(home: &Home, users: u32) {
    let mut engine = home.start().unwrap();
    for user in 0..users {
        put(
            &engine,
            "/v1/watches",
            &format!(r#"{{"productId":"P","userId":"u{user}x","priceWatchValue":9}}"#),
        );
    }
    engine.signal("TERM").unwrap();
    engine.wait().unwrap();
}

fn journal(folder: &Path) -> PathBuf {
    let files = fs::read_dir(folder.join("data/store")).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|end| end == "jnl")).max().unwrap()
}

#[test]
fn a_damaged_byte_stops_the_start_and_the_commands_name_and_save_the_rest() {
    let (folder, home) = home("");
    fill(&home, 30);
    let path = journal(folder.path());
    let mut bytes = fs::read(&path).unwrap();
    let place = bytes.windows(4).position(|window| window == b"u15x").unwrap();
    bytes[place] ^= 1;
    fs::write(&path, bytes).unwrap();
    let run = |arguments: &[&str]| {
        let output = home.command(arguments).output().unwrap();
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        (output.status.code().unwrap(), text)
    };
    let (code, text) = run(&["run"]);
    assert_ne!(code, 0);
    assert!(text.contains("is damaged: store/") && text.contains(".jnl at byte "), "{text}");
    assert!(text.contains("`pricedrop store salvage`"), "{text}");
    let (code, text) = run(&["store", "check"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains(".jnl at byte ") && text.contains("14 valid commits follow"), "{text}");
    let (code, text) = run(&["store", "salvage"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("watches") && text.contains("29 rows saved"), "{text}");
    let (code, text) = run(&["store", "check"]);
    assert!(code == 0 && text.contains("no damage"), "{text}");
    let engine = home.start().unwrap();
    assert_eq!(post(&engine, "/v1/prices", r#"{"productId":"P","newPrice":8}"#).json()["told"], 29);
}

#[test]
fn a_deleted_data_folder_is_an_error_in_readyz_and_of_every_write() {
    let (folder, home) = home("");
    let engine = home.start().unwrap();
    fs::remove_dir_all(folder.path().join("data")).unwrap();
    let gone =
        || engine.reasons().unwrap().iter().any(|reason| reason.contains("were deleted")).then_some(());
    wait_for("the engine to notice", gone).unwrap();
    assert_eq!(get(&engine, "/readyz").status, 503);
    let watch = r#"{"productId":"P","userId":"u","priceWatchValue":9}"#;
    assert_eq!(put(&engine, "/v1/watches", watch).status, 503);
}

#[test]
fn an_engine_with_a_damaged_table_names_it_and_stops_in_order() {
    let (folder, home) = home("[limits]\nshutdown_timeout = \"6s\"\n");
    let mut engine = home.start().unwrap();
    let name = "u".repeat(230);
    let rows: String = (0..90_000).map(|user| format!("P{},9,{name}{user}\n", user % 7)).collect();
    let table = folder.path().join("watches.csv");
    fs::write(&table, format!("product_id,price_watch_value,user_id\n{rows}")).unwrap();
    home.run(&["watch", "import", table.to_str().unwrap()]).unwrap();
    engine.signal("TERM").unwrap();
    engine.wait().unwrap();
    let tables = fs::read_dir(folder.path().join("data/store/keyspaces/2/tables")).unwrap();
    let path = tables.map(|entry| entry.unwrap().path()).next().expect("the rows fill a table");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();

    let mut engine = home.start().unwrap();
    let prices: Vec<String> =
        (0..7).map(|product| format!(r#"{{"productId":"P{product}","newPrice":8}}"#)).collect();
    let mut post = TcpStream::connect(&engine.address).unwrap();
    let body = prices.join("\n");
    write!(
        post,
        "POST /v1/prices HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let file = format!("tables/{}", path.file_name().unwrap().to_str().unwrap());
    let named = || engine.reasons().unwrap().iter().any(|reason| reason.contains(&file)).then_some(());
    wait_for("the damaged file to be named", named).unwrap();
    engine.signal("TERM").unwrap();
    engine.wait().unwrap();
}
