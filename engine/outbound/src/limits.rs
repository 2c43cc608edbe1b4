//! Every limit of sending with its default.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Most headers a plugin may set, and most that are kept of an answer.
pub(super) const HEADERS: usize = 64;
/// Longest header of a request, name and value, bytes.
pub(super) const HEADER_BYTES: usize = 8 * 1024;
/// Longest file of a secret, bytes.
pub(super) const SECRET_BYTES: u64 = 64 * 1024;
/// Longest line, bytes; the rest is cut.
pub(super) const LINE_BYTES: usize = 16 * 1024;
/// Most lines written in one go.
pub(super) const LINES: usize = 1_024;
/// A mail connection that was idle for longer is asked whether it still lives, milliseconds.
pub(super) const MAIL_TRUSTED_MS: u64 = 1_000;
/// Longest reason that is made of an error, bytes.
pub(super) const REASON_BYTES: usize = 400;
/// Lifetime of a token whose server does not say `expires_in`, seconds.
pub(super) const TOKEN_LIFETIME_S: u64 = 300;
/// Share of a token's lifetime after which it is renewed, percent.
pub(super) const TOKEN_USE_PERCENT: u32 = 90;
/// A token is renewed at least this long before it expires, milliseconds.
pub(super) const TOKEN_MARGIN_MS: u64 = 60_000;
/// Longest answer of a token server, bytes.
pub(super) const TOKEN_ANSWER_BYTES: usize = 64 * 1024;
/// Age at which a provider token of Apple is replaced, seconds; Apple wants 20 to 60 minutes.
pub(super) const APNS_TOKEN_S: u64 = 2_700;
/// Lifetime of a VAPID token, seconds; push services accept at most 24 hours.
pub(super) const VAPID_LIFETIME_S: u64 = 43_200;
/// Most push services for which VAPID tokens are kept.
pub(super) const VAPID_AUDIENCES: usize = 64;
/// Longest payload of a push message, bytes: what fits into one record of 4,096.
pub(super) const PUSH_PAYLOAD_BYTES: usize = 3_993;

/// How the outside is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// A PEM file of certificate authorities to trust besides the public ones.
    pub ca_file: Option<PathBuf>,
    /// Longest body of a request or mail, bytes.
    pub request_bytes: usize,
    /// How much of an answer's body is read, bytes; the rest is cut.
    pub response_bytes: usize,
    /// How long an unused connection is kept, milliseconds.
    pub idle_ms: u64,
    /// Most unused connections kept per host, or per mail account.
    pub idle_connections: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            ca_file: None,
            request_bytes: 1 << 20,
            response_bytes: 64 * 1024,
            idle_ms: 30_000,
            idle_connections: 64,
        }
    }
}
