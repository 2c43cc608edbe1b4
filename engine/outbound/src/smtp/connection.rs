//! One SMTP session: greeting, EHLO, STARTTLS, AUTH, and one mail after the other.
//!
//! Invariant: commands contain no line break except their own, because every value in them was
//! checked before.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pricedrop_model::channel::MailTls;
use tokio::io::{AsyncBufRead, AsyncWriteExt, BufStream};

use super::Error;
use super::reply::{ServerReply, read_reply};
use super::server::{Server, Stream};

/// The addresses of a mail.
pub(crate) struct Envelope<'a> {
    /// The sender.
    pub(crate) from: &'a str,
    /// The recipient.
    pub(crate) to: &'a str,
}

/// A connection that is ready to send mails.
pub(crate) struct Connection {
    stream: BufStream<Box<dyn Stream>>,
    extensions: Extensions,
    is_broken: bool,
}

/// What the server offers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Extensions {
    starttls: bool,
    eight_bit: bool,
    utf8: bool,
    auth_plain: bool,
    auth_login: bool,
}

impl Connection {
    /// Connects, encrypts as the account says, and authenticates with the user name and password.
    ///
    /// # Errors
    /// The connection fails, or the server refuses it.
    pub(crate) async fn open(server: &Server, login: Option<(&str, &str)>) -> Result<Connection, Error> {
        let tcp = server.tcp().await?;
        let mut connection = match server.tls {
            MailTls::Implicit => Connection::greet(server.encrypt(tcp).await?, server).await?,
            MailTls::None => Connection::greet(Box::new(tcp), server).await?,
            MailTls::Starttls => Connection::greet(Box::new(tcp), server).await?.starttls(server).await?,
        };
        if let Some((username, password)) = login {
            connection.authenticate(username, password).await?;
        }
        Ok(connection)
    }

    async fn greet(stream: Box<dyn Stream>, server: &Server) -> Result<Connection, Error> {
        let mut connection = Connection::of(stream);
        let greeting = connection.reply().await?;
        expect("the greeting", 2, greeting)?;
        connection.say_hello(server).await?;
        Ok(connection)
    }

    fn of(stream: Box<dyn Stream>) -> Connection {
        Connection { stream: BufStream::new(stream), extensions: Extensions::default(), is_broken: false }
    }

    async fn say_hello(&mut self, server: &Server) -> Result<(), Error> {
        let reply = self.command("EHLO", &format!("EHLO {}", server.hello), 2).await?;
        self.extensions = Extensions::of(&reply);
        Ok(())
    }

    /// Encrypts the connection. Nothing that was sent before counts after it (RFC 3207).
    async fn starttls(mut self, server: &Server) -> Result<Connection, Error> {
        if !self.extensions.starttls {
            return Err(Error::Missing("STARTTLS"));
        }
        self.command("STARTTLS", "STARTTLS", 2).await?;
        // Anybody on the way could have sent it.
        self.expect_silence().await?;
        let mut connection = Connection::of(server.encrypt(self.stream.into_inner()).await?);
        connection.say_hello(server).await?;
        Ok(connection)
    }

    async fn authenticate(&mut self, username: &str, password: &str) -> Result<(), Error> {
        if self.extensions.auth_plain {
            let initial = STANDARD.encode(format!("\0{username}\0{password}"));
            self.command("AUTH", &format!("AUTH PLAIN {initial}"), 2).await?;
        } else if self.extensions.auth_login {
            self.command("AUTH", "AUTH LOGIN", 3).await?;
            self.command("AUTH", &STANDARD.encode(username), 3).await?;
            self.command("AUTH", &STANDARD.encode(password), 2).await?;
        } else {
            return Err(Error::Missing("AUTH PLAIN or AUTH LOGIN"));
        }
        Ok(())
    }

    /// Sends a mail and returns the code and the text of the reply that accepted it.
    ///
    /// # Errors
    /// The server refused it or cannot send it, or the connection broke. Do not use the connection
    /// again.
    pub(crate) async fn send(
        &mut self,
        envelope: &Envelope<'_>,
        mail: &[u8],
    ) -> Result<(u16, String), Error> {
        let parameters = self.parameters(envelope, mail)?;
        self.command("MAIL FROM", &format!("MAIL FROM:<{}>{parameters}", envelope.from), 2).await?;
        self.command("RCPT TO", &format!("RCPT TO:<{}>", envelope.to), 2).await?;
        self.command("DATA", "DATA", 3).await?;
        self.stream.write_all(&with_dots_doubled(mail)).await?;
        let reply = self.reply_to("\r\n.\r\n").await?;
        let reply = expect("the mail", 2, reply)?;
        // The mail is accepted; what follows unasked would be taken for the reply to the next one.
        self.is_broken |= self.expect_silence().await.is_err();
        Ok((reply.code, reply.text()))
    }

    fn parameters(&self, envelope: &Envelope<'_>, mail: &[u8]) -> Result<String, Error> {
        let mut parameters = String::new();
        if !envelope.to.is_ascii() && !self.extensions.utf8 {
            return Err(Error::RecipientNeedsUtf8);
        }
        if !envelope.from.is_ascii() && !self.extensions.utf8 {
            return Err(Error::Missing("SMTPUTF8, which the sender's address needs"));
        }
        if !envelope.to.is_ascii() || !envelope.from.is_ascii() {
            parameters.push_str(" SMTPUTF8");
        }
        if !mail.is_ascii() {
            if !self.extensions.eight_bit {
                return Err(Error::Missing("8BITMIME"));
            }
            parameters.push_str(" BODY=8BITMIME");
        }
        Ok(parameters)
    }

    /// Whether the server still replies.
    pub(crate) async fn is_alive(&mut self) -> bool {
        self.command("NOOP", "NOOP", 2).await.is_ok()
    }

    /// Whether a reply was incomplete, so that the next one could not be read.
    pub(crate) fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Ends the session without waiting for the server's reply.
    pub(crate) async fn quit(mut self) {
        let _ = self.stream.write_all(b"QUIT\r\n").await;
        let _ = self.stream.shutdown().await;
    }

    /// Sends a command. The first digit of the reply's code must be `class`.
    async fn command(&mut self, name: &'static str, line: &str, class: u16) -> Result<ServerReply, Error> {
        self.expect_silence().await?;
        self.stream.write_all(line.as_bytes()).await?;
        let reply = self.reply_to("\r\n").await?;
        expect(name, class, reply)
    }

    /// Fails if the server has sent something that no command asked for, or has closed the
    /// connection. Its replies no longer belong to the commands then.
    async fn expect_silence(&mut self) -> Result<(), Error> {
        let arrived = poll_fn(|context| match Pin::new(&mut self.stream).poll_fill_buf(context) {
            Poll::Pending => Poll::Ready(Ok(None)),
            Poll::Ready(read) => Poll::Ready(read.map(|bytes| Some(bytes.len()))),
        });
        let why = match arrived.await? {
            None => return Ok(()),
            Some(0) => "the mail server closed the connection",
            Some(_) => "the mail server sent a reply that no command asked for",
        };
        self.is_broken = true;
        Err(io::Error::new(io::ErrorKind::InvalidData, why).into())
    }

    async fn reply_to(&mut self, end: &str) -> Result<ServerReply, Error> {
        self.stream.write_all(end.as_bytes()).await?;
        self.stream.flush().await?;
        self.reply().await
    }

    async fn reply(&mut self) -> Result<ServerReply, Error> {
        let reply = read_reply(&mut self.stream).await?;
        self.is_broken |= reply.is_cut;
        Ok(reply)
    }
}

impl Extensions {
    fn of(reply: &ServerReply) -> Extensions {
        let mut extensions = Extensions::default();
        for line in &reply.lines {
            let line = line.to_ascii_uppercase();
            let mut words = line.split([' ', '=']);
            match words.next() {
                Some("STARTTLS") => extensions.starttls = true,
                Some("8BITMIME") => extensions.eight_bit = true,
                Some("SMTPUTF8") => extensions.utf8 = true,
                Some("AUTH") => words.for_each(|word| {
                    extensions.auth_plain |= word == "PLAIN";
                    extensions.auth_login |= word == "LOGIN";
                }),
                _ => {}
            }
        }
        extensions
    }
}

fn expect(command: &'static str, class: u16, reply: ServerReply) -> Result<ServerReply, Error> {
    match reply.code / 100 == class {
        true => Ok(reply),
        false => Err(Error::Refused { command, reply }),
    }
}

/// Doubles the dot at the start of a line, because a line with one dot ends the mail (RFC 5321,
/// section 4.5.2). Line ends are CRLF.
fn with_dots_doubled(mail: &[u8]) -> Vec<u8> {
    let mut doubled = Vec::with_capacity(mail.len() + 16);
    let mail = mail.strip_suffix(b"\r\n").unwrap_or(mail);
    let mut is_line_start = true;
    for &byte in mail {
        if is_line_start && byte == b'.' {
            doubled.push(b'.');
        }
        doubled.push(byte);
        is_line_start = byte == b'\n';
    }
    doubled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_begins_with_a_dot_does_not_end_the_mail() {
        for (mail, sent) in [
            ("a\r\n.\r\nb\r\n", "a\r\n..\r\nb"),
            (".", ".."),
            ("..\r\n", "..."),
            ("a.b\r\n.c", "a.b\r\n..c"),
            ("", ""),
        ] {
            assert_eq!(with_dots_doubled(mail.as_bytes()), sent.as_bytes(), "{mail:?}");
        }
    }

    #[test]
    fn extensions_are_read_in_any_case() {
        let lines =
            ["mx.test hello", "size 1000", "AUTH=LOGIN", "auth CRAM-MD5 plain", "smtputf8", "8BitMIME"];
        let lines = lines.map(str::to_owned).to_vec();
        let extensions = Extensions::of(&ServerReply { code: 250, lines, is_cut: false });
        let expected =
            Extensions { starttls: false, eight_bit: true, utf8: true, auth_plain: true, auth_login: true };
        assert_eq!(extensions, expected);
    }
}
