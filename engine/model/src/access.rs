//! The hosts and credentials that a channel may use, as parsed from its sidecar file. Values are
//! not validated here: `engine/outbound` does that when it uses them.

use serde::Deserialize;

/// The hosts and credentials that a channel may use, parsed from its sidecar's tables.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Access {
    /// Allowed hosts; all others are refused. An entry is `name`, `*.suffix` (subdomains of any
    /// depth, not the suffix itself), an IPv4 address or `[IPv6]`, each with or without `:port`.
    /// Without a port, the ports 80 and 443 of their schemes are allowed. Private, loopback,
    /// link-local and other special addresses are refused, unless the entry is that address
    /// (`127.0.0.1:8080`, `[::1]:9000`) or a name with the prefix `private:`, such as
    /// `private:hooks.internal:9000`.
    pub hosts: Vec<String>,
    /// Credentials by name.
    pub credentials: std::collections::BTreeMap<String, Credential>,
    /// The mail account, if the channel sends mails.
    pub mail: Option<MailAccount>,
    /// Maximum number of deliveries per second. `None` means no limit.
    pub rate_per_second: Option<u32>,
    /// Maximum number of requests in flight. `None` means the dispatcher's default.
    pub concurrency: Option<u32>,
    /// The time limit of a request in milliseconds. `None` means the dispatcher's default.
    pub timeout_ms: Option<u64>,
}

/// A named secret that is bound to hosts. Plugins never receive it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Credential {
    /// The hosts it may be sent to, in the form of [`Access::hosts`].
    pub hosts: Vec<String>,
    /// How it is added to a request.
    #[serde(flatten)]
    pub scheme: CredentialScheme,
}

/// How a credential is added to a request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "scheme")]
pub enum CredentialScheme {
    /// Header `Authorization: Bearer`.
    Bearer {
        /// The token.
        token: Secret,
    },
    /// Header `Authorization: Basic`.
    Basic {
        /// The user.
        username: String,
        /// The password.
        password: Secret,
    },
    /// HMAC-SHA256 as hex in a header: over the body, or over `timestamp.body` if
    /// `timestamp_header` is set.
    Hmac {
        /// The key.
        key: Secret,
        /// The header, such as `x-signature`.
        header: String,
        /// A header for the time of sending in epoch seconds, so that a receiver can refuse old
        /// requests.
        #[serde(default)]
        timestamp_header: Option<String>,
    },
    /// Standard Webhooks 1.0: `webhook-id` (the delivery key), `webhook-timestamp`
    /// and `webhook-signature`.
    StandardWebhooks {
        /// Keys in the form `whsec_...`. Each adds a signature, so that a receiver needs only one
        /// of them while keys are rotated.
        keys: Vec<Secret>,
    },
    /// OAuth 2.0 client credentials grant (RFC 6749 section 4.4), as a bearer token.
    Oauth2 {
        /// The URL that issues tokens. It need not be in `hosts`, because the operator names it
        /// here. A token server on a private address must be one of the credential's hosts.
        token_url: String,
        /// The id of the client.
        client_id: String,
        /// The secret of the client.
        client_secret: Secret,
        /// The scopes to request.
        #[serde(default)]
        scopes: Vec<String>,
        /// The `audience` parameter, which some servers require.
        #[serde(default)]
        audience: Option<String>,
    },
    /// OAuth 2.0 with a service account, as Google's APIs require: a signed JWT (RFC 7523) is
    /// exchanged for a bearer token.
    ServiceAccount {
        /// The key file in JSON, with `client_email`, `private_key` and `token_uri`.
        key: Secret,
        /// The scopes to request.
        scopes: Vec<String>,
    },
    /// Apple's provider token: a JWT signed with ES256, renewed at least once an hour.
    Apns {
        /// The `.p8` key: PKCS#8 in PEM.
        key: Secret,
        /// The id of the key.
        key_id: String,
        /// The id of the team.
        team_id: String,
    },
    /// VAPID (RFC 8292), for push messages to browsers.
    Vapid {
        /// The private key: 32 bytes in base64url, or PKCS#8 in PEM.
        private_key: Secret,
        /// The public key: 65 bytes in base64url. The web page must subscribe browsers with the
        /// same key.
        public_key: String,
        /// The contact for the push service: a `mailto:` or `https:` URL.
        subject: String,
    },
    /// AWS Signature Version 4.
    AwsSigv4 {
        /// The id of the access key.
        access_key_id: Secret,
        /// The secret access key.
        secret_access_key: Secret,
        /// The session token of temporary credentials.
        #[serde(default)]
        session_token: Option<Secret>,
        /// The region, such as `eu-central-1`.
        region: String,
        /// The service, such as `sns` or `ses`.
        service: String,
    },
}

/// Where a secret is stored. The secret itself is never in a file of ours.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Secret {
    /// In this environment variable.
    Env(String),
    /// In this file. A line end at the end of the file is removed.
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

/// The mail account in a channel's sidecar.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MailAccount {
    /// The envelope sender, and the `From` header.
    pub from: String,
    /// The host name of the server.
    pub host: String,
    /// The name of the engine in EHLO: a DNS name, or an address literal such as `[192.0.2.1]`.
    /// None: the name of the machine.
    #[serde(default)]
    pub hello: Option<String>,
    /// The port of the server.
    #[serde(default = "submission_port")]
    pub port: u16,
    /// How the connection is secured.
    #[serde(default)]
    pub tls: MailTls,
    /// The user name for AUTH. `None` means no AUTH.
    pub username: Option<String>,
    /// The password for AUTH.
    pub password: Option<Secret>,
    /// A PEM file with a certificate authority to trust in addition to the public ones.
    pub ca_file: Option<std::path::PathBuf>,
    /// The DKIM signature of every mail. `None` means the engine does not sign.
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
    /// STARTTLS. The connection fails if the server does not offer it.
    #[default]
    Starttls,
    /// TLS from the first byte.
    Implicit,
    /// No encryption. Only for a relay on this machine.
    None,
}
