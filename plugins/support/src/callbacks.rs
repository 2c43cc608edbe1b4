//! The contract of a channel that also reads what its provider reports later.

mod bindings {
    wit_bindgen::generate!({
        inline: "
            package pricedrop:support-callbacks;
            world channel-callbacks { export pricedrop:channel/callbacks@0.1.0; }
        ",
        path: "../../wit/channel",
        pub_export_macro: true,
        export_macro_name: "export_callbacks",
        default_bindings_module: "pricedrop_plugin_support::callbacks",
    });
}

pub use bindings::export_callbacks;
// `export_callbacks!` refers to it by this path.
#[doc(hidden)]
pub use bindings::exports;
pub use bindings::exports::pricedrop::channel::callbacks::*;
