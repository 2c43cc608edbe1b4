//! Threads that wait for asynchronous work and may call plugins meanwhile.

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

/// Runs a future to its end on a thread of its own, with the runtime's timers.
/// It does not *enter* the runtime as `Handle::block_on` does: what waits
/// inside of a plugin's system interface could not wait there.
///
/// # Errors
/// No thread can be started.
pub fn spawn<F>(name: &str, future: F) -> io::Result<(JoinHandle<()>, oneshot::Receiver<F::Output>)>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    let (ended, notice) = oneshot::channel();
    let runtime = Handle::current();
    let thread = std::thread::Builder::new().name(name.into()).spawn(move || {
        let _timers = runtime.enter();
        // Nobody waits any more when the engine is gone.
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
