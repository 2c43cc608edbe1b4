//! The sandboxed WASI of one instance: fixed clocks, seeded random numbers, and output to the log.

use bytes::Bytes;
use std::time::Duration;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::clocks::{HostMonotonicClock, HostWallClock};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::{Deterministic, WasiCtx, WasiCtxView};

use crate::contract::bindings::log::Level;
use crate::limits::LOG_LINE_BYTES;
use crate::log::LogLines;

/// The WASI state of one instance.
pub(crate) struct Closed {
    ctx: WasiCtx,
    table: ResourceTable,
}

/// The fixed wall time, epoch seconds: 2020-01-01.
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

    /// Returns the view that wasmtime's WASI needs.
    pub(crate) fn view(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.ctx, table: &mut self.table }
    }
}

/// A clock with a fixed time.
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

/// Standard output or standard error, written to the log line by line.
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
