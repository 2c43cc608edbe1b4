//! The loops of the engine over the ports: the notifier decides who is told,
//! the dispatcher delivers. No adapter and no plugin runtime is named here.

pub mod dispatcher;
pub mod notifier;
