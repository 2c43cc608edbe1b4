//! A mail server without TLS that replies with given bytes.

use std::sync::{Arc, Mutex};

use pricedrop_model::channel::{Access, MailAccount, MailTls};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// A running server; it ends with the test's runtime.
pub struct Script {
    pub port: u16,
    commands: Arc<Mutex<Vec<String>>>,
}

/// The bytes that reply to a line that begins with this text. `<` is the greeting.
pub type Replies = Vec<(&'static str, Vec<u8>)>;

const USUAL: [(&str, &str); 9] = [
    ("<", "220 mx.test\r\n"),
    ("EHLO", "250 mx.test\r\n"),
    ("MAIL", "250 ok\r\n"),
    ("RCPT", "250 ok\r\n"),
    ("DATA", "354 go on\r\n"),
    (".", "250 accepted\r\n"),
    ("NOOP", "250 ok\r\n"),
    ("QUIT", "221 bye\r\n"),
    ("", "500 unknown\r\n"),
];

impl Script {
    /// Starts a server with these replies in place of the usual ones.
    pub async fn start(replies: Replies) -> Script {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let commands = Arc::new(Mutex::new(Vec::new()));
        let (written, replies) = (Arc::clone(&commands), Arc::new(replies));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(session(stream, Arc::clone(&replies), Arc::clone(&written)));
            }
        });
        Script { port, commands }
    }

    /// Returns the access of a channel that sends over this server.
    pub fn access(&self) -> Access {
        let account = MailAccount {
            from: "Price drops <alerts@shop.test>".into(),
            host: "127.0.0.1".into(),
            hello: None,
            port: self.port,
            tls: MailTls::None,
            username: None,
            password: None,
            ca_file: None,
            dkim: None,
        };
        Access { mail: Some(account), ..Access::default() }
    }

    /// Returns the received commands that begin with this text.
    pub fn commands(&self, start: &str) -> Vec<String> {
        let commands = self.commands.lock().unwrap();
        commands.iter().filter(|command| command.starts_with(start)).cloned().collect()
    }
}

async fn session(stream: TcpStream, replies: Arc<Replies>, commands: Arc<Mutex<Vec<String>>>) {
    let reply_to = |line: &str| {
        let given = replies.iter().find(|(start, _)| line.starts_with(start)).map(|(_, reply)| reply.clone());
        let usual = || USUAL.iter().find(|(start, _)| line.starts_with(start)).unwrap().1.as_bytes().to_vec();
        given.unwrap_or_else(usual)
    };
    let mut stream = BufReader::new(stream);
    let mut is_mail = false;
    let mut reply = reply_to("<");
    loop {
        if stream.write_all(&reply).await.is_err() {
            return;
        }
        let line = loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            if !is_mail || line == ".\r\n" {
                break line.trim_end().to_owned();
            }
        };
        commands.lock().unwrap().push(line.clone());
        reply = reply_to(&line);
        is_mail = line == "DATA" && reply.starts_with(b"354");
    }
}
