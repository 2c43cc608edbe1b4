//! Builds the request.

use crate::body;
use pricedrop_plugin_support::channel::{Body, Http, Message, Method, Refusal};
use pricedrop_plugin_support::types::Problem;
use pricedrop_plugin_support::{Settings, host_of, plain_address, problem};

/// The host sets these, and content-type is ours.
const RESERVED: [&str; 5] = ["authorization", "content-length", "content-type", "host", "idempotency-key"];

/// The settings.
pub struct Webhook {
    /// None: the recipient's address.
    url: Option<String>,
    method: Method,
    credential: Option<String>,
    headers: Vec<(String, String)>,
}

impl Webhook {
    /// Reads the settings.
    ///
    /// # Errors
    /// The first setting that cannot be used.
    pub fn new(settings: &Settings) -> Result<Self, Problem> {
        let url = Some(settings.text("url")?).filter(|url| !url.is_empty());
        if url.as_deref().is_some_and(|url| host_of(url).is_none()) {
            return Err(problem("url", "must be an absolute http or https URL without a user name"));
        }
        let method = match settings.text("method")?.as_str() {
            "post" => Method::Post,
            "put" => Method::Put,
            other => return Err(problem("method", format!("must be post or put, not {other}"))),
        };
        let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        for line in settings.words("headers")? {
            headers.push(header(&line).map_err(|message| problem("headers", message))?);
        }
        Ok(Self { url, method, credential: settings.credential("credential")?, headers })
    }

    /// A URL as it is written. If the settings name the URL, any name of the recipient.
    ///
    /// # Errors
    /// It is no URL, and the settings name none.
    pub fn normalize(&self, address: &str) -> Result<String, String> {
        let address = plain_address(address)?;
        match self.url.is_some() || host_of(&address).is_some() {
            true => Ok(address),
            false => Err("must be an absolute http or https URL without a user name".into()),
        }
    }

    /// One request for one message.
    ///
    /// # Errors
    /// The address is no URL.
    pub fn render(&self, message: &Message) -> Result<Http, Refusal> {
        let address = message.to.address.as_str();
        let url = self.url.as_deref().unwrap_or(address);
        if host_of(url).is_none() {
            return Err(Refusal::BadRecipient("the address is not an absolute http or https URL".into()));
        }
        Ok(Http {
            method: self.method,
            url: url.to_owned(),
            headers: self.headers.clone(),
            // A fixed URL serves many recipients and has to know which.
            body: Body::Text(body::json(message, self.url.is_some())),
            credential: self.credential.clone(),
        })
    }
}

fn header(line: &str) -> Result<(String, String), String> {
    let (name, value) = line.split_once(':').ok_or_else(|| format!("not of the form name: value: {line}"))?;
    let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(is_token) || !value.bytes().all(|b| (b' '..=b'~').contains(&b)) {
        return Err(format!("not a header of plain ASCII: {line}"));
    }
    if RESERVED.contains(&name.as_str()) {
        return Err(format!("{name} is set by the engine; use a credential to authorise"));
    }
    Ok((name, value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_cannot_smuggle_another_or_replace_the_hosts() {
        assert_eq!(header("X-Source: shop"), Ok(("x-source".into(), "shop".into())));
        for line in ["x", ": y", "x y: z", "x: y\r\nz: w", "Authorization: Bearer z", "host: z", "x: \u{e9}"]
        {
            assert!(header(line).is_err(), "{line:?}");
        }
    }
}
