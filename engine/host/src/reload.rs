//! Follows the plugin folder. Events are hints to look soon; what changed is
//! decided by listing the folder, when it has been quiet for a while. A slow
//! poll finds what no event told.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use pricedrop_model::Cause;

use crate::error::Error;
use crate::files::template_folder;
use crate::folder::{Listing, Mark};
use crate::host::{Host, Shared};

/// The folder is followed while this lives.
pub struct Watching {
    signals: Sender<Signal>,
    thread: Option<JoinHandle<()>>,
}

enum Signal {
    Look,
    Stop,
}

/// Looks at a folder that never comes to rest, before it is read all the same.
const RESTLESS_LOOKS: u32 = 20;

impl Host {
    /// Starts to follow the folder, unless `reload` is off: then only
    /// [`Host::reload`] reads it again.
    ///
    /// # Errors
    /// No thread could be started.
    pub fn watch(&self) -> Result<Watching, Error> {
        let (signals, received) = channel();
        if !self.shared.options.reload {
            return Ok(Watching { signals, thread: None });
        }
        let follower = Follower {
            shared: Arc::clone(&self.shared),
            signals: signals.clone(),
            received,
            eyes: None,
            seen: None,
        };
        let thread = std::thread::Builder::new()
            .name("plugin-reload".into())
            .spawn(move || follower.run())
            .map_err(|error| Error::Engine(Cause::of(error)))?;
        Ok(Watching { signals, thread: Some(thread) })
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.signals.send(Signal::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Follower {
    shared: Arc<Shared>,
    signals: Sender<Signal>,
    received: Receiver<Signal>,
    /// The watcher, with the folders it was set on: a folder put in the place of one
    /// of them needs a new watcher.
    eyes: Option<(RecommendedWatcher, Vec<Watched>)>,
    /// The folder as it was last read.
    seen: Option<Listing>,
}

/// A folder that is watched: device and inode, if it is there.
type Watched = (PathBuf, Option<(u64, u64)>);

/// It was told to stop.
struct Stopped;

impl Follower {
    fn run(mut self) {
        loop {
            self.open_eyes();
            if self.look().is_err() {
                return;
            }
            if self.wait(self.shared.options.poll_ms).is_err() {
                return;
            }
        }
    }

    /// Reads the folder if it changed, once it has settled.
    fn look(&mut self) -> Result<(), Stopped> {
        let mut listing = Listing::of(&self.shared.options.folder);
        if self.seen.as_ref() == Some(&listing) {
            return Ok(());
        }
        for _ in 0..RESTLESS_LOOKS {
            self.rest(self.shared.options.debounce_ms)?;
            let again = Listing::of(&self.shared.options.folder);
            if again == listing {
                break;
            }
            listing = again;
        }
        self.seen = self.shared.read_folder().then_some(listing);
        Ok(())
    }

    /// Waits for a hint, at most so long.
    fn wait(&self, milliseconds: u64) -> Result<(), Stopped> {
        let unread = self.seen.is_none();
        let most = if unread { milliseconds.min(self.shared.options.debounce_ms) } else { milliseconds };
        match self.received.recv_timeout(Duration::from_millis(most)) {
            Ok(Signal::Look) | Err(RecvTimeoutError::Timeout) => Ok(()),
            Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => Err(Stopped),
        }
    }

    /// Waits so long, whatever hints come.
    fn rest(&self, milliseconds: u64) -> Result<(), Stopped> {
        let until = std::time::Instant::now() + Duration::from_millis(milliseconds);
        loop {
            let left = until.saturating_duration_since(std::time::Instant::now());
            match self.received.recv_timeout(left) {
                Ok(Signal::Look) => {}
                Err(RecvTimeoutError::Timeout) => return Ok(()),
                Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => return Err(Stopped),
            }
        }
    }

    /// The plugin folder, the one it lies in, and the folders of templates.
    fn folders(&self) -> Vec<Watched> {
        let folder = &self.shared.options.folder;
        let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
        let listing = Listing::of(folder);
        let templates = listing.template_stems().map(|stem| folder.join(template_folder(stem)));
        let all = [folder.clone()].into_iter().chain(parent.map(Path::to_path_buf)).chain(templates);
        all.map(|path| {
            let identity = Mark::of(&path).ok().map(|mark| mark.identity());
            (path, identity)
        })
        .collect()
    }

    /// Watches these folders, anew when one was added or replaced.
    fn open_eyes(&mut self) {
        let folders = self.folders();
        if self.eyes.as_ref().is_some_and(|(_, watched)| *watched == folders) {
            return;
        }
        let signals = self.signals.clone();
        let hint = move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| only_read(event.kind)) {
                return;
            }
            let _ = signals.send(Signal::Look);
        };
        match notify::recommended_watcher(hint) {
            Ok(mut watcher) => {
                for (path, _) in &folders {
                    // What is not there cannot be watched; the poll finds it.
                    let _ = watcher.watch(path, RecursiveMode::NonRecursive);
                }
                self.eyes = Some((watcher, folders));
            }
            Err(error) => tracing::debug!("no events of the plugin folder, only polling: {error}"),
        }
    }
}

/// Whether somebody only looked: our own looks are such events, and would
/// never come to an end.
fn only_read(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(mode)) => mode != AccessMode::Write,
        EventKind::Access(_) => true,
        _ => false,
    }
}
