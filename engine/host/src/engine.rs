//! The wasmtime engine: one configuration for every plugin, and the thread that increments the
//! epoch. Each increment makes the host check the CPU time of the running plugins.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::{Config, EngineWeak};

use pricedrop_model::Cause;

use crate::error::Error;
use crate::limits::{STACK_BYTES, TICK_MS};

/// A shared engine. Its ticker thread ends after the last clone is dropped.
#[derive(Clone)]
pub(crate) struct Engine {
    inner: Arc<wasmtime::Engine>,
}

impl Engine {
    pub(crate) fn new() -> Result<Engine, Error> {
        let inner =
            wasmtime::Engine::new(&config()).map_err(|error| Error::Engine(format!("{error:#}").into()))?;
        let weak = inner.weak();
        std::thread::Builder::new()
            .name("plugin-ticker".into())
            .spawn(move || tick(&weak))
            .map_err(|error| Error::Engine(Cause::of(error)))?;
        Ok(Engine { inner: Arc::new(inner) })
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.inner
    }
}

fn tick(engine: &EngineWeak) {
    while let Some(engine) = engine.upgrade() {
        engine.increment_epoch();
        drop(engine);
        std::thread::sleep(Duration::from_millis(TICK_MS));
    }
}

fn config() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .max_wasm_stack(STACK_BYTES)
        // Floating point is deterministic: equal inputs give equal answers on every machine.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .wasm_component_model(true);
    config
}
