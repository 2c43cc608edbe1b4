//! A closed, deterministic WASI for plugins whose runtime insists on one:
//! time stands still, random numbers are seeded, standard output goes to the
//! log. There are no files, no network, no environment, and nothing to wait for.

use bytes::Bytes;
use std::time::Duration;
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::clocks::{HostMonotonicClock, HostWallClock, WasiClocksView as _};
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock;
use wasmtime_wasi::p2::{DynPollable, OutputStream, Pollable, StreamResult};
use wasmtime_wasi::{Deterministic, WasiCtx, WasiCtxView, WasiView};

use crate::contract::bindings::log::Level;
use crate::limits::LOG_LINE_BYTES;
use crate::log::LogLines;
use crate::store::Data;

/// What a plugin that imports WASI gets.
pub(crate) struct Closed {
    ctx: WasiCtx,
    table: ResourceTable,
}

/// Seconds since 1970 at which time stands still: 2020-01-01.
const FIXED_SECONDS: u64 = 1_577_836_800;
const SEED: u64 = 0x7072_6963_6564_726f;

impl Closed {
    pub(crate) fn new(log: &LogLines) -> Closed {
        let ctx = WasiCtx::builder()
            .wall_clock(Still)
            .monotonic_clock(Still)
            .secure_random(Deterministic::new(SEED.to_le_bytes().to_vec()))
            .insecure_random(Deterministic::new(SEED.to_le_bytes().to_vec()))
            .insecure_random_seed(SEED.into())
            .max_random_size(1 << 16)
            .allow_tcp(false)
            .allow_udp(false)
            .stdout(Lines { log: log.clone(), level: Level::Info })
            .stderr(Lines { log: log.clone(), level: Level::Warn })
            .build();
        Closed { ctx, table: ResourceTable::new() }
    }
}

impl WasiView for Data {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let closed = self.wasi.as_mut().expect("linked only for plugins that import WASI, which get one");
        WasiCtxView { ctx: &mut closed.ctx, table: &mut closed.table }
    }
}

/// Adds WASI to a plugin's imports.
pub(crate) fn link(linker: &mut Linker<Data>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_sync(linker)?;
    linker.allow_shadowing(true);
    monotonic_clock::add_to_linker::<Data, StillClock>(linker, |data| AtOnce(data))?;
    linker.allow_shadowing(false);
    Ok(())
}

/// A clock that never moves.
struct Still;

impl HostWallClock for Still {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        Duration::from_secs(FIXED_SECONDS)
    }
}

impl HostMonotonicClock for Still {
    fn resolution(&self) -> u64 {
        1_000_000
    }

    fn now(&self) -> u64 {
        0
    }
}

struct StillClock;

impl HasData for StillClock {
    type Data<'a> = AtOnce<'a>;
}

/// A monotonic clock whose waits are over at once: waiting uses no CPU time,
/// so no limit would ever end it.
struct AtOnce<'a>(&'a mut Data);

impl monotonic_clock::Host for AtOnce<'_> {
    fn now(&mut self) -> wasmtime::Result<u64> {
        monotonic_clock::Host::now(&mut self.0.clocks())
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        monotonic_clock::Host::resolution(&mut self.0.clocks())
    }

    fn subscribe_instant(&mut self, _when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.subscribe_duration(0)
    }

    fn subscribe_duration(&mut self, _duration: u64) -> wasmtime::Result<Resource<DynPollable>> {
        monotonic_clock::Host::subscribe_duration(&mut self.0.clocks(), 0)
    }
}

/// Standard output or error as lines of the log.
#[derive(Clone)]
struct Lines {
    log: LogLines,
    level: Level,
}

impl IsTerminal for Lines {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Lines {
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Lines {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        for line in String::from_utf8_lossy(&bytes).lines().filter(|line| !line.trim().is_empty()) {
            self.log.line(self.level, line);
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(LOG_LINE_BYTES)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Lines {
    async fn ready(&mut self) {}
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::engine::Engine;
    use crate::limits::Limits;
    use crate::store::new_store;
    use monotonic_clock::Host as _;
    use wasmtime_wasi::p2::bindings::random::random::Host as _;
    use wasmtime_wasi::p2::bindings::sync::io::poll::HostPollable as _;
    use wasmtime_wasi::random::WasiRandomView as _;

    #[test]
    fn waiting_is_over_at_once_and_everything_is_the_same_every_time() {
        let engine = Engine::new().unwrap();
        let log = LogLines::new("test", 1);
        let seen = || {
            let mut store = new_store(&engine, &Limits::default(), &log, true);
            let data = store.data_mut();
            let forever = AtOnce(data).subscribe_duration(u64::MAX).unwrap();
            data.ctx().table.block(forever).unwrap();
            let far = AtOnce(data).subscribe_instant(u64::MAX).unwrap();
            data.ctx().table.block(far).unwrap();
            let random = data.random().get_random_bytes(32).unwrap();
            (AtOnce(data).now().unwrap(), random)
        };
        assert_eq!(seen(), seen());
    }
}
