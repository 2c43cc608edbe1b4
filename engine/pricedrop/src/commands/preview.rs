//! `pricedrop plugin preview`: prints a sample message as a channel would send it.

use std::fmt::Write as _;
use std::io::Write as _;

use pricedrop_host::Preview;
use pricedrop_model::channel::{HttpRequest, Mail, Method, Outgoing, RenderError, Urgency, WebPush};
use pricedrop_pipeline::dispatcher::format_price;

use crate::config::Config;
use crate::printable::printable_lines;
use crate::report::CliError;
use crate::run::refused;

/// Renders the sample and prints it.
///
/// # Errors
/// The channel does not exist, its plugin is refused, or it refuses the address.
pub fn execute(
    config: &Config,
    channel: &str,
    locale: Option<&str>,
    address: Option<&str>,
    items: usize,
) -> Result<(), CliError> {
    let host = config.host_options();
    let file = host.folder.join(format!("{channel}.wasm"));
    let preview = pricedrop_host::preview(&file, &host.limits, (address, locale), items, &format_price)
        .map_err(refused)?;
    let text = printable_lines(&in_words(&preview));
    match &preview.rendered {
        Ok(_) => Ok(write!(anstream::stdout(), "{text}")?),
        Err(_) => {
            eprint!("{text}");
            Err(CliError::Reported)
        }
    }
}

/// Formats the message. Headers and credentials that the host adds when it sends are left out,
/// because they depend on the time of sending.
fn in_words(preview: &Preview) -> String {
    let to = &preview.message.to;
    let mut text = format!("{} to the {} {}\n\n", preview.channel, preview.address_kind, to.address);
    match &preview.rendered {
        Ok(Outgoing::Line(line)) => text += &format!("{line}\n"),
        Ok(Outgoing::Mail(mail)) => write_mail(&mut text, mail),
        Ok(Outgoing::Http(request)) => write_request(&mut text, request),
        Ok(Outgoing::WebPush(push)) => write_push(&mut text, push),
        Err(RenderError::BadRecipient(reason)) => text += &format!("refused: bad recipient: {reason}\n"),
        Err(RenderError::Permanent(reason)) => text += &format!("refused: {reason}\n"),
    }
    text
}

fn write_headers(text: &mut String, headers: &[(String, String)]) {
    for (name, value) in headers {
        let _ = writeln!(text, "{name}: {value}");
    }
}

fn write_mail(text: &mut String, mail: &Mail) {
    let _ = writeln!(text, "Subject: {}", mail.subject);
    write_headers(text, &mail.headers);
    let _ = write!(text, "\n--- text\n{}", mail.text);
    if let Some(html) = &mail.html {
        let _ = write!(text, "--- html\n{html}");
    }
}

fn write_request(text: &mut String, request: &HttpRequest) {
    let method = match request.method {
        Method::Get => "GET",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Patch => "PATCH",
        Method::Delete => "DELETE",
    };
    let _ = writeln!(text, "{method} {}", request.url);
    write_headers(text, &request.headers);
    let _ = writeln!(text, "\n{}", String::from_utf8_lossy(&request.body));
}

fn write_push(text: &mut String, push: &WebPush) {
    let urgency = match push.urgency {
        Urgency::VeryLow => "very-low",
        Urgency::Low => "low",
        Urgency::Normal => "normal",
        Urgency::High => "high",
    };
    let _ = writeln!(text, "POST {}\nTTL: {}\nUrgency: {urgency}", push.endpoint, push.ttl_s);
    if let Some(topic) = &push.topic {
        let _ = writeln!(text, "Topic: {topic}");
    }
    let _ = writeln!(text, "\n{}", String::from_utf8_lossy(&push.payload));
}
