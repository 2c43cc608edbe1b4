//! `dlq replay`: a dead delivery gets its attempts anew.

use pricedrop_model::WallTime;
use pricedrop_model::dispatch::{DeadLetter, DeadLetterId, DeadLetters, DeadWhat, Leases, Retry, RetryQueue};
use pricedrop_model::ports;

/// Why a dead letter was not replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// There is nothing to send: mend the producer and let it write again.
    #[error("dead letter {0} is a record that could not be read; only deliveries are replayed")]
    NotADelivery(DeadLetterId),
    /// A store is away; replaying again is safe.
    #[error(transparent)]
    Store(#[from] ports::Error),
}

/// Queues the delivery of a dead letter for at once, as at its first attempt and
/// under the same key, then removes the dead letter. What was delivered meanwhile
/// is not sent again.
///
/// # Errors
/// Nothing is lost: the dead letter is still there, perhaps beside its entry in the
/// queue.
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
