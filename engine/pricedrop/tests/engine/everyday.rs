//! Files and names as users and their tools write them.

use pricedrop_harness::{Home, shipped};

use crate::support::{home, post};

/// Runs a command. Returns its standard output and its standard error.
fn run(home: &Home, arguments: &[&str]) -> (String, String) {
    let output = home.command(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn imports_read_the_files_that_spreadsheets_and_tools_write() {
    let (folder, home) = home("");
    let _engine = home.start().unwrap();
    let header = "product_id;price_watch_value;user_id;mode\r\n";
    let watch = |user: &str| {
        format!("{{\n \"productId\": \"B6\",\n \"userId\": \"{user}\",\n \"priceWatchValue\": 80\n}}")
    };
    for (name, text) in [
        ("semicolons.csv", format!("\u{feff}{header}B6 ; 80; u1\r\n\"B6\";81;u2;once\r\n")),
        ("tabs.csv", header.replace(';', "\t") + "B6\t82\tu3\nB6\t83\tu4\t\n"),
        ("joined.json", format!("\u{feff}{}{}", watch("u5"), watch("u6"))),
        ("array.json", format!("[{},\n{}]\n", watch("u7"), watch("u8"))),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
        let (out, err) = run(&home, &["watch", "import", name]);
        assert_eq!((out.as_str(), err.as_str()), ("watches written: 2, invalid lines: 0\n", ""), "{name}");
    }
    let (watches, _) = run(&home, &["watch", "list", "B6"]);
    assert!(watches.starts_with("B6\t80\tu1\t-\t-\n"), "{watches}");
    assert_eq!(watches.lines().count(), 8, "{watches}");
}

#[test]
fn one_rule_holds_for_the_csv_files_of_all_imports() {
    let (folder, home) = home("");
    let _engine = home.start().unwrap();
    let file = |name: &str, text: &[u8]| std::fs::write(folder.path().join(name), text).unwrap();
    file("w.csv", b"product_id,price_watch_value,user_id,mode\nA,1,u1\n\"A,2,u2\nA,3,u3\nM\xfc,4,u4\n");
    file("r.csv", b"user_id,channel,address,locale\nu1,channel-console,x\n\"u2,c,x\nu3,channel-console,y\n");
    let (out, err) = run(&home, &["watch", "import", "w.csv"]);
    assert_eq!(out, "watches written: 2, invalid lines: 2\n");
    assert!(err.starts_with("line 3: a quote that opens on this line is not closed on it\n"), "{err}");
    assert!(err.contains("line 5: byte 2 of the line is 0xfc") && err.contains("Windows-1252"), "{err}");
    let (out, err) = run(&home, &["recipient", "import", "r.csv"]);
    assert_eq!(out, "recipients written: 2, invalid lines: 1\n", "{err}");
    let (_, err) = run(&home, &["watch", "import", "--separator", "semicolon", "w.csv"]);
    assert!(err.contains("the header must name product_id"), "{err}");
    let utf16: Vec<u8> = "\u{feff}product_id\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    file("utf16.csv", &utf16);
    let (_, err) = run(&home, &["recipient", "import", "utf16.csv"]);
    assert!(err.contains("utf16.csv: the file is encoded in UTF-16") && err.contains("iconv"), "{err}");
}

#[test]
fn an_added_watch_says_that_its_price_is_reached_already() {
    let (_folder, home) = home("");
    let engine = home.start().unwrap();
    post(&engine, "/v1/prices", r#"{"productId":"PB","newPrice":70}"#);
    let (out, _) = run(&home, &["watch", "add", "PB", "80", "u1"]);
    assert!(out.contains("it costs 70 now, which is low enough already"), "{out}");
    assert!(out.contains("at the next drop to 80 or below"), "{out}");
    let (out, _) = run(&home, &["watch", "add", "PB", "80", "u2", "--mode", "crossing"]);
    assert!(out.contains("low enough already") && out.contains("has been above 80"), "{out}");
    let (out, _) = run(&home, &["watch", "add", "PB", "60", "u3"]);
    assert_eq!(out, "u3 is notified when PB is at or below 60; it costs 70 now\n");
}

#[test]
fn no_name_reaches_the_terminal_with_control_characters() {
    let (_folder, home) = home("");
    let engine = home.start().unwrap();
    let name = "P\u{1b}[2J\u{9b}2J\u{202e}";
    let (out, _) = run(&home, &["watch", "add", name, "80", "u\u{7}"]);
    let mut all = out;
    for price in [90, 70] {
        let update = serde_json::json!({"productId": name, "newPrice": price});
        post(&engine, "/v1/prices", update.to_string());
    }
    post(&engine, "/v1/prices", serde_json::json!({"productId": name, "newPrice": "\u{1b}[2J"}).to_string());
    for command in ["watch", "notifications", "dlq"] {
        for arguments in [&[command, "list"][..], &[command, "list", "--json"]] {
            let (out, err) = run(&home, arguments);
            assert!(!out.is_empty(), "{arguments:?}");
            all += &(out + &err);
        }
    }
    let (listed, _) = run(&home, &["watch", "list"]);
    assert_eq!(listed, "P\\u{1b}[2J\\u{9b}2J\\u{202e}\t80\tu\\u{7}\t-\t-\n");
    let (json, _) = run(&home, &["watch", "list", "--json"]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["productId"], name);
    let (_, err) = run(&home, &["watch", "list", "--url", "http://127.0.0.1:9/\u{1b}[2J"]);
    all += &err;
    let control = |character: &char| character.is_control() && !matches!(character, '\n' | '\t');
    assert_eq!(all.chars().find(|character| control(character) || *character == '\u{202e}'), None, "{all:?}");
}

#[test]
fn simulate_uses_the_only_policy_of_the_folder_that_is_named() {
    let (folder, home) = home("bucketing = \"bucketing-other\"\n");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("w.csv", "product_id,price_watch_value,user_id\nP,80,u1\n");
    write("u.json", "{\"productId\":\"P\",\"newPrice\":79}");
    std::fs::create_dir(folder.path().join("mine")).unwrap();
    std::fs::copy(shipped("bucketing-floor"), folder.path().join("mine/bucketing-mine.wasm")).unwrap();
    let files = ["simulate", "--watches", "w.csv", "--updates", "u.json", "--plugins", "mine"];
    let (out, err) = run(&home, &files);
    assert!(out.starts_with(r#"{"userId":"u1""#), "{out}{err}");
}
