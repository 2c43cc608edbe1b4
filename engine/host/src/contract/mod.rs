//! The three contracts of plugins: for each, a [`Contract`] over the generated bindings, and an
//! implementation of the model's trait.

#[allow(unsafe_code, missing_docs)]
pub(crate) mod bindings;
pub(crate) mod bucketing;
mod callbacks;
pub(crate) mod channel;
mod name_values;
mod outgoing;
pub(crate) mod throttling;

use wasmtime::Store;
use wasmtime::component::InstancePre;

use self::bindings::types::{About, Problem, Setting};
use crate::store::Data;
use pricedrop_model::plugin::Kind;

/// One template of a channel, from the file `<locale>.<part>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    pub(crate) locale: String,
    pub(crate) part: String,
    pub(crate) text: String,
}

/// The answer of a plugin's `describe`.
pub(crate) struct Description {
    pub(crate) about: About,
    /// The kind of address that a channel sends to; none for other kinds of plugin.
    pub(crate) address_kind: Option<String>,
}

/// The steps from a linked component to a configured instance, which all kinds share.
pub(crate) trait Contract: Send + Sync + 'static {
    /// The kind of plugin.
    const KIND: Kind;
    /// The interface that a plugin of this kind must export.
    const INTERFACE: &'static str;
    /// A linked and type-checked plugin, ready to be instantiated.
    type Linked: Send + Sync;
    /// The exports of one instance.
    type Exports: Send;

    /// Checks that the exports have the types of the contract.
    fn link(pre: InstancePre<Data>) -> wasmtime::Result<Self::Linked>;
    /// Creates an instance in a store.
    fn instantiate(linked: &Self::Linked, store: &mut Store<Data>) -> wasmtime::Result<Self::Exports>;
    /// Calls `describe`.
    fn describe(exports: &Self::Exports, store: &mut Store<Data>) -> wasmtime::Result<Description>;
    /// Calls `configure`. The inner error lists the plugin's problems with its settings.
    fn configure(
        exports: &Self::Exports,
        store: &mut Store<Data>,
        settings: &[Setting<'_>],
        templates: &[Template],
    ) -> wasmtime::Result<Result<(), Vec<Problem>>>;
}

/// Implements [`Contract`] for bindings that differ in their names only.
macro_rules! contract {
    ($name:ident, $kind:ident, $interface:literal, $module:ident, $pre:ident, $world:ident, $exports:ident) => {
        /// The contract. See `Contract`.
        pub(crate) struct $name;

        impl $crate::contract::Contract for $name {
            const KIND: pricedrop_model::plugin::Kind = pricedrop_model::plugin::Kind::$kind;
            const INTERFACE: &'static str = $interface;
            type Linked = $crate::contract::bindings::$module::$pre<$crate::store::Data>;
            type Exports = $crate::contract::bindings::$module::$world;

            fn link(
                pre: wasmtime::component::InstancePre<$crate::store::Data>,
            ) -> wasmtime::Result<Self::Linked> {
                $crate::contract::bindings::$module::$pre::new(pre)
            }

            fn instantiate(
                linked: &Self::Linked,
                store: &mut wasmtime::Store<$crate::store::Data>,
            ) -> wasmtime::Result<Self::Exports> {
                linked.instantiate(store)
            }

            fn describe(
                exports: &Self::Exports,
                store: &mut wasmtime::Store<$crate::store::Data>,
            ) -> wasmtime::Result<$crate::contract::Description> {
                let about = exports.$exports().call_describe(store)?;
                Ok($crate::contract::Description { about, address_kind: None })
            }

            fn configure(
                exports: &Self::Exports,
                store: &mut wasmtime::Store<$crate::store::Data>,
                settings: &[$crate::contract::bindings::types::Setting<'_>],
                _templates: &[$crate::contract::Template],
            ) -> wasmtime::Result<Result<(), Vec<$crate::contract::bindings::types::Problem>>> {
                exports.$exports().call_configure(store, settings)
            }
        }
    };
}
use contract;
