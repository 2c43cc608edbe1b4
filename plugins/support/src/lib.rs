//! The library that the default plugins share: the types of the contracts, exact
//! prices, typed settings, the texts of messages, and the handling of untrusted
//! text. Rules of a single plugin belong in that plugin.

mod address;
#[cfg(feature = "channel")]
pub mod callbacks;
#[cfg(feature = "channel")]
pub mod channel;
mod json;
mod link;
#[cfg(feature = "templates")]
mod note;
mod price;
mod settings;
#[cfg(feature = "templates")]
pub mod templates;
mod text;

mod bindings {
    wit_bindgen::generate!({
        inline: "
            package pricedrop:support;
            world support { import pricedrop:types/types@0.1.0; }
        ",
        path: ["../../wit/deps/types.wit"],
        generate_all,
        generate_unused_types: true,
    });
}

pub use address::plain_address;
pub use bindings::pricedrop::types::types;
pub use json::Object;
pub use link::{LinkHosts, host_of};
#[cfg(feature = "templates")]
pub use note::{Note, Notes};
pub use price::{decimal, nanos};
pub use settings::{Settings, no_templates, problem, spec};
pub use text::one_line;
