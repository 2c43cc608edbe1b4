//! Turns a batch of changes into rows: which buckets and cache entries it touches, and the
//! statements that write into alerts, buckets and live. How a batch is written safely is in
//! `apply.rs`.

use std::collections::{BTreeMap, BTreeSet};

use pricedrop_model::cache::CacheKey;
use pricedrop_model::ports::Error;
use pricedrop_model::{BucketId, Mode, Price, ProductId, UserId, WallTime, Watch, WriteTime};
use scylla::value::{CqlTimestamp, CqlValue};

use super::decimal::to_cql;
use super::index_build::{IndexBuild, Policies};
use super::limits::BATCH_BYTES;
use super::part::text;
use super::policy::assign_buckets;
use super::requests::{Values, Write};
use super::rows::{currency_text, mode_text};
use super::shards::shard_of;
use super::shared::Shared;
use super::write_timestamps::Stamp;

/// A change of one row.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Put(Watch),
    /// Deletes everything written up to `write_time`.
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

    /// Estimates the bytes that it takes in a batch: once in alerts, once in each of at most two
    /// indexes.
    fn bytes(&self) -> usize {
        const PER_ROW: usize = 96;
        3 * (PER_ROW + self.product().as_str().len() + self.user().as_str().len())
    }
}

/// Splits changes, which are sorted by product, into batches.
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

/// The buckets of all changes in one index. `None` means that no loaded policy gave one.
pub(super) struct AssignedBuckets {
    build: IndexBuild,
    buckets: Vec<Option<BucketId>>,
}

pub(super) async fn assign_all(
    shared: &Shared,
    policies: &Policies,
    changes: &[Change],
) -> Vec<AssignedBuckets> {
    let mut all = Vec::new();
    for build in policies.kept() {
        let mut buckets = Vec::with_capacity(changes.len());
        let runs: Vec<&[Change]> = changes.chunk_by(|a, b| a.product() == b.product()).collect();
        let asked =
            runs.iter().map(|run| (run[0].product().clone(), run.iter().map(Change::threshold).collect()));
        let answers = assign_buckets(shared.policy_of(build), asked.collect()).await;
        for (run, answer) in runs.iter().zip(answers) {
            match answer {
                Some(some) => buckets.extend(some.into_iter().map(Some)),
                None => buckets.extend(run.iter().map(|_| None)),
            }
        }
        all.push(AssignedBuckets { build: build.clone(), buckets });
    }
    all
}

pub(super) fn cache_keys(changes: &[Change], assigned: &[AssignedBuckets]) -> Vec<CacheKey> {
    let mut cache_keys = BTreeSet::new();
    for (at, change) in changes.iter().enumerate() {
        let product = change.product();
        cache_keys.insert(CacheKey::Product(product.clone()));
        for AssignedBuckets { build, buckets } in assigned {
            let (product, policy) = (product.clone(), build.index.clone());
            cache_keys.insert(CacheKey::Live { product: product.clone(), policy: policy.clone() });
            cache_keys.extend(buckets[at].map(|bucket| CacheKey::Bucket { product, policy, bucket }));
        }
    }
    cache_keys.into_iter().collect()
}

/// Returns the statements of a batch.
pub(super) fn writes<'a>(
    shared: &'a Shared,
    changes: &[Change],
    assigned: &[AssignedBuckets],
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
    for assigned in assigned {
        index_writes(shared, changes, assigned, stamp, &mut writes)?;
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

/// Returns a row of alerts. No cell is null, because every null cell would be a tombstone.
fn alert_row(shared: &Shared, watch: &Watch, stamp: Stamp) -> Result<Values, Error> {
    let columns = shared.statements.alerts.columns;
    let refuse = |what: &str| {
        Error::Fatal(format!(
            "the table {} has no column {what}, so a watch cannot have its own; `pricedrop schema check` says how to add it",
            shared.options.tables.name(super::tables::Table::Alerts)
        ).into())
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

/// Returns bucket and shard of a user's rows.
pub(super) fn place(index: &str, bucket: BucketId, user: &UserId) -> [Option<CqlValue>; 2] {
    [Some(CqlValue::BigInt(bucket.0)), Some(CqlValue::Int(shard_of(user, index)))]
}

/// Returns a row of the index.
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

/// What a batch changes about one product in an index.
#[derive(Default)]
struct Touched {
    buckets: BTreeSet<BucketId>,
    every_drop: bool,
    crossing: bool,
    modeless: bool,
    put: bool,
    /// The bucket of a change is unknown, so the index is no longer complete.
    lost: bool,
}

fn index_writes<'a>(
    shared: &'a Shared,
    changes: &[Change],
    assigned: &AssignedBuckets,
    stamp: Stamp,
    writes: &mut Vec<Write<'a>>,
) -> Result<(), Error> {
    let index = shared.index()?;
    let name = assigned.build.index.as_str();
    let mut products: BTreeMap<&ProductId, Touched> = BTreeMap::new();
    for (change, bucket) in changes.iter().zip(&assigned.buckets) {
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
        // The latest time wins. Rows may be written with a future `updated_at`, so that time, not
        // the write time, is the timestamp here.
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
