//! Rust bindings that wasmtime generates from `wit/`. The conversions to the model's types are in
//! the files beside this one.

/// Bucketing, and the types that all contracts share.
pub mod bucketing {
    wasmtime::component::bindgen!({
        path: "../../wit/bucketing",
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}

/// Throttling.
pub mod throttling {
    wasmtime::component::bindgen!({
        path: "../../wit/throttling",
        ownership: Borrowing { duplicate_if_necessary: true },
        with: {
            "pricedrop:types/types": super::bucketing::pricedrop::types::types,
            "pricedrop:host/log": super::bucketing::pricedrop::host::log,
        },
    });
}

/// Channels.
pub mod channel {
    wasmtime::component::bindgen!({
        path: "../../wit/channel",
        world: "channel-plugin",
        ownership: Borrowing { duplicate_if_necessary: true },
        with: {
            "pricedrop:types/types": super::bucketing::pricedrop::types::types,
            "pricedrop:host/log": super::bucketing::pricedrop::host::log,
        },
    });
}

/// Callbacks: an optional interface of channels.
pub mod callbacks {
    wasmtime::component::bindgen!({
        path: "../../wit/channel",
        inline: "
            package pricedrop:optional;
            world callbacks-plugin { export pricedrop:channel/callbacks@0.1.0; }
        ",
        world: "pricedrop:optional/callbacks-plugin",
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}

pub use bucketing::pricedrop::host::log;
pub use bucketing::pricedrop::types::types;
