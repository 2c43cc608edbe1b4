//! An SMTP client (RFC 5321) for one connection that sends one mail at a time.
//!
//! Mails are built by lettre, but the session is here: lettre's transport reads a reply as UTF-8
//! with a text after the code, and returns every other reply as an error without its code. A
//! server that replied `250` and nothing else got the same mail again. Here the code decides.

mod connection;
mod reply;
mod server;

pub(crate) use connection::{Connection, Envelope};
pub(crate) use server::Server;

use reply::ServerReply;

/// Why a connection failed or a mail was not accepted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The server replied with an error code, or with a code that does not fit the command.
    #[error("{command}: {reply}")]
    Refused {
        /// The command, or the part of the session.
        command: &'static str,
        /// The reply.
        reply: ServerReply,
    },
    /// The server cannot send to this address: it has characters outside ASCII before the `@`, and
    /// the server does not offer SMTPUTF8 (RFC 6531).
    #[error("the mail server does not accept addresses with characters outside ASCII (no SMTPUTF8)")]
    RecipientNeedsUtf8,
    /// The server lacks an extension that the account needs.
    #[error("the mail server offers no {0}")]
    Missing(&'static str),
    /// The connection broke.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}
