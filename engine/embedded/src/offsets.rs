//! Reads the committed offsets of the input.

use pricedrop_model::Partition;

use super::error::Broken;
use super::keys;
use super::store::Store;
use super::store_handle::ReadError;
use super::tables::Table;
use super::topics::PARTITION;

const OFFSET: &[u8] = b"offset/";

pub(super) fn offset_key(partition: Partition) -> Vec<u8> {
    [OFFSET, &partition.0.to_be_bytes()].concat()
}

/// Returns the next offset of the input to be read.
pub(super) fn input_offset(store: &Store) -> Result<i64, ReadError> {
    let stored = store.get(Table::Meta, &offset_key(PARTITION))?;
    Ok(stored.map(|bytes| keys::split_number(&bytes)).transpose()?.unwrap_or(0))
}

/// Returns the next offset to be read of every partition that has one.
pub(super) fn stored_offsets(store: &Store) -> Result<Vec<(Partition, i64)>, ReadError> {
    let mut offsets = Vec::new();
    for guard in store.prefix(Table::Meta, OFFSET) {
        let (key, value) = guard.into_inner()?;
        let partition = key[OFFSET.len()..]
            .try_into()
            .map_err(|_| Broken("an offset's key has another length".into()))?;
        offsets.push((Partition(i32::from_be_bytes(partition)), keys::split_number(&value)?));
    }
    Ok(offsets)
}
