//! An SMTP client (RFC 5321) for one connection that sends one mail at a time.
//!
//! lettre builds the mails, but this module implements the session. lettre's transport expects each
//! reply to be UTF-8 with a text after the code, and returns any other reply as an error without
//! its code. With it, a mail was sent again if the server accepted it with a bare `250`. This
//! module classifies a reply by its code only.

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
