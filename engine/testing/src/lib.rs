//! Support for tests: conformance suites for the ports, fakes, a test clock, random histories, and
//! the reference model that the engine is compared with. The binary must not link this crate.

pub mod cache;
pub mod channel;
pub mod clock;
pub mod conformance;
pub mod dispatch;
pub mod history;
pub mod reference;
