//! One generation of a plugin: its compiled code and settings, its idle instances, and its health.
//! Calls go through here.
//!
//! ```text
//!  call ─▶ admit ─▶ take an idle instance, or a fresh one ─▶ the guest
//!            ▲                                                 │
//!         health ◀── failed: the instance is dropped ◀─────────┤
//!                    fine: it goes back to the idle ones ◀─────┘
//! ```
//!
//! Invariant: an instance is used by one thread at a time, and never after it trapped.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use pricedrop_model::plugin;
use pricedrop_model::sync::lock;
use wasmtime::Store;

use crate::contract::bindings::types::Problem;
use crate::contract::{Contract, Template};
use crate::engine::Engine;
use crate::health::Health;
use crate::limits::{BISECT_FAILURES, IDLE_INSTANCES, Limits};
use crate::log::LogLines;
use crate::meta::Meta;
use crate::settings::{Settings, truncate};
use crate::store::{Data, allow_cpu, explain, is_cpu_limit, new_store};

/// One generation of a plugin with the contract `C`.
pub(crate) struct Plugin<C: Contract> {
    pub(crate) meta: Arc<Meta>,
    pub(crate) health: Arc<Health>,
    pub(crate) settings: Settings,
    /// The templates of a channel; empty for other kinds.
    pub(crate) templates: Vec<Template>,
    pub(crate) limits: Limits,
    pub(crate) linked: C::Linked,
    pub(crate) engine: Engine,
    pub(crate) log: LogLines,
    pub(crate) wasi: bool,
    pub(crate) idle: Mutex<Vec<Instance<C>>>,
}

/// One instance with its store.
pub(crate) struct Instance<C: Contract> {
    pub(crate) store: Store<Data>,
    pub(crate) exports: C::Exports,
    calls: u64,
}

/// Why a call has no valid answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The plugin trapped, or exceeded a limit other than CPU time.
    Trap(String),
    /// The plugin exceeded its CPU time. A retry would take as long again.
    Cpu(String),
    /// The plugin's answer broke the contract.
    Breach(String),
}

impl Failure {
    pub(crate) fn reason(&self) -> &str {
        match self {
            Failure::Trap(reason) | Failure::Cpu(reason) | Failure::Breach(reason) => reason,
        }
    }
}

impl<C: Contract> Instance<C> {
    /// Creates an instance without configuring it.
    pub(crate) fn unconfigured(
        engine: &Engine,
        linked: &C::Linked,
        limits: &Limits,
        log: &LogLines,
        wasi: bool,
    ) -> wasmtime::Result<Instance<C>> {
        let mut store = new_store(engine, limits, log, wasi);
        allow_cpu(&mut store, limits.start_cpu_ms);
        let exports = C::instantiate(linked, &mut store)?;
        Ok(Instance { store, exports, calls: 0 })
    }
}

impl<C: Contract> Plugin<C> {
    /// Creates and configures an instance.
    ///
    /// # Errors
    /// The plugin failed, or reported problems with its settings or templates.
    pub(crate) fn new_instance(&self) -> Result<Instance<C>, Failure> {
        let trap = |error: wasmtime::Error| failure(&error);
        let mut instance: Instance<C> =
            Instance::unconfigured(&self.engine, &self.linked, &self.limits, &self.log, self.wasi)
                .map_err(trap)?;
        let configured = self
            .settings
            .lend(|settings| C::configure(&instance.exports, &mut instance.store, settings, &self.templates));
        match configured.map_err(trap)? {
            Ok(()) => Ok(instance),
            Err(problems) => {
                let words: Vec<String> = problems.iter().map(format_problem).collect();
                Err(Failure::Breach(words.join("; ")))
            }
        }
    }

    /// Makes one call, in an idle instance or a new one. An instance that fails is dropped.
    pub(crate) fn call<R>(
        &self,
        run: impl FnOnce(&C::Exports, &mut Store<Data>) -> wasmtime::Result<R>,
    ) -> Result<R, Failure> {
        let idle = self.idle().pop();
        let mut instance = match idle {
            Some(instance) => instance,
            None => self.new_instance()?,
        };
        allow_cpu(&mut instance.store, self.limits.cpu_ms);
        let started = Instant::now();
        let answer = run(&instance.exports, &mut instance.store);
        self.health.called(&self.meta, started.elapsed());
        let answer = answer.map_err(|error| failure(&error))?;
        self.return_to_idle(instance);
        Ok(answer)
    }

    /// Keeps an instance for the next call.
    pub(crate) fn keep_idle(&self, instance: Instance<C>) {
        self.idle().push(instance);
    }

    fn return_to_idle(&self, mut instance: Instance<C>) {
        instance.calls += 1;
        if instance.calls >= self.limits.calls_per_instance {
            return;
        }
        let mut idle = self.idle();
        if idle.len() < IDLE_INSTANCES {
            idle.push(instance);
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Instance<C>>> {
        lock(&self.idle)
    }

    /// Drops every idle instance. The next call creates a new one.
    pub(crate) fn drop_idle_instances(&self) {
        let idle = std::mem::take(&mut *self.idle());
        drop(idle);
    }

    /// Calls the plugin with a batch, and returns one result per item. If a call fails, each half
    /// is tried again, until the bad items are found or [`BISECT_FAILURES`] calls have failed; then
    /// the remaining items fail, too. A breach of contract is not tried again.
    pub(crate) fn call_batch<T, R>(
        &self,
        function: &'static str,
        items: &[T],
        run: impl Fn(&C::Exports, &mut Store<Data>, &[T]) -> wasmtime::Result<Vec<R>>,
    ) -> Vec<Result<R, plugin::Error>> {
        if items.is_empty() {
            return Vec::new();
        }
        if let Err(error) = self.admit(function) {
            return items.iter().map(|_| Err(error.clone())).collect();
        }
        let mut bisection =
            Bisection { plugin: self, run, remaining: BISECT_FAILURES, first: None, answers: Vec::new() };
        bisection.call_half(items);
        let (first, answers) = (bisection.first, bisection.answers);
        match &first {
            None => self.health.succeeded(),
            Some(failure) => {
                let any = answers.iter().any(Result::is_ok);
                self.failed(function, failure, any);
            }
        }
        answers
            .into_iter()
            .map(|answer| answer.map_err(|failure| self.error(function, failure.reason())))
            .collect()
    }

    /// Returns whether the plugin may be called now.
    ///
    /// # Errors
    /// It is disabled or its circuit breaker is open.
    pub(crate) fn admit(&self, function: &'static str) -> Result<(), plugin::Error> {
        self.health.admit().map_err(|reason| self.error(function, &reason))
    }

    /// Records the outcome of a single call.
    pub(crate) fn record_outcome<R>(
        &self,
        function: &'static str,
        answer: Result<R, Failure>,
    ) -> Result<R, plugin::Error> {
        match answer {
            Ok(answer) => {
                self.health.succeeded();
                Ok(answer)
            }
            Err(failure) => {
                self.failed(function, &failure, false);
                Err(self.error(function, failure.reason()))
            }
        }
    }

    /// Records that an instance trapped, but a fresh one answered the same call.
    pub(crate) fn trapped_once(&self, function: &'static str) {
        self.health.trapped(&self.meta, function, "trapped once; a fresh instance answered", true);
    }

    fn failed(&self, function: &'static str, failure: &Failure, some_answered: bool) {
        match failure {
            Failure::Breach(reason) => self.breached(function, reason),
            Failure::Trap(reason) | Failure::Cpu(reason) => {
                self.health.trapped(&self.meta, function, reason, some_answered);
            }
        }
    }

    /// Records an answer that broke the contract.
    pub(crate) fn breached(&self, function: &'static str, reason: &str) {
        self.health.breached(&self.meta, C::KIND, function, reason);
    }

    pub(crate) fn error(&self, function: &'static str, reason: &str) -> plugin::Error {
        plugin::Error { plugin: self.meta.name.clone(), function, reason: reason.to_owned() }
    }
}

/// Formats a problem. Its name is that of a setting, of a template, or empty.
fn format_problem(problem: &Problem) -> String {
    let (name, message) = (truncate(&problem.name), truncate(&problem.message));
    match name.as_str() {
        "" => message,
        name if name.starts_with("template ") => format!("{name}: {message}"),
        name => format!("setting {name}: {message}"),
    }
}

pub(crate) fn failure(error: &wasmtime::Error) -> Failure {
    if is_cpu_limit(error) { Failure::Cpu(explain(error)) } else { Failure::Trap(explain(error)) }
}

/// The bisection of one batch to find its bad items. `remaining` is the number of calls that may still
/// fail, `first` the first failure.
struct Bisection<'a, C: Contract, F, R> {
    plugin: &'a Plugin<C>,
    run: F,
    remaining: u32,
    first: Option<Failure>,
    answers: Vec<Result<R, Failure>>,
}

impl<C: Contract, F, R> Bisection<'_, C, F, R> {
    fn call_half<T>(&mut self, items: &[T])
    where
        F: Fn(&C::Exports, &mut Store<Data>, &[T]) -> wasmtime::Result<Vec<R>>,
    {
        let failure = match self.plugin.call(|exports, store| (self.run)(exports, store, items)) {
            Ok(answers) if answers.len() == items.len() => {
                self.answers.extend(answers.into_iter().map(Ok));
                return;
            }
            Ok(answers) => Failure::Breach(format!(
                "{} answers for {} items; exactly one each is required",
                answers.len(),
                items.len()
            )),
            Err(failure) => failure,
        };
        self.first.get_or_insert_with(|| failure.clone());
        self.remaining = self.remaining.saturating_sub(1);
        let breach = matches!(failure, Failure::Breach(_));
        if items.len() == 1 || self.remaining == 0 || breach {
            self.answers.extend(items.iter().map(|_| Err(failure.clone())));
            return;
        }
        let (head, tail) = items.split_at(items.len() / 2);
        self.call_half(head);
        match self.remaining {
            0 => self.answers.extend(tail.iter().map(|_| Err(failure.clone()))),
            _ => self.call_half(tail),
        }
    }
}
