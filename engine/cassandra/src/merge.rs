//! Merges the rows of all shards of one bucket in order.

use pricedrop_model::ports::Error;
use pricedrop_model::{Price, WatchPage, WatchRow};

use super::part::Part;

/// A shard, with the rows that were read from it but not returned yet.
pub(super) struct Shard {
    pub(super) part: Part,
    left: WatchPage,
    /// How many rows of `left` were returned.
    at: usize,
    more: bool,
}

impl Shard {
    pub(super) fn new(part: Part) -> Shard {
        Shard { part, left: WatchPage::default(), at: 0, more: true }
    }

    fn is_dry(&self) -> bool {
        self.at >= self.left.len()
    }

    /// Reads pages until a page has rows, or there are no more pages.
    async fn fill(&mut self) -> Result<(), Error> {
        self.at = 0;
        self.left.clear();
        while self.more && self.left.is_empty() {
            self.more = self.part.next(&mut self.left).await?;
        }
        Ok(())
    }
}

fn place<'a>(row: &WatchRow<'a>) -> (Price, &'a str) {
    (row.threshold, row.user)
}

/// Appends the next rows in order, as far as they are known. Returns whether there may be more.
pub(super) async fn next(shards: &mut [Shard], page: &mut WatchPage) -> Result<bool, Error> {
    let dry = shards.iter_mut().filter(|shard| shard.is_dry() && shard.more);
    futures::future::try_join_all(dry.map(Shard::fill)).await?;
    let mut heads: Vec<_> = shards.iter().map(|shard| shard.left.iter().skip(shard.at).peekable()).collect();
    let mut taken = vec![0; shards.len()];
    'page: loop {
        let mut least = None;
        for (at, head) in heads.iter_mut().enumerate() {
            let Some(row) = head.peek() else {
                // The next row of this shard is not read yet, and may be the smallest.
                if shards[at].more {
                    break 'page;
                }
                continue;
            };
            if least.is_none_or(|(_, known)| place(row) < known) {
                least = Some((at, place(row)));
            }
        }
        let Some((at, _)) = least else { break };
        page.push(heads[at].next().expect("it was just looked at"));
        taken[at] += 1;
    }
    drop(heads);
    for (shard, taken) in shards.iter_mut().zip(taken) {
        shard.at += taken;
    }
    Ok(shards.iter().any(|shard| shard.more || !shard.is_dry()))
}
