//! The host of plugins.
pub mod error;
pub mod limits;
mod cache; mod cases; mod contract; mod digest; mod engine; mod health; mod load; mod load_check; mod log; mod plugin; mod settings; mod sidecar; mod store; mod wasi; mod wrap;
