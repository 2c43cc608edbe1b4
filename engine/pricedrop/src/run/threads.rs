//! Threads that run one future each and may block in plugin calls.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{JoinHandle, Thread};

use tokio::runtime::Handle;
use tokio::sync::oneshot;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future to completion on its own thread, with the runtime's timers. It does not call
/// `Handle::block_on`, because WASI calls of a plugin block on futures themselves, which panics
/// inside `Handle::block_on`.
///
/// # Errors
/// The thread cannot be started.
pub fn spawn<F>(name: &str, future: F) -> io::Result<(JoinHandle<()>, oneshot::Receiver<F::Output>)>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    let (ended, notice) = oneshot::channel();
    let runtime = Handle::current();
    let thread = std::thread::Builder::new().name(name.into()).spawn(move || {
        let _timers = runtime.enter();
        // The receiver is dropped if the engine has ended.
        let _ = ended.send(block_on(future));
    });
    Ok((thread?, notice))
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        std::thread::park();
    }
}
