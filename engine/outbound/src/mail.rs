//! Sends mails over SMTP, on pooled connections of one account.
//!
//! Invariant: a connection sends one mail at a time, and is reused only after a mail that the
//! server accepted. After a timeout or an error, its next response could belong to the previous
//! mail.

use std::sync::Mutex;
use std::time::Duration;

use lettre::Address;
use lettre::message::Mailbox;
use pricedrop_model::channel::{Mail, MailAccount, MailTls, Reply, SendError, SendRequest};
use pricedrop_model::sync::lock;
use tokio::time::Instant;

use super::dkim;
use super::limits::{MAIL_TRUSTED_MS, Options, REASON_BYTES};
use super::mime_message::build_message;
use super::secret::{Revealed, Secrets};
use super::smtp::{Connection, Envelope, Error, Server};

/// A mail account with its idle connections.
pub(super) struct MailPool {
    account: MailAccount,
    from: Mailbox,
    server: Server,
    idle: Mutex<Vec<Idle>>,
    idle_ms: u64,
    most_idle: usize,
}

/// An idle connection, with the password that authenticated it. A changed password needs a new one.
struct Idle {
    connection: Connection,
    password: Option<Revealed>,
    since: Instant,
}

impl MailPool {
    pub(super) fn new(account: &MailAccount, options: &Options) -> Result<MailPool, String> {
        if account.tls == MailTls::None && account.username.is_some() {
            return Err("a password is not sent without TLS; set tls, or remove the username".into());
        }
        account.dkim.as_ref().map_or(Ok(()), dkim::check)?;
        Ok(MailPool {
            from: sender(&account.from)?,
            server: Server::new(account, options.ca_file.as_deref())?,
            account: account.clone(),
            idle: Mutex::default(),
            idle_ms: options.idle_ms,
            most_idle: options.idle_connections,
        })
    }

    /// Sends one mail to the request's address. `most_bytes` limits its text and HTML.
    ///
    /// # Errors
    /// The address is invalid or the server cannot send to it, or the mail breaks a limit or a rule:
    /// a retry would fail too.
    pub(super) async fn send(
        &self,
        request: &SendRequest<'_>,
        mail: &Mail,
        most_bytes: usize,
        secrets: &Secrets,
    ) -> Result<Reply, SendError> {
        let to = address(&request.to.address).map_err(|error| {
            SendError::BadRecipient(format!("the address is not a mail address: {error}"))
        })?;
        let unsubscribe = request.unsubscribe_url;
        let mut message =
            build_message(&self.from, &to, mail, request.idempotency_key, unsubscribe, most_bytes)?;
        if let Some(signature) = &self.account.dkim {
            let signed = secrets.read_text(&signature.key).map_err(|error| error.to_string());
            let signed = signed.and_then(|key| dkim::sign(&mut message, signature, key.reveal()));
            if let Err(error) = signed {
                return Ok(Reply::Unanswered(format!("the mail cannot be signed: {error}")));
            }
        }
        let password = match self.account.password.as_ref().map(|secret| secrets.read(secret)).transpose() {
            Ok(password) => password,
            Err(error) => return Ok(Reply::Unanswered(format!("the mail password is unavailable: {error}"))),
        };
        let bytes = message.formatted();
        let envelope = Envelope { from: self.from.email.as_ref(), to: to.as_ref() };
        let exchange = self.exchange(&envelope, &bytes, password);
        let limit = Duration::from_millis(request.timeout_ms);
        // A timeout drops the connection in the middle of its SMTP session.
        tokio::time::timeout(limit, exchange).await.unwrap_or_else(|_| {
            let reason = format!("no response of the mail server within {} ms", request.timeout_ms);
            Ok(Reply::Unanswered(reason))
        })
    }

    async fn exchange(
        &self,
        envelope: &Envelope<'_>,
        bytes: &[u8],
        password: Option<Revealed>,
    ) -> Result<Reply, SendError> {
        let mut connection = match self.connection(password.as_ref()).await {
            Ok(connection) => connection,
            Err(error) => {
                return Ok(Reply::Unanswered(reason("the connection to the mail server failed", &error)));
            }
        };
        match connection.send(envelope, bytes).await {
            Ok((code, text)) => {
                self.park(connection, password);
                Ok(Reply::Smtp(code, text))
            }
            Err(Error::Refused { reply, .. }) if (400..600).contains(&reply.code) => {
                connection.quit().await;
                Ok(Reply::Smtp(reply.code, shortened(reply.text())))
            }
            Err(error @ Error::RecipientNeedsUtf8) => {
                // Nothing was sent, so the connection is still good.
                self.park(connection, password);
                Err(SendError::BadRecipient(error.to_string()))
            }
            Err(error) => Ok(Reply::Unanswered(reason("the mail was not accepted", &error))),
        }
    }

    /// Returns a working connection: an idle one, else a new one.
    async fn connection(&self, password: Option<&Revealed>) -> Result<Connection, Error> {
        while let Some(mut idle) = self.unpark() {
            let trusted = idle.since.elapsed() < Duration::from_millis(MAIL_TRUSTED_MS);
            if idle.password.as_ref() == password && (trusted || idle.connection.is_alive().await) {
                return Ok(idle.connection);
            }
        }
        let login = self.account.username.as_deref().zip(password.map(Revealed::reveal));
        Connection::open(&self.server, login).await
    }

    fn unpark(&self) -> Option<Idle> {
        let mut idle = lock(&self.idle);
        let longest = Duration::from_millis(self.idle_ms);
        idle.retain(|idle| idle.since.elapsed() < longest);
        idle.pop()
    }

    fn park(&self, connection: Connection, password: Option<Revealed>) {
        let mut idle = lock(&self.idle);
        if idle.len() < self.most_idle && !connection.is_broken() {
            idle.push(Idle { connection, password, since: Instant::now() });
        }
    }
}

/// Parses the account's sender, such as `Prices <prices@example.com>`.
fn sender(from: &str) -> Result<Mailbox, String> {
    let wrong = |error: &dyn std::fmt::Display| {
        format!(
            "from {from:?}: {error}; it has the form \"Name <user@example.com>\", with a name that contains , or . in quotes"
        )
    };
    let mailbox: Mailbox = from.parse().map_err(|error| wrong(&error))?;
    let email = address(mailbox.email.as_ref()).map_err(|error| wrong(&error))?;
    Ok(Mailbox::new(mailbox.name, email))
}

/// Parses an address. A domain outside ASCII gets its ASCII form (IDNA), which every server accepts.
fn address(text: &str) -> Result<Address, String> {
    let ascii = match text.rsplit_once('@') {
        Some((user, domain)) if !domain.is_ascii() => {
            let domain = idna::domain_to_ascii(domain).map_err(|_| format!("{domain:?} is not a domain"))?;
            format!("{user}@{domain}")
        }
        _ => text.to_owned(),
    };
    ascii.parse().map_err(|error: lettre::address::AddressError| error.to_string())
}

fn reason(what: &str, error: &Error) -> String {
    shortened(format!("{what}: {error}"))
}

fn shortened(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(REASON_BYTES));
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_outside_ascii_gets_its_ascii_form() {
        for (text, expected) in [
            ("info@b\u{fc}cher.example", "info@xn--bcher-kva.example"),
            ("info@B\u{dc}CHER.example", "info@xn--bcher-kva.example"),
            ("jos\u{e9}@\u{4f8b}\u{3048}.jp", "jos\u{e9}@xn--r8jz45g.jp"),
            ("Ann@Example.com", "Ann@Example.com"),
        ] {
            assert_eq!(address(text).unwrap().to_string(), expected);
        }
        for text in
            ["info@b\u{fc}cher..example", "info@\u{fc}\u{0}.example", "@\u{fc}.example", "\u{fc}.example"]
        {
            assert!(address(text).is_err(), "{text:?}");
        }
        let from = sender("Shop <shop@b\u{fc}cher.example>").unwrap();
        assert_eq!(from.email.to_string(), "shop@xn--bcher-kva.example");
        let reason = sender("Acme, Prices <a@shop.test>").unwrap_err();
        assert!(reason.contains("in quotes"), "{reason}");
        assert!(sender("\"Acme, Prices\" <a@shop.test>").is_ok());
    }
}
