//! The outbox: blocks of notifications in one log. A row is a block of up to a
//! few thousand users of one fan-out, under the offset of its first one; so a
//! notification's offset is that plus its place in the block.

use pricedrop_model::fan_out::ToldList;
use pricedrop_model::{Currency, FanOutBlock, Price, Priced, ProductId, WallTime};
use serde::{Deserialize, Serialize};

use super::limits::BLOCK_NOTIFICATIONS;
use super::rows;
use super::store::Table;
use super::txn::{NEXT_NOTIFICATION, Txn};
use super::{Broken, keys};

/// A block as it is stored.
#[derive(Debug, Serialize, Deserialize)]
struct Block {
    /// When it was committed.
    at: WallTime,
    product: ProductId,
    currency: Currency,
    priced: Priced,
    previous: Option<Price>,
    told: ToldList,
}

/// Appends blocks; nothing here fails, so that no offset is skipped.
pub(super) fn append(txn: &mut Txn<'_>, blocks: Vec<FanOutBlock>, at: WallTime) {
    for block in blocks {
        let FanOutBlock { product, currency, priced, previous, told } = block;
        if told.len() <= BLOCK_NOTIFICATIONS {
            append_row(txn, &Block { at, product, currency, priced, previous, told });
            continue;
        }
        for told in told.chunks(BLOCK_NOTIFICATIONS) {
            let (product, priced) = (product.clone(), priced.clone());
            append_row(txn, &Block { at, product, currency, priced, previous, told });
        }
    }
    let next = keys::number(txn.counters.next_notification);
    txn.append(Table::Meta, NEXT_NOTIFICATION, next);
}

fn append_row(txn: &mut Txn<'_>, block: &Block) {
    if block.told.is_empty() {
        return;
    }
    let first = txn.counters.next_notification;
    txn.counters.next_notification += block.told.len() as i64;
    txn.append(Table::Outbox, keys::number(first), rows::encode(block));
}

/// A stored block: when it was committed, and what it tells.
pub(super) fn read_block(value: &[u8]) -> Result<(WallTime, FanOutBlock), Broken> {
    let Block { at, product, currency, priced, previous, told } = rows::decode(value)?;
    Ok((at, FanOutBlock { product, currency, priced, previous, told }))
}
