//! The two loops of the engine: the notifier decides which users a price drop notifies, the
//! dispatcher delivers the notifications. Both use ports only; no adapter and no plugin runtime
//! is named here.

pub mod dispatcher;
pub mod notifier;
