//! A real headless Firefox on the page of dev/web-push.

use std::io::Write as _;

use serde_json::Value;

use crate::peers::Peer;
use crate::{Error, wait_for};

/// A running browser; it is stopped when this value is dropped.
#[derive(Debug)]
pub struct Browser {
    peer: Peer,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The peer stops Firefox, then itself. Firefox writes files to its profile until then.
        drop(self.peer.process.stdin.take());
        let _ = wait_for("the browser's end", || self.peer.process.try_wait().ok().flatten());
    }
}

impl Browser {
    /// Starts a browser whose page has subscribed at this push service, [`Peer::autopush`].
    ///
    /// # Errors
    /// It does not start; run dev/peers/setup.
    pub fn subscribed_at(push: &Peer) -> Result<Browser, Error> {
        let unfit = "this push service is not for browsers";
        let url = push.hello["websocket"].as_str().ok_or(unfit)?;
        let key = push.hello["vapid"]["public"].as_str().ok_or(unfit)?;
        let arguments = ["--folder", "FOLDER", "--push", url, "--key", key];
        Ok(Browser { peer: Peer::start("firefox_peer.py", &arguments)? })
    }

    /// Returns the subscription, as the page shows it.
    pub fn subscription(&self) -> &Value {
        &self.peer.hello["subscription"]
    }

    /// Returns the notifications that its service worker has shown, in order.
    pub fn notifications(&self) -> Vec<Value> {
        self.peer.records()
    }

    /// Clicks the element of the page that this CSS selector matches.
    ///
    /// # Errors
    /// The browser has ended.
    pub fn click(&mut self, selector: &str) -> Result<(), Error> {
        let input = self.peer.process.stdin.as_mut().ok_or("no standard input")?;
        writeln!(input, "{selector}")?;
        Ok(())
    }
}
