//! Posts every notification to an incoming webhook of Slack or Mattermost.

mod mrkdwn;
mod post;

use post::Post;
use pricedrop_plugin_support::channel::{
    Answer, BadRecipient, Classification, Description, Guest, Message, Outgoing, Refusal, Reply, Response,
    Template,
};
use pricedrop_plugin_support::templates::Templates;
use pricedrop_plugin_support::types::{About, Problem, Setting};
use pricedrop_plugin_support::{LinkHosts, Settings};
use std::cell::OnceCell;

thread_local! {
    static POST: OnceCell<Post> = const { OnceCell::new() };
}

/// The plugin.
pub struct Channel;

/// The errors that say that a webhook no longer leads anywhere.
const DEAD_WEBHOOK: [&str; 4] = ["no_service", "no_team", "channel_is_archived", "channel_not_found"];

impl Guest for Channel {
    fn describe() -> Description {
        let about = About {
            id: "channel-slack".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "Posts every notification to an incoming webhook of Slack or Mattermost.".into(),
            settings: vec![LinkHosts::spec(), Templates::default_locale_spec()],
        };
        Description { about, address_kind: "url".into() }
    }

    fn configure(settings: Vec<Setting>, templates: Vec<Template>) -> Result<(), Vec<Problem>> {
        let post = Post::new(&Settings::new(settings), templates)?;
        POST.with(|cell| cell.set(post).ok());
        Ok(())
    }

    fn normalize(addresses: Vec<String>) -> Vec<Result<String, String>> {
        addresses.iter().map(|address| post::normalize(address)).collect()
    }

    fn render(messages: Vec<Message>) -> Vec<Result<Outgoing, Refusal>> {
        POST.with(|cell| {
            let post = cell.get().expect("the host configures first");
            messages.iter().map(|message| post.render(message).map(Outgoing::Http)).collect()
        })
    }

    fn classify(answers: Vec<Answer>) -> Vec<Classification> {
        answers.into_iter().map(|answer| classification(&answer.reply)).collect()
    }
}

/// The host's table covers every other answer: 410 is a bad recipient, 429 is
/// temporary and concerns the provider, 400 is permanent.
fn classification(reply: &Reply) -> Classification {
    match reply {
        Reply::Http(Response { status: 400..=499, body, .. }) => match dead_webhook(body) {
            Some(error) => {
                Classification::BadRecipient(BadRecipient { reason: error.into(), since_ms: None })
            }
            None => Classification::Standard,
        },
        _ => Classification::Standard,
    }
}

fn dead_webhook(body: &str) -> Option<&'static str> {
    DEAD_WEBHOOK.into_iter().find(|error| body.trim() == *error)
}

// The names of exports hold an @, which native linkers take for a version.
#[cfg(target_arch = "wasm32")]
pricedrop_plugin_support::channel::export_channel!(Channel);
