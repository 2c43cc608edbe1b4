//! Locks mutexes and ignores poisoning. Use it only for values that stay consistent if a thread
//! panics while it holds the lock.

use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

/// Locks, and waits while another thread holds the lock.
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Locks, or returns none if another thread holds the lock.
pub fn try_lock<T: ?Sized>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}
