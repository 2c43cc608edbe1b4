//! Text messages: canonical phone numbers and the number of segments of a text.
//! The channel's exports are not part of this crate yet.

pub mod phone;
pub mod segments;
