//! What a channel may reach and with which credentials: the tables of its sidecar,
//! read. Whether they are usable is checked where they are used.

use serde::Deserialize;

/// What a channel may reach and as whom: its sidecar's tables, read and checked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Access {
    /// Hosts it may reach; nothing else is. An entry is `name`, `*.suffix` (any
    /// depth below, not the suffix itself), an IPv4 address or `[IPv6]`, each
    /// with `:port` or without (then the ports 80 and 443 of their schemes).
    /// Addresses of private, loopback, link-local and other special ranges are
    /// refused, unless the entry is that very address (`127.0.0.1:8080`,
    /// `[::1]:9000`) or a name marked `private:`, such as
    /// `private:hooks.internal:9000`.
    pub hosts: Vec<String>,
    /// Credentials by name.
    pub credentials: std::collections::BTreeMap<String, Credential>,
    /// The mail account.
    pub mail: Option<MailAccount>,
    /// Most deliveries a second; none: no limit.
    pub rate_per_second: Option<u32>,
    /// Most requests in flight; none: the dispatcher's default.
    pub concurrency: Option<u32>,
    /// A request's time limit; none: the dispatcher's default.
    pub timeout_ms: Option<u64>,
}

/// A secret by name, bound to hosts. It never enters a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Credential {
    /// Only for these hosts, written as in `hosts`.
    pub hosts: Vec<String>,
    /// How it is applied.
    #[serde(flatten)]
    pub scheme: CredentialScheme,
}

/// How a credential is applied.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "scheme")]
pub enum CredentialScheme {
    /// `Authorization: Bearer`.
    Bearer {
        /// The token.
        token: Secret,
    },
    /// `Authorization: Basic`.
    Basic {
        /// The user.
        username: String,
        /// The password.
        password: Secret,
    },
    /// HMAC-SHA256 in hex in a header: over the body, or over
    /// `timestamp.body` where a header for the timestamp is named.
    Hmac {
        /// The key.
        key: Secret,
        /// The header, such as `x-signature`.
        header: String,
        /// A header for the epoch seconds of sending, so that a receiver can
        /// refuse what is old.
        #[serde(default)]
        timestamp_header: Option<String>,
    },
    /// Standard Webhooks 1.0: `webhook-id` (the delivery key), `webhook-timestamp`
    /// and `webhook-signature`.
    StandardWebhooks {
        /// Keys as `whsec_...`; each adds a signature, so that a receiver may hold
        /// any one of them while a key is rotated.
        keys: Vec<Secret>,
    },
    /// OAuth 2.0 client credentials grant (RFC 6749 section 4.4), as a bearer token.
    Oauth2 {
        /// Where tokens are issued. The operator names it, so it is no entry of `hosts`;
        /// a token server on a private address must be one of the credential's hosts.
        token_url: String,
        /// The client.
        client_id: String,
        /// Its secret.
        client_secret: Secret,
        /// Scopes asked for.
        #[serde(default)]
        scopes: Vec<String>,
        /// The `audience` parameter that some servers want.
        #[serde(default)]
        audience: Option<String>,
    },
    /// OAuth 2.0 by a service account: a signed JWT (RFC 7523) is exchanged for a
    /// bearer token, as Google's APIs want it.
    ServiceAccount {
        /// The key file in JSON, with `client_email`, `private_key` and `token_uri`.
        key: Secret,
        /// Scopes asked for.
        scopes: Vec<String>,
    },
    /// Apple's provider token: a JWT signed with ES256, renewed within the hour.
    Apns {
        /// The `.p8` key: PKCS#8 in PEM.
        key: Secret,
        /// The key's id.
        key_id: String,
        /// The team's id.
        team_id: String,
    },
    /// VAPID (RFC 8292), for push messages to browsers.
    Vapid {
        /// The private key: 32 bytes in base64url, or PKCS#8 in PEM.
        private_key: Secret,
        /// The public key: 65 bytes in base64url, as the page that subscribes has it.
        public_key: String,
        /// Whom the push service may contact: `mailto:` or `https:`.
        subject: String,
    },
    /// AWS Signature Version 4.
    AwsSigv4 {
        /// The access key's id.
        access_key_id: Secret,
        /// The secret access key.
        secret_access_key: Secret,
        /// For temporary credentials.
        #[serde(default)]
        session_token: Option<Secret>,
        /// Such as `eu-central-1`.
        region: String,
        /// Such as `sns` or `ses`.
        service: String,
    },
}

/// Where a secret lies; the secret itself never stands in a file of ours.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Secret {
    /// In this environment variable.
    Env(String),
    /// In this file, its last line end cut.
    File(std::path::PathBuf),
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Secret::Env(name) => write!(f, "env:{name}"),
            Secret::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

/// A mail account of a channel's sidecar.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MailAccount {
    /// The envelope sender and `From`.
    pub from: String,
    /// The server's name.
    pub host: String,
    /// Its port.
    #[serde(default = "submission_port")]
    pub port: u16,
    /// How the connection is secured.
    #[serde(default)]
    pub tls: MailTls,
    /// For AUTH; none: no AUTH.
    pub username: Option<String>,
    /// For AUTH.
    pub password: Option<Secret>,
    /// A PEM file of a certificate authority to trust besides the public ones.
    pub ca_file: Option<std::path::PathBuf>,
    /// The DKIM signature of every mail; none: the server signs, or nobody.
    #[serde(default)]
    pub dkim: Option<Dkim>,
}

/// How mails are signed (RFC 6376).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dkim {
    /// The domain that signs.
    pub domain: String,
    /// The selector: the public key is the TXT record `<selector>._domainkey.<domain>`.
    pub selector: String,
    /// The private key: RSA in PEM (PKCS#1), or the 32 bytes of an Ed25519 key in base64.
    pub key: Secret,
}

fn submission_port() -> u16 {
    587
}

/// How a mail connection is secured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MailTls {
    /// STARTTLS, refused when the server has none.
    #[default]
    Starttls,
    /// TLS from the first byte.
    Implicit,
    /// In the clear; for a relay on this machine.
    None,
}
