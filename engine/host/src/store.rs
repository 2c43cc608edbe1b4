//! The wasmtime store of one instance: enforces the limits on memory, CPU time and output, and
//! explains why a plugin was stopped.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use wasmtime::component::HasData;
use wasmtime::{ResourceLimiter, Store, Trap, UpdateDeadline};

use crate::engine::Engine;
use crate::limits::{Limits, PARTS_PER_INSTANCE, STACK_BYTES};
use crate::log::LogLines;
use crate::wasi::Closed;

/// The data of an instance's store.
pub(crate) struct Data {
    ceiling: Ceiling,
    cpu: CpuTime,
    pub(crate) log: LogLines,
    pub(crate) wasi: Option<Closed>,
}

/// Selects the [`LogLines`] in [`Data`] for the log import.
pub(crate) struct Logging;

impl HasData for Logging {
    type Data<'a> = &'a mut LogLines;
}

/// A limit that a plugin exceeded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Exceeded {
    #[error("used more than {0} ms of CPU time (limit cpu_ms)")]
    Cpu(u64),
    #[error("requested more than {0} bytes of memory (limit memory_bytes)")]
    Memory(usize),
}

/// The CPU time of the running call, measured by the thread's CPU clock, so that waiting for a CPU
/// does not count.
struct CpuTime {
    limit: Duration,
    /// The thread's CPU clock at the first tick during the call.
    since: Option<Duration>,
}

impl CpuTime {
    /// Checks the CPU time; runs once per tick. A call that ends before the first tick reads no
    /// clock. The time until the first tick is not counted.
    fn check_cpu_time(&mut self) -> wasmtime::Result<UpdateDeadline> {
        let now = thread_time();
        let since = *self.since.get_or_insert(now);
        if now.saturating_sub(since) >= self.limit {
            return Err(wasmtime::Error::new(Exceeded::Cpu(self.limit.as_millis() as u64)));
        }
        Ok(UpdateDeadline::Continue(1))
    }
}

fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// The limit on memory: memories and tables of an instance together, bytes.
struct Ceiling {
    used: usize,
    limit: usize,
}

/// Bytes that one table entry counts.
const TABLE_ENTRY_BYTES: usize = 16;

impl Ceiling {
    fn grow(&mut self, by: usize) -> wasmtime::Result<bool> {
        let used = self.used.saturating_add(by);
        if used > self.limit {
            return Err(wasmtime::Error::new(Exceeded::Memory(self.limit)));
        }
        self.used = used;
        Ok(true)
    }
}

impl ResourceLimiter for Ceiling {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        self.grow(desired.saturating_sub(current))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        self.grow(desired.saturating_sub(current).saturating_mul(TABLE_ENTRY_BYTES))
    }

    fn instances(&self) -> usize {
        PARTS_PER_INSTANCE
    }

    fn tables(&self) -> usize {
        PARTS_PER_INSTANCE
    }

    fn memories(&self) -> usize {
        PARTS_PER_INSTANCE
    }
}

/// Creates a store with the limits on memory and output. It has no CPU time until [`allow_cpu`].
pub(crate) fn new_store(engine: &Engine, limits: &Limits, log: &LogLines, wasi: bool) -> Store<Data> {
    let data = Data {
        ceiling: Ceiling { used: 0, limit: limits.memory_bytes },
        cpu: CpuTime { limit: Duration::ZERO, since: None },
        log: log.clone(),
        wasi: wasi.then(|| Closed::new(log)),
    };
    let mut store = Store::new(engine.wasmtime(), data);
    store.limiter(|data| &mut data.ceiling);
    store.epoch_deadline_callback(|mut context| context.data_mut().cpu.check_cpu_time());
    store.set_hostcall_fuel(limits.output_bytes);
    store
}

/// Sets the CPU time of the next call, milliseconds.
pub(crate) fn allow_cpu(store: &mut Store<Data>, milliseconds: u64) {
    store.data_mut().cpu = CpuTime { limit: Duration::from_millis(milliseconds), since: None };
    store.set_epoch_deadline(1);
}

/// Explains what stopped a plugin.
pub(crate) fn explain(error: &wasmtime::Error) -> String {
    if let Some(exceeded) = error.downcast_ref::<Exceeded>() {
        return exceeded.to_string();
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => format!("used more than {} KiB of stack", STACK_BYTES >> 10),
        Some(Trap::UnreachableCodeReached) => {
            "trapped: it ran into unreachable code, which is how a panic or a failed assertion ends".into()
        }
        Some(Trap::MemoryOutOfBounds) => {
            "trapped: out of bounds memory access, which is also how too deep a recursion ends".into()
        }
        Some(trap) => format!("trapped: {trap}"),
        None => explain_host(error.root_cause().to_string()),
    }
}

/// Explains other errors. wasmtime has no error type for exhausted hostcall fuel (the limit on
/// output), so its text is compared.
fn explain_host(text: String) -> String {
    match text.contains("fuel allocated for hostcalls") {
        true => "handed more to the host than it may at once (limit output_bytes)".into(),
        false => text,
    }
}

/// Returns whether the plugin exceeded its CPU time. A retry would take as long again.
pub(crate) fn is_cpu_limit(error: &wasmtime::Error) -> bool {
    matches!(error.downcast_ref::<Exceeded>(), Some(Exceeded::Cpu(_)))
}
