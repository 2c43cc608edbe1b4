//! What tests stand on: the reference model and random histories to hold the
//! engine against it.

pub mod cache;
pub mod channel;
pub mod clock;
pub mod conformance;
pub mod dispatch;
pub mod history;
pub mod reference;
