//! Replays a dead letter (`pricedrop dlq replay`): its delivery is queued again, with all attempts.

use pricedrop_model::WallTime;
use pricedrop_model::dispatch::{DeadLetter, DeadLetterId, DeadLetters, DeadWhat, Leases, Retry, RetryQueue};
use pricedrop_model::ports;

/// Why a dead letter was not replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The dead letter is a record, so there is nothing to deliver. Nothing was changed.
    #[error("dead letter {0} is a record that could not be read; only deliveries are replayed")]
    NotADelivery(DeadLetterId),
    /// A store failed. Replaying again is safe.
    #[error(transparent)]
    Store(#[from] ports::Error),
}

/// Queues the delivery of a dead letter, due now, as its first attempt and under the same key, then
/// removes the dead letter. A delivery that is confirmed is not sent again.
///
/// # Errors
/// [`ReplayError::NotADelivery`] if there is nothing to deliver. [`ReplayError::Store`] if a store
/// failed: the dead letter, its entry in the retry queue, or both are stored.
pub async fn replay(
    letter: &DeadLetter,
    leases: &dyn Leases,
    retries: &dyn RetryQueue,
    dead_letters: &dyn DeadLetters,
    now: WallTime,
) -> Result<(), ReplayError> {
    let DeadWhat::Delivery { retry, .. } = &letter.what else {
        return Err(ReplayError::NotADelivery(letter.id.clone()));
    };
    let again = Retry { due: now, attempt: 1, since: now, ..Retry::clone(retry) };
    leases.release(std::slice::from_ref(&again.key)).await?;
    retries.put(vec![again]).await?;
    dead_letters.remove(&letter.id).await?;
    Ok(())
}
