//! The contract of a channel: its types, the trait `Guest` and the macro that
//! exports an implementation of it.

mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/channel",
        world: "channel-plugin",
        with: { "pricedrop:types/types@0.1.0": crate::types },
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_channel",
        default_bindings_module: "pricedrop_plugin_support::channel",
    });
}

pub use bindings::export_channel;
// `export_channel!` refers to it by this path.
#[doc(hidden)]
pub use bindings::exports;
pub use bindings::exports::pricedrop::channel::channel::*;

impl Item {
    /// The attribute of this name.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        value(&self.attributes, name)
    }
}

impl Response {
    /// The header of this name, which is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        value(&self.headers, name)
    }

    /// The time that `Retry-After` names in seconds; a date counts as none.
    pub fn retry_after_ms(&self) -> Option<u64> {
        let seconds: u64 = self.header("retry-after")?.trim().parse().ok()?;
        seconds.checked_mul(1000)
    }
}

fn value<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}
