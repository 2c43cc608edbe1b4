//! What tests stand on: the reference model and random histories to hold the
//! engine against it.

pub mod history;
pub mod reference;
