//! Every limit of sending, with its default.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Maximum number of headers that a plugin may set, and most that are kept of a response.
pub(super) const HEADERS: usize = 64;
/// Longest header of a request, name and value, bytes.
pub(super) const HEADER_BYTES: usize = 8 * 1024;
/// Longest secret file, bytes.
pub(super) const SECRET_BYTES: u64 = 64 * 1024;
/// Longest line, bytes; the rest is truncated.
pub(super) const LINE_BYTES: usize = 16 * 1024;
/// Maximum number of lines in one write to standard output.
pub(super) const LINES: usize = 1_024;
/// Longest reply of a mail server, bytes. A longer one ends there: its code counts, and the connection
/// is closed.
pub(super) const REPLY_BYTES: usize = 256 * 1024;
/// How much text of a mail server's reply is kept, bytes.
pub(super) const REPLY_TEXT_BYTES: usize = 4 * 1024;
/// Idle time after which a mail connection is tested (SMTP NOOP) before its next mail,
/// milliseconds.
pub(super) const MAIL_TRUSTED_MS: u64 = 1_000;
/// Longest text of an error, bytes.
pub(super) const REASON_BYTES: usize = 400;
/// Lifetime of a token if the server's response has no `expires_in`, seconds.
pub(super) const TOKEN_LIFETIME_S: u64 = 300;
/// Share of a token's lifetime after which it is renewed, percent.
pub(super) const TOKEN_USE_PERCENT: u32 = 90;
/// Minimum time between the renewal of a token and its expiry, milliseconds. It does not apply to
/// tokens whose lifetime is not longer.
pub(super) const TOKEN_MARGIN_MS: u64 = 60_000;
/// Longest response of a token server, bytes.
pub(super) const TOKEN_RESPONSE_BYTES: usize = 64 * 1024;
/// Lifetime of a provider token of Apple, seconds; it is renewed at [`TOKEN_USE_PERCENT`] of it.
/// Apple requires that a token is renewed every 20 to 60 minutes.
pub(super) const APNS_TOKEN_S: u64 = 2_700;
/// Lifetime of a VAPID token, seconds; push services accept at most 24 hours.
pub(super) const VAPID_LIFETIME_S: u64 = 43_200;
/// Maximum number of push services whose VAPID tokens are cached. If one more is needed, the cache is emptied.
pub(super) const VAPID_AUDIENCES: usize = 64;
/// Longest payload of a push message, bytes: with its header of 86 bytes, its padding delimiter and
/// its tag, the body is 4,096 bytes, which every push service accepts (RFC 8291).
pub(super) const PUSH_PAYLOAD_BYTES: usize = 3_993;

/// Options of the sender.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// A PEM file of certificate authorities to trust in addition to the public ones.
    pub ca_file: Option<PathBuf>,
    /// Longest body of a request or mail, bytes.
    pub request_bytes: usize,
    /// How much of a response's body is read, bytes; the rest is dropped.
    pub response_bytes: usize,
    /// How long an idle connection is kept, milliseconds.
    pub idle_ms: u64,
    /// Maximum number of idle connections per host, or per mail account.
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
