//! Builds the request to FCM's HTTP v1 API.

use pricedrop_plugin_support::channel::{Body, Http, Message, Method, Refusal, Template};
use pricedrop_plugin_support::types::Problem;
use pricedrop_plugin_support::{Note, Notes, Object, Settings, host_of, problem};

const TOKEN_BYTES_MAX: usize = 4096;
/// FCM keeps no message longer than four weeks.
const TTL_S_MAX: i64 = 2_419_200;

const DEFAULTS: &[(&str, &str, &str)] = &[
    ("en", "title", include_str!("../channel-fcm.d/en.title")),
    ("en", "body", include_str!("../channel-fcm.d/en.body")),
    ("de", "title", include_str!("../channel-fcm.d/de.title")),
    ("de", "body", include_str!("../channel-fcm.d/de.body")),
];

/// The settings and the templates.
pub struct Push {
    notes: Notes,
    /// None: the sidecar names no project.
    url: Option<String>,
    credential: Option<String>,
}

impl Push {
    /// Reads the settings and tries the templates.
    ///
    /// # Errors
    /// Every setting or template that cannot be used.
    pub fn new(settings: &Settings, given: Vec<Template>) -> Result<Self, Vec<Problem>> {
        let one = |problem| vec![problem];
        let project = settings.text("project").map_err(one)?;
        if !project.bytes().all(|b| b.is_ascii_alphanumeric() || b"-:.".contains(&b)) {
            return Err(vec![problem("project", "must be the id of a Firebase project")]);
        }
        let base = settings.text("base-url").map_err(one)?;
        if host_of(&base).is_none() {
            return Err(vec![problem("base-url", "must be an http or https URL")]);
        }
        Ok(Self {
            notes: Notes::new(DEFAULTS, settings, given)?,
            url: Some(format!("{}/v1/projects/{project}/messages:send", base.trim_end_matches('/')))
                .filter(|_| !project.is_empty()),
            credential: settings.credential("credential").map_err(one)?,
        })
    }

    /// One request for one message.
    ///
    /// # Errors
    /// The address is no token, or a template fails.
    pub fn render(&self, message: &Message) -> Result<Http, Refusal> {
        let token = normalize(&message.to.address).map_err(Refusal::BadRecipient)?;
        let url = self.url.clone().ok_or_else(|| {
            Refusal::Permanent("no project: set project under [settings] in the sidecar".into())
        })?;
        let note = self.notes.note(message)?;
        Ok(Http {
            method: Method::Post,
            url,
            headers: vec![("content-type".into(), "application/json".into())],
            body: Body::Text(body(&token, &note, message)),
            credential: self.credential.clone(),
        })
    }
}

/// A registration token without blanks around it.
///
/// # Errors
/// It cannot be a token.
pub fn normalize(address: &str) -> Result<String, String> {
    let token = address.trim();
    match (1..=TOKEN_BYTES_MAX).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_graphic()) {
        true => Ok(token.to_owned()),
        false => Err("must be a registration token: 1 to 4096 visible ASCII characters".into()),
    }
}

fn body(token: &str, note: &Note, message: &Message) -> String {
    let mut notification = Object::default();
    notification.text("title", &note.title);
    notification.text("body", &note.body);
    let mut data = Object::default();
    if let Some(item) = message.items.first() {
        data.text("notificationId", &item.notification);
        data.text("productId", &item.product);
    }
    if let Some(url) = &note.url {
        data.text("url", url);
    }
    let mut object = Object::default();
    object.text("token", token);
    object.raw("notification", &notification.end());
    object.raw("data", &data.end());
    object.raw("android", &android(message));
    let mut outer = Object::default();
    outer.raw("message", &object.end());
    outer.end()
}

fn android(message: &Message) -> String {
    let mut android = Object::default();
    if let Some(key) = &message.collapse_key {
        android.text("collapse_key", key);
    }
    if let Some(expires) = message.expires_ms {
        let seconds = (expires.saturating_sub(message.sent_ms) / 1000).clamp(0, TTL_S_MAX);
        android.text("ttl", &format!("{seconds}s"));
    }
    if let Some(key) = &message.collapse_key {
        let mut notification = Object::default();
        notification.text("tag", key);
        android.raw("notification", &notification.end());
    }
    android.end()
}
