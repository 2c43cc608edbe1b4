//! One logged batch of changes into alerts, buckets and live, and what makes it
//! safe: the shelves it touches are marked before and dropped behind it, the
//! policy row is read again, and what was not in time, or hidden by a cache that
//! could not be told, is written anew.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use pricedrop_model::cache::{Shelf, ShelfCache};
use pricedrop_model::ports::Error;
use pricedrop_model::{BucketId, Mode, Price, ProductId, UserId, WallTime, Watch, WriteTime};
use scylla::value::{CqlTimestamp, CqlValue};

use super::decimal::to_cql;
use super::index_build::{IndexBuild, Policies};
use super::limits::{AHEAD_SLACK_MS, BATCH_BYTES, BATCHES, IN_TIME_MS, REWRITES, WRITE_MARGIN_MS};
use super::part::text;
use super::policy::cut_each;
use super::requests::{Values, Write};
use super::rows::{currency_text, mode_text};
use super::shards::shard_of;
use super::shared::Shared;
use super::stamps::Stamp;

/// A change of one row.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Put(Watch),
    /// Deletes what was written up to then.
    Delete {
        product: ProductId,
        threshold: Price,
        user: UserId,
        write_time: WriteTime,
    },
}

impl Change {
    pub(super) fn product(&self) -> &ProductId {
        match self {
            Change::Put(watch) => &watch.product_id,
            Change::Delete { product, .. } => product,
        }
    }

    fn threshold(&self) -> Price {
        match self {
            Change::Put(watch) => watch.price_watch_value,
            Change::Delete { threshold, .. } => *threshold,
        }
    }

    fn user(&self) -> &UserId {
        match self {
            Change::Put(watch) => &watch.user_id,
            Change::Delete { user, .. } => user,
        }
    }

    /// What it takes in a batch, by estimate: once in alerts, once per index.
    fn bytes(&self) -> usize {
        const PER_ROW: usize = 96;
        3 * (PER_ROW + self.product().as_str().len() + self.user().as_str().len())
    }
}

/// Cuts changes, sorted by product, into batches.
pub(super) fn batches(changes: Vec<Change>) -> Vec<Vec<Change>> {
    let (mut batches, mut room) = (Vec::new(), 0);
    for change in changes {
        let bytes = change.bytes();
        if bytes > room {
            batches.push(Vec::new());
            room = BATCH_BYTES.max(bytes);
        }
        room -= bytes;
        batches.last_mut().expect("there is room only in a batch").push(change);
    }
    batches
}

/// What was written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Applied {
    pub(super) updated_at: WallTime,
    /// The cache could not be told: views from then on see it.
    pub(super) effective_by: Option<WallTime>,
}

/// The buckets of all changes in one index; none: nobody here can tell.
struct Cuts {
    slot: IndexBuild,
    buckets: Vec<Option<BucketId>>,
}

async fn cut_all(shared: &Shared, policies: &Policies, changes: &[Change]) -> Vec<Cuts> {
    let mut all = Vec::new();
    for slot in policies.kept() {
        let mut buckets = Vec::with_capacity(changes.len());
        let runs: Vec<&[Change]> = changes.chunk_by(|a, b| a.product() == b.product()).collect();
        let asked =
            runs.iter().map(|run| (run[0].product().clone(), run.iter().map(Change::threshold).collect()));
        for (run, cut) in runs.iter().zip(cut_each(shared.policy_of(slot), asked.collect()).await) {
            match cut {
                Some(some) => buckets.extend(some.into_iter().map(Some)),
                None => buckets.extend(run.iter().map(|_| None)),
            }
        }
        all.push(Cuts { slot: slot.clone(), buckets });
    }
    all
}

fn shelves(changes: &[Change], cuts: &[Cuts]) -> Vec<Shelf> {
    let mut shelves = BTreeSet::new();
    for (at, change) in changes.iter().enumerate() {
        let product = change.product();
        shelves.insert(Shelf::Plain(product.clone()));
        for Cuts { slot, buckets } in cuts {
            let (product, policy) = (product.clone(), slot.index.clone());
            shelves.insert(Shelf::Live { product: product.clone(), policy: policy.clone() });
            shelves.extend(buckets[at].map(|bucket| Shelf::Bucket { product, policy, bucket }));
        }
    }
    shelves.into_iter().collect()
}

/// Applies a batch of changes, sorted by product; it is visible to all when
/// this answers.
pub(super) async fn apply(shared: &Shared, changes: &[Change]) -> Result<Applied, Error> {
    let mut policies = shared.known_policies().await?;
    let mut cuts = cut_all(shared, &policies, changes).await;
    let puts = changes.iter().any(|change| matches!(change, Change::Put(_)));
    let (mut stale_ms, mut ahead_ms, mut why) = (None, 0, "");
    for attempt in 0..REWRITES {
        let shelves = shelves(changes, &cuts);
        let marked = shared.cache.mark(&shelves).await;
        if let (true, Some(stale_ms)) = (puts, marked) {
            ahead_ms = ahead_ms.max(stale_ms.saturating_add(AHEAD_SLACK_MS));
        }
        // One that was too slow goes alone, lest our own haste make it slow again.
        let turns = if attempt == 0 { 1 } else { BATCHES as u32 };
        let turn = shared.batches.acquire_many(turns).await;
        let (began, stamp) = (Instant::now(), shared.stamps.next());
        let rows = stamp.with_rows_ahead(ahead_ms);
        let writes = writes(shared, changes, &cuts, rows)?;
        let written = match cuts.is_empty() {
            // Rows that no index mirrors each stand for themselves.
            true => shared.requests.write_each(&writes).await,
            false => shared.requests.write(&writes).await,
        };
        drop(turn);
        let in_time = began.elapsed() < Duration::from_millis(IN_TIME_MS.unsigned_abs());
        let now = match written {
            Ok(()) => shared.policies().await,
            Err(error) => Err(error),
        };
        let stale_now_ms = marked.max(ShelfCache::drop(&*shared.cache, &shelves).await);
        // Until then a drop may miss these watches, and remember that it told
        // whoever was there: they must look newer than that.
        let missed_ms = stale_now_ms.map_or(0, |ms| ms.saturating_add(began.elapsed().as_millis() as u64));
        let is_covered = !puts || missed_ms <= ahead_ms;
        let now = now?;
        if !now.kept().eq(policies.kept()) {
            policies = now;
            cuts = cut_all(shared, &policies, changes).await;
            // Of these shelves nobody is told again.
            stale_ms = stale_ms.max(stale_now_ms);
            why = "the bucketing policy was changed meanwhile";
        } else if in_time && is_covered {
            let now = shared.stamps.now();
            let behind_until = |ms| {
                let until = WallTime(now.0.saturating_add_unsigned(ms)).max(rows.updated_at);
                WallTime(until.0.saturating_add(WRITE_MARGIN_MS))
            };
            let effective_by = stale_ms.max(stale_now_ms).or((ahead_ms > 0).then_some(0)).map(behind_until);
            return Ok(Applied { updated_at: stamp.updated_at, effective_by });
        }
        if !in_time {
            why = "Cassandra took too long";
        }
        if !is_covered {
            ahead_ms = missed_ms.saturating_add(AHEAD_SLACK_MS);
            why = "the cache could not be told";
        }
        shared.requests.metrics.watch_write_retries.inc();
    }
    Err(Error::Unavailable(format!(
        "written {REWRITES} times within {IN_TIME_MS} ms each, and not done: at last {why}; write again"
    )))
}

/// The statements of a batch.
fn writes<'a>(
    shared: &'a Shared,
    changes: &[Change],
    cuts: &[Cuts],
    stamp: Stamp,
) -> Result<Vec<Write<'a>>, Error> {
    let alerts = &shared.statements.alerts;
    let mut writes: Vec<Write<'a>> = Vec::new();
    for change in changes {
        writes.push(match change {
            Change::Put(watch) => (&alerts.insert, alert_row(shared, watch, stamp)?),
            Change::Delete { write_time, .. } => (&alerts.delete, with_key(at(write_time.0), change)),
        });
    }
    for cuts in cuts {
        index_writes(shared, changes, cuts, stamp, &mut writes)?;
    }
    Ok(writes)
}

pub(super) fn at(micros: i64) -> Values {
    vec![Some(CqlValue::BigInt(micros))]
}

pub(super) fn timestamp(time: WallTime) -> Option<CqlValue> {
    Some(CqlValue::Timestamp(CqlTimestamp(time.0)))
}

fn with_key(mut values: Values, change: &Change) -> Values {
    values.push(text(change.product().as_str()));
    values.extend(row_key(change.threshold(), change.user()));
    values
}

pub(super) fn row_key(threshold: Price, user: &UserId) -> [Option<CqlValue>; 2] {
    [Some(CqlValue::Decimal(to_cql(threshold))), text(user.as_str())]
}

/// A row of alerts. No cell is null: a page of null cells would be a page of
/// tombstones.
fn alert_row(shared: &Shared, watch: &Watch, stamp: Stamp) -> Result<Values, Error> {
    let columns = shared.statements.alerts.columns;
    let refuse = |what: &str| {
        Error::Broken(format!(
            "the table {} has no column {what}, so a watch cannot have its own; `pricedrop schema check` says how to add it",
            shared.options.tables.name(super::tables::Table::Alerts)
        ))
    };
    if watch.mode.is_some() && !columns.mode {
        return Err(refuse("mode"));
    }
    if watch.currency.is_some() && !columns.currency {
        return Err(refuse("currency"));
    }
    let mut values = vec![text(watch.product_id.as_str())];
    values.extend(row_key(watch.price_watch_value, &watch.user_id));
    if columns.mode {
        values.push(text(mode_text(watch.mode)));
    }
    if columns.currency {
        values.push(text(&currency_text(watch.currency)));
    }
    if columns.updated_at {
        values.push(timestamp(stamp.updated_at));
    }
    values.extend(at(stamp.write_time.0));
    Ok(values)
}

/// Bucket and shard of a user's rows.
pub(super) fn place(index: &str, bucket: BucketId, user: &UserId) -> [Option<CqlValue>; 2] {
    [Some(CqlValue::BigInt(bucket.0)), Some(CqlValue::Int(shard_of(user, index)))]
}

/// A row of the index.
pub(super) fn bucket_row(index: &str, bucket: BucketId, watch: &Watch, write_time: WriteTime) -> Values {
    let mut values = vec![text(watch.product_id.as_str()), text(index)];
    values.extend(place(index, bucket, &watch.user_id));
    values.extend(row_key(watch.price_watch_value, &watch.user_id));
    values.push(text(mode_text(watch.mode)));
    values.push(text(&currency_text(watch.currency)));
    values.push(watch.updated_at.and_then(timestamp));
    values.extend(at(write_time.0));
    values
}

/// What changes about all watches of a product in an index.
#[derive(Default)]
struct Touched {
    buckets: BTreeSet<BucketId>,
    every_drop: bool,
    crossing: bool,
    modeless: bool,
    put: bool,
    lost: bool,
}

fn index_writes<'a>(
    shared: &'a Shared,
    changes: &[Change],
    cuts: &Cuts,
    stamp: Stamp,
    writes: &mut Vec<Write<'a>>,
) -> Result<(), Error> {
    let index = shared.index()?;
    let name = cuts.slot.index.as_str();
    let mut products: BTreeMap<&ProductId, Touched> = BTreeMap::new();
    for (change, bucket) in changes.iter().zip(&cuts.buckets) {
        let touched = products.entry(change.product()).or_default();
        touched.lost |= bucket.is_none();
        if let Change::Put(watch) = change {
            touched.put = true;
            match watch.mode {
                None => touched.modeless = true,
                Some(Mode::EveryDrop) => touched.every_drop = true,
                Some(Mode::Crossing | Mode::Once) => touched.crossing = true,
            }
        }
        let Some(bucket) = *bucket else { continue };
        match change {
            Change::Put(watch) => {
                touched.buckets.insert(bucket);
                let watch = Watch { updated_at: Some(stamp.updated_at), ..watch.clone() };
                writes.push((&index.insert, bucket_row(name, bucket, &watch, stamp.write_time)));
            }
            Change::Delete { product, threshold, user, write_time } => {
                let mut values = at(write_time.0);
                values.extend([text(product.as_str()), text(name)]);
                values.extend(place(name, bucket, user));
                values.extend(row_key(*threshold, user));
                writes.push((&index.delete, values));
            }
        }
    }
    for (product, touched) in products {
        live_writes(index, name, product, &touched, stamp, writes);
    }
    Ok(())
}

fn live_writes<'a>(
    index: &'a super::statements::Index,
    name: &str,
    product: &ProductId,
    touched: &Touched,
    stamp: Stamp,
    writes: &mut Vec<Write<'a>>,
) {
    let key = [text(product.as_str()), text(name)];
    let stamped = || [at(stamp.write_time.0), key.to_vec()].concat();
    for bucket in &touched.buckets {
        let mut values = key.to_vec();
        values.push(Some(CqlValue::BigInt(bucket.0)));
        values.extend(at(stamp.write_time.0));
        writes.push((&index.insert_live, values));
    }
    if touched.put {
        // The latest stands, and rows may look newer than those that come after them.
        let mut values = at(stamp.updated_at.0.saturating_mul(1000));
        values.push(timestamp(stamp.updated_at));
        values.extend(key.clone());
        writes.push((&index.touch, values));
    }
    let flags = [
        (touched.every_drop, &index.flag_every_drop),
        (touched.crossing, &index.flag_crossing),
        (touched.modeless, &index.flag_modeless),
        (touched.lost, &index.unverify),
    ];
    writes.extend(flags.into_iter().filter(|(set, _)| *set).map(|(_, statement)| (statement, stamped())));
}
