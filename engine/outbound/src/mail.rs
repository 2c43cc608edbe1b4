//! Sends mails over SMTP, on pooled connections of one account.
//!
//! Invariant: a connection sends one mail at a time, and is reused only after a mail that the
//! server accepted. After a timeout or an error, its next response could belong to the previous
//! mail.

use std::sync::Mutex;
use std::time::Duration;

use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Address, message::Mailbox};
use pricedrop_model::channel::{Mail, MailAccount, MailTls, Reply, SendError, SendRequest};
use pricedrop_model::sync::lock;
use tokio::time::Instant;

use super::dkim;
use super::limits::{MAIL_TRUSTED_MS, Options, REASON_BYTES};
use super::mime_message::build_message;
use super::secret::{Revealed, Secrets};

/// A mail account with its idle connections.
pub(super) struct MailPool {
    account: MailAccount,
    from: Mailbox,
    tls: Option<TlsParameters>,
    idle: Mutex<Vec<Idle>>,
    idle_ms: u64,
    most_idle: usize,
}

/// An idle connection, with the password that authenticated it. A changed password needs a new one.
struct Idle {
    connection: AsyncSmtpConnection,
    password: Option<Revealed>,
    since: Instant,
}

impl MailPool {
    pub(super) fn new(account: &MailAccount, options: &Options) -> Result<MailPool, String> {
        if account.tls == MailTls::None && account.username.is_some() {
            return Err("a password is not sent without TLS; set tls, or remove the username".into());
        }
        account.dkim.as_ref().map_or(Ok(()), dkim::check)?;
        let from = account.from.parse().map_err(|error| format!("from {:?}: {error}", account.from))?;
        Ok(MailPool {
            from,
            tls: tls(account, options)?,
            account: account.clone(),
            idle: Mutex::default(),
            idle_ms: options.idle_ms,
            most_idle: options.idle_connections,
        })
    }

    /// Sends one mail to the request's address. `most_bytes` limits its text and HTML.
    ///
    /// # Errors
    /// The address is invalid, or the mail breaks a limit or a rule: a retry would fail too.
    pub(super) async fn send(
        &self,
        request: &SendRequest<'_>,
        mail: &Mail,
        most_bytes: usize,
        secrets: &Secrets,
    ) -> Result<Reply, SendError> {
        let to: Address = request.to.address.parse().map_err(|error| {
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
        let exchange = self.exchange(message.envelope(), &bytes, password);
        let limit = Duration::from_millis(request.timeout_ms);
        // A timeout drops the connection in the middle of its SMTP session.
        Ok(tokio::time::timeout(limit, exchange).await.unwrap_or_else(|_| {
            Reply::Unanswered(format!("no response of the mail server within {} ms", request.timeout_ms))
        }))
    }

    async fn exchange(
        &self,
        envelope: &lettre::address::Envelope,
        bytes: &[u8],
        password: Option<Revealed>,
    ) -> Reply {
        let mut connection = match self.connection(password.as_ref()).await {
            Ok(connection) => connection,
            Err(error) => {
                return Reply::Unanswered(reason("the connection to the mail server failed", &error));
            }
        };
        match connection.send(envelope, bytes).await {
            Ok(response) => {
                self.park(connection, password);
                let text: Vec<_> = response.message().collect();
                Reply::Smtp(response.code().into(), text.join(" "))
            }
            Err(error) => match error.status() {
                Some(code) => Reply::Smtp(code.into(), answer(&error)),
                None => Reply::Unanswered(reason("the mail was not accepted", &error)),
            },
        }
    }

    /// Returns a working connection: an idle one, else a new one.
    async fn connection(&self, password: Option<&Revealed>) -> Result<AsyncSmtpConnection, SmtpError> {
        while let Some(mut idle) = self.unpark() {
            let trusted = idle.since.elapsed() < Duration::from_millis(MAIL_TRUSTED_MS);
            if idle.password.as_ref() == password && (trusted || idle.connection.test_connected().await) {
                return Ok(idle.connection);
            }
        }
        self.connect(password).await
    }

    async fn connect(&self, password: Option<&Revealed>) -> Result<AsyncSmtpConnection, SmtpError> {
        let server = (self.account.host.as_str(), self.account.port);
        let hello = ClientId::default();
        let from_the_start = self.tls.clone().filter(|_| self.account.tls == MailTls::Implicit);
        let mut connection =
            AsyncSmtpConnection::connect_tokio1(server, None, &hello, from_the_start, None).await?;
        if let (MailTls::Starttls, Some(tls)) = (self.account.tls, &self.tls) {
            connection.starttls(tls.clone(), &hello).await?;
        }
        if let (Some(username), Some(password)) = (&self.account.username, password) {
            let credentials = Credentials::new(username.clone(), password.reveal().to_owned());
            connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await?;
        }
        Ok(connection)
    }

    fn unpark(&self) -> Option<Idle> {
        let mut idle = lock(&self.idle);
        let longest = Duration::from_millis(self.idle_ms);
        idle.retain(|idle| idle.since.elapsed() < longest);
        idle.pop()
    }

    fn park(&self, connection: AsyncSmtpConnection, password: Option<Revealed>) {
        let mut idle = lock(&self.idle);
        if idle.len() < self.most_idle && !connection.has_broken() {
            idle.push(Idle { connection, password, since: Instant::now() });
        }
    }
}

type SmtpError = lettre::transport::smtp::Error;

fn tls(account: &MailAccount, options: &Options) -> Result<Option<TlsParameters>, String> {
    if account.tls == MailTls::None {
        return Ok(None);
    }
    let mut tls =
        TlsParameters::builder(account.host.clone()).certificate_store(CertificateStore::WebpkiRoots);
    for path in account.ca_file.iter().chain(&options.ca_file) {
        let wrong = |error: &dyn std::fmt::Display| format!("ca_file {}: {error}", path.display());
        let pem = std::fs::read(path).map_err(|error| wrong(&error))?;
        tls = tls.add_root_certificate(Certificate::from_pem(&pem).map_err(|error| wrong(&error))?);
    }
    tls.build_rustls().map(Some).map_err(|error| error.to_string())
}

/// Returns the text of the server's response.
fn answer(error: &SmtpError) -> String {
    let words = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    words[..words.floor_char_boundary(REASON_BYTES)].to_owned()
}

fn reason(what: &str, error: &SmtpError) -> String {
    let text = format!("{what}: {error}");
    text[..text.floor_char_boundary(REASON_BYTES)].to_owned()
}
