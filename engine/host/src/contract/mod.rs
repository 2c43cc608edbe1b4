//! The three contracts: for each the same few steps over the generated
//! bindings, and the model's trait implemented over them.

#[allow(unsafe_code, missing_docs)]
pub(crate) mod bindings;
pub(crate) mod bucketing;
mod callbacks;
pub(crate) mod channel;
mod outgoing;
mod pairs;
pub(crate) mod throttling;

use wasmtime::Store;
use wasmtime::component::InstancePre;

use self::bindings::types::{About, Problem, Setting};
use crate::store::Data;
use pricedrop_model::plugin::Kind;

/// One template of a channel: `<locale>.<part>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    pub(crate) locale: String,
    pub(crate) part: String,
    pub(crate) text: String,
}

/// How a plugin introduces itself.
pub(crate) struct Description {
    pub(crate) about: About,
    /// Of a channel: the kind of address it sends to.
    pub(crate) address_kind: Option<String>,
}

/// What all kinds have in common.
pub(crate) trait Contract: Send + Sync + 'static {
    /// The kind.
    const KIND: Kind;
    /// The interface a plugin of this kind exports.
    const INTERFACE: &'static str;
    /// A plugin linked and type-checked, ready to be instantiated.
    type Linked: Send + Sync;
    /// The exports of one instance.
    type Exports: Send;

    fn link(pre: InstancePre<Data>) -> wasmtime::Result<Self::Linked>;
    fn instantiate(linked: &Self::Linked, store: &mut Store<Data>) -> wasmtime::Result<Self::Exports>;
    fn describe(exports: &Self::Exports, store: &mut Store<Data>) -> wasmtime::Result<Description>;
    fn configure(
        exports: &Self::Exports,
        store: &mut Store<Data>,
        settings: &[Setting<'_>],
        templates: &[Template],
    ) -> wasmtime::Result<Result<(), Vec<Problem>>>;
}

/// The steps of a [`Contract`] are the same but for the names in the bindings.
macro_rules! contract {
    ($name:ident, $kind:ident, $interface:literal, $module:ident, $pre:ident, $world:ident, $exports:ident) => {
        /// The contract's steps over its bindings.
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
