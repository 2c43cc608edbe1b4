//! Watches the plugin folder and reloads changed plugins. File system events are only hints: a
//! change is detected by comparing listings of the folder. A changed folder is read when two
//! listings in a row are equal. The folder is also listed at a long interval, to find changes that
//! caused no event.

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
use crate::folder::{FileStat, Listing};
use crate::host::{Host, Shared};

/// A handle of the thread that watches the plugin folder. Dropping it stops the thread.
pub struct Watching {
    signals: Sender<Signal>,
    thread: Option<JoinHandle<()>>,
}

enum Signal {
    Changed,
    Stop,
}

/// Maximum number of listings to wait for a folder that keeps changing. Then it is read anyway.
const MAX_UNSTABLE_LISTINGS: u32 = 20;

impl Host {
    /// Starts to watch the folder. Does nothing if the option `reload` is off; then only
    /// [`Host::reload`] reads it again.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn watch(&self) -> Result<Watching, Error> {
        let (signals, received) = channel();
        if !self.shared.options.reload {
            return Ok(Watching { signals, thread: None });
        }
        let reload_thread = ReloadThread {
            shared: Arc::clone(&self.shared),
            signals: signals.clone(),
            received,
            watcher: None,
            seen: None,
        };
        let thread = std::thread::Builder::new()
            .name("plugin-reload".into())
            .spawn(move || reload_thread.run())
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

struct ReloadThread {
    shared: Arc<Shared>,
    signals: Sender<Signal>,
    received: Receiver<Signal>,
    /// The watcher, with the folders that it watches. If one of them is replaced by another folder,
    /// a new watcher is needed.
    watcher: Option<(RecommendedWatcher, Vec<Watched>)>,
    /// The listing when the folder was last read completely. `None` means read it again soon.
    seen: Option<Listing>,
}

/// A watched folder, with its device and inode if it exists.
type Watched = (PathBuf, Option<(u64, u64)>);

/// The thread was asked to stop.
struct Stopped;

impl ReloadThread {
    fn run(mut self) {
        loop {
            self.watch_folders();
            if self.read_if_changed().is_err() {
                return;
            }
            if self.wait(self.shared.options.poll_ms).is_err() {
                return;
            }
        }
    }

    /// If the folder changed, or a sidecar names what is missing, waits until it is quiet and reads it.
    fn read_if_changed(&mut self) -> Result<(), Stopped> {
        let mut listing = Listing::of(&self.shared.options.folder);
        if self.seen.as_ref() == Some(&listing) && !self.shared.has_refused_access() {
            return Ok(());
        }
        for _ in 0..MAX_UNSTABLE_LISTINGS {
            self.debounce(self.shared.options.debounce_ms)?;
            let again = Listing::of(&self.shared.options.folder);
            if again == listing {
                break;
            }
            listing = again;
        }
        self.seen = self.shared.read_folder().then_some(listing);
        Ok(())
    }

    /// Waits for an event, at most this long. Waits only `debounce_ms` if the folder must be read
    /// again.
    fn wait(&self, milliseconds: u64) -> Result<(), Stopped> {
        let unread = self.seen.is_none();
        let most = if unread { milliseconds.min(self.shared.options.debounce_ms) } else { milliseconds };
        match self.received.recv_timeout(Duration::from_millis(most)) {
            Ok(Signal::Changed) | Err(RecvTimeoutError::Timeout) => Ok(()),
            Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => Err(Stopped),
        }
    }

    /// Waits this long, and ignores events.
    fn debounce(&self, milliseconds: u64) -> Result<(), Stopped> {
        let until = std::time::Instant::now() + Duration::from_millis(milliseconds);
        loop {
            let left = until.saturating_duration_since(std::time::Instant::now());
            match self.received.recv_timeout(left) {
                Ok(Signal::Changed) => {}
                Err(RecvTimeoutError::Timeout) => return Ok(()),
                Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => return Err(Stopped),
            }
        }
    }

    /// Returns the plugin folder, its parent, and the template folders.
    fn folders(&self) -> Vec<Watched> {
        let folder = &self.shared.options.folder;
        let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
        let listing = Listing::of(folder);
        let templates = listing.template_stems().map(|stem| folder.join(template_folder(stem)));
        let all = [folder.clone()].into_iter().chain(parent.map(Path::to_path_buf)).chain(templates);
        all.map(|path| {
            let identity = FileStat::of(&path).ok().map(|stat| stat.identity());
            (path, identity)
        })
        .collect()
    }

    /// Watches the folders. Creates a new watcher if a folder was added, removed or replaced.
    fn watch_folders(&mut self) {
        let folders = self.folders();
        if self.watcher.as_ref().is_some_and(|(_, watched)| *watched == folders) {
            return;
        }
        let signals = self.signals.clone();
        let hint = move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| only_read(event.kind)) {
                return;
            }
            let _ = signals.send(Signal::Changed);
        };
        match notify::recommended_watcher(hint) {
            Ok(mut watcher) => {
                for (path, _) in &folders {
                    // A missing folder cannot be watched. The poll finds it once it exists.
                    let _ = watcher.watch(path, RecursiveMode::NonRecursive);
                }
                self.watcher = Some((watcher, folders));
            }
            Err(error) => {
                tracing::debug!("file system events are unavailable, the plugin folder is polled: {error}")
            }
        }
    }
}

/// Returns whether the event is only a read. Listing the folder causes such events, so acting on
/// them would never end.
fn only_read(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(mode)) => mode != AccessMode::Write,
        EventKind::Access(_) => true,
        _ => false,
    }
}
