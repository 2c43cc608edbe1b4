//! The limits of the Kafka adapter, with their defaults.

/// Timeout of a transaction, milliseconds. If a worker dies, its open transaction hides later
/// records from readers of committed records for that long.
pub const TRANSACTION_TIMEOUT_MS: u64 = 10_000;
/// First pause of librdkafka before it repeats a request, milliseconds.
pub const RETRY_BACKOFF_MS: u64 = 1;
/// Longest pause of librdkafka before it repeats a request, milliseconds.
pub const RETRY_BACKOFF_MAX_MS: u64 = 5;
/// Linger of producers whose records are flushed in the end, milliseconds.
pub const FLUSHED_LINGER_MS: u64 = 500;
/// Largest number of records in a producer's queue.
pub const PRODUCER_QUEUE_RECORDS: usize = 500_000;
/// Largest size of a producer's queue, KiB.
pub const PRODUCER_QUEUE_KIB: usize = 128 * 1024;
/// Largest size of the records that a consumer prefetches, KiB.
pub const FETCH_QUEUE_KIB: usize = 16 * 1024;
/// Pause of a consumer with a full queue before it fetches again, milliseconds. With librdkafka's
/// default of 1 s, reading a long topic would wait for it.
pub const FETCH_AGAIN_MS: u64 = 5;
/// Largest record, bytes: librdkafka's default, which is below the broker's.
pub const RECORD_BYTES: usize = 1_000_000;
/// Bytes that are reserved for headers and framing when a dead letter is cut.
pub const RECORD_OVERHEAD_BYTES: usize = 4_096;
/// Longest reason in the header of a dead letter, bytes.
pub const REASON_BYTES: usize = 512;
/// Records that are queued in one call of a producer.
pub const SEND_RECORDS: usize = 4_096;
/// Records of each partition that may be queued before a caller has to wait: as many as one request
/// holds.
pub const PARTITION_RECORDS: usize = 4_096;
/// How long a producer's queue may stay at one length before more records are queued all the same,
/// milliseconds: the rest may be waiting for a flush.
pub const STANDSTILL_MS: u64 = 5;
/// Longest wait for one response of the cluster, milliseconds.
pub const CALL_MS: u64 = 10_000;
/// Longest wait for the reason why a client did not reach a broker, milliseconds.
pub const CAUSE_MS: u64 = 500;
/// Longest wait for a producer to register its transactional id, milliseconds. An earlier
/// transaction may have to end first.
pub const INIT_MS: u64 = 30_000;
/// Longest wait without a record while a topic is read to its marker, milliseconds. Open
/// transactions of other instances may have to end first.
pub const TAKE_OVER_MS: u64 = 60_000;
/// Prices of the last states of a partition are shown again after an acquisition if they were
/// evaluated within this time before the latest, milliseconds.
pub const SHOWN_WITHIN_MS: i64 = 60_000;
/// First pause before a partition that waits for an operator is tried again, milliseconds.
pub const LOOK_AGAIN_MS: u64 = 5_000;
/// Longest pause before a partition that waits for an operator is tried again, milliseconds.
pub const LOOK_AGAIN_MAX_MS: u64 = 80_000;
/// Longest wait of one poll for a consumer's events, milliseconds.
pub const EVENT_POLL_MS: u64 = 100;
/// Pause between seeks in a partition that was only just assigned, milliseconds.
pub const SEEK_AGAIN_MS: u64 = 5;
/// Shortest time between seeks in partitions with unreadable records, milliseconds.
pub const SEEK_PAUSE_MS: u64 = 1_000;
/// Offsets at the end of a partition that are searched for its last position before all others.
/// Each commit stores a position.
pub const TAIL_RECORDS: i64 = 1_000;
/// Largest batch of the archiver, records.
pub const ARCHIVE_BATCH: usize = 4_096;
/// Size at which a batch of the archiver is full, bytes.
pub const ARCHIVE_BATCH_BYTES: usize = 8 << 20;
/// Largest number of removals that are carried out together.
pub const REMOVALS: usize = 1_000;
/// Longest wait for removals, and pause before deferred ones are read again, milliseconds.
pub const REMOVAL_POLL_MS: u64 = 200;
/// Pause after removals could not be read or carried out, milliseconds.
pub const REMOVAL_PAUSE_MS: u64 = 1_000;
/// Newest offsets of each partition that are sampled by `pricedrop doctor`.
pub const SAMPLE_RECORDS: i64 = 200;
/// Segment size of compacted topics, bytes. Only closed segments are compacted, and an acquisition
/// reads all segments.
pub const COMPACTED_SEGMENT_BYTES: u64 = 64 << 20;
/// Largest number of workers of one instance.
pub const WORKERS: usize = 64;
/// How long the dispatcher's worker waits for requests before it looks for rebalances and replays,
/// milliseconds.
pub const DISPATCH_TICK_MS: u64 = 50;
/// Largest number of the dispatcher's requests in one transaction.
pub const WRITES: usize = 1_024;
/// Retries that are added to a new index in one call.
pub const INDEX_PAGE: usize = 1_000;
/// Pause before a failed index or acquisition is tried again, milliseconds.
pub const INDEX_PAUSE_MS: u64 = 500;
/// Largest number of polls of the topic of retries in one tick.
pub const REPLAYS: usize = 4_096;
/// Largest notification that is delivered, bytes.
pub const NOTIFICATION_BYTES: usize = 64 * 1024;
/// Longest text of a record that is kept with a dead letter, bytes.
pub const DEAD_TEXT_BYTES: usize = 64 * 1024;
/// How long a single record may take to be acknowledged, milliseconds.
pub const ACK_MS: u64 = 30_000;
/// Pause before a full producer queue is tried again, milliseconds.
pub const ROOM_POLL_MS: u64 = 5;
/// How long the end of a log may be before the group's offset until it is believed, milliseconds.
pub const END_SETTLES_MS: u64 = 5_000;
/// Pause before the end of such a log is asked for again, milliseconds.
pub const END_AGAIN_MS: u64 = 100;
