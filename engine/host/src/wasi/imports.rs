//! Links a plugin's WASI imports to the sandboxed WASI of `closed.rs`, with waits that end
//! immediately.

use wasmtime::component::{HasData, Linker, Resource};
use wasmtime_wasi::clocks::WasiClocksView as _;
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock;
use wasmtime_wasi::{WasiCtxView, WasiView};

use crate::store::Data;

impl WasiView for Data {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let closed = self.wasi.as_mut().expect("linked only for plugins that import WASI, which get one");
        closed.view()
    }
}

/// Adds the sandboxed WASI to a linker.
pub(crate) fn link(linker: &mut Linker<Data>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_sync(linker)?;
    linker.allow_shadowing(true);
    monotonic_clock::add_to_linker::<Data, StillClock>(linker, |data| AtOnce(data))?;
    linker.allow_shadowing(false);
    Ok(())
}

struct StillClock;

impl HasData for StillClock {
    type Data<'a> = AtOnce<'a>;
}

/// A monotonic clock whose waits end immediately. Waiting uses no CPU time, so the limit on CPU
/// time would never end it.
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::engine::Engine;
    use crate::limits::Limits;
    use crate::log::LogLines;
    use crate::store::new_store;
    use monotonic_clock::Host as _;
    use wasmtime_wasi::p2::bindings::random::random::Host as _;
    use wasmtime_wasi::p2::bindings::sync::io::poll::HostPollable as _;
    use wasmtime_wasi::random::WasiRandomView as _;

    #[test]
    fn waits_return_at_once_and_results_are_deterministic() {
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
