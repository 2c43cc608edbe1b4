//! What the default plugins share: the types of the contract, exact prices,
//! typed settings, and care with untrusted text. No policy lives here.

mod address;
mod json;
mod link;
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
pub use link::host_of;
pub use price::{decimal, nanos};
pub use settings::{Settings, no_templates, problem, spec};
pub use text::one_line;
