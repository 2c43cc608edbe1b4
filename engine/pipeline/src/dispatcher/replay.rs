//! `dlq replay`: a dead delivery gets its attempts anew.

use pricedrop_model::WallTime;
use pricedrop_model::dispatch::{DeadItem, DeadLetters, DeadWhat, Leases, Retry, RetryQueue};
use pricedrop_model::ports;

/// Why an item was not replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// There is nothing to send: mend the producer and let it write again.
    #[error("item {0} is a record that could not be read; only deliveries are replayed")]
    NotADelivery(i64),
    /// A store is away; replaying again is safe.
    #[error(transparent)]
    Store(#[from] ports::Error),
}

/// Queues the delivery of a dead item for at once, as at its first attempt and
/// under the same key, then takes the item away. What was delivered meanwhile
/// is not sent again.
///
/// # Errors
/// Nothing is lost: the item still lies there, or lies there beside its entry
/// in the queue.
pub async fn replay(
    item: &DeadItem,
    leases: &dyn Leases,
    retries: &dyn RetryQueue,
    dead_letters: &dyn DeadLetters,
    now: WallTime,
) -> Result<(), ReplayError> {
    let DeadWhat::Delivery { retry, .. } = &item.what else {
        return Err(ReplayError::NotADelivery(item.number));
    };
    let again = Retry { due: now, attempt: 1, since: now, ..Retry::clone(retry) };
    leases.release(std::slice::from_ref(&again.key)).await?;
    retries.put(vec![again]).await?;
    dead_letters.remove(item.number).await?;
    Ok(())
}
