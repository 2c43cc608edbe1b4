//! Every bound of the Kafka adapter.

/// How long a transaction may be open, milliseconds: a worker that dies hides
/// later records from readers for that long.
pub const TRANSACTION_TIMEOUT_MS: u64 = 10_000;
/// First wait of the client before it repeats a request, milliseconds.
pub const RETRY_BACKOFF_MS: u64 = 1;
/// Longest wait of the client before it repeats a request, milliseconds.
pub const RETRY_BACKOFF_MAX_MS: u64 = 5;
/// How long records wait for others to fill a request, where they are flushed
/// in the end, milliseconds.
pub const FLUSHED_LINGER_MS: u64 = 500;
/// Records in a producer's queue.
pub const PRODUCER_QUEUE_RECORDS: usize = 500_000;
/// KiB in a producer's queue.
pub const PRODUCER_QUEUE_KIB: usize = 128 * 1024;
/// KiB a consumer fetches ahead.
pub const FETCH_QUEUE_KIB: usize = 16 * 1024;
/// How soon a consumer that has enough looks whether it still has, milliseconds:
/// the client's default of a second is what reading a long topic would wait for.
pub const FETCH_AGAIN_MS: u64 = 5;
/// Largest record, bytes, as is the client's and the broker's default.
pub const RECORD_BYTES: usize = 1_000_000;
/// Room for headers and framing beside a cut record, bytes.
pub const RECORD_OVERHEAD_BYTES: usize = 4_096;
/// Longest reason in a header, bytes.
pub const REASON_BYTES: usize = 512;
/// Records handed to a producer at once.
pub const SEND_RECORDS: usize = 4_096;
/// Records of each partition that may be on their way before more are handed
/// over: what a request holds at most.
pub const PARTITION_RECORDS: usize = 4_096;
/// How long a producer may stand still until more is handed over all the same,
/// milliseconds: what is left may wait to be flushed.
pub const STANDSTILL_MS: u64 = 5;
/// Longest wait for one answer of the cluster, milliseconds.
pub const CALL_MS: u64 = 10_000;
/// Longest wait for a client to say why it reached nobody, milliseconds.
pub const CAUSE_MS: u64 = 500;
/// Longest wait for the first answer of a producer, milliseconds: an earlier
/// one's transaction may have to end first.
pub const INIT_MS: u64 = 30_000;
/// Longest wait for a marker to come back, milliseconds: other instances'
/// open transactions may have to end first.
pub const TAKE_OVER_MS: u64 = 60_000;
/// Prices committed so long before the last one of their partition are shown,
/// milliseconds: a worker that takes over shows only those behind it again.
pub const SHOWN_WITHIN_MS: i64 = 60_000;
/// First pause before a partition that waits for a person is looked at again, milliseconds.
pub const LOOK_AGAIN_MS: u64 = 5_000;
/// Longest pause before it is, milliseconds.
pub const LOOK_AGAIN_MAX_MS: u64 = 80_000;
/// How often events of a consumer are looked for, milliseconds.
pub const EVENT_POLL_MS: u64 = 100;
/// How often a partition that was only just assigned is sought in again, milliseconds.
pub const SEEK_AGAIN_MS: u64 = 5;
/// Pause before records that could not be read are asked for again, milliseconds.
pub const SEEK_PAUSE_MS: u64 = 1_000;
/// Records near the end of a partition that are searched for its position first. Every
/// commit stores one.
pub const TAIL_RECORDS: i64 = 1_000;
/// Records that the archiver takes over at once.
pub const ARCHIVE_BATCH: usize = 4_096;
/// Bytes that the archiver takes over at once.
pub const ARCHIVE_BATCH_BYTES: usize = 8 << 20;
/// Removals carried out at once.
pub const REMOVALS: usize = 1_000;
/// How often the remover looks for removals it had to put off, milliseconds.
pub const REMOVAL_POLL_MS: u64 = 200;
/// How long it waits when they cannot be read or carried out, milliseconds.
pub const REMOVAL_PAUSE_MS: u64 = 1_000;
/// Newest records of a partition that are looked at by a doctor.
pub const SAMPLE_RECORDS: i64 = 200;
/// Bytes of a segment of a compacted topic: only closed ones are compacted, and
/// taking over reads all of them.
pub const COMPACTED_SEGMENT_BYTES: u64 = 64 << 20;
/// Workers of one instance.
pub const WORKERS: usize = 64;
/// How often the dispatcher's worker looks for rebalances and replays, milliseconds.
pub const DISPATCH_TICK_MS: u64 = 50;
/// Requests of the dispatcher that share a transaction at most.
pub const WRITES: usize = 1_024;
/// Retries brought into a new index at once.
pub const INDEX_PAGE: usize = 1_000;
/// Pause before an index or a partition that failed is tried again, milliseconds.
pub const INDEX_PAUSE_MS: u64 = 500;
/// Records of the retry topic looked at in one tick.
pub const REPLAYS: usize = 4_096;
/// Largest notification that is delivered, bytes.
pub const NOTIFICATION_BYTES: usize = 64 * 1024;
/// Longest text of a record that is kept with a dead letter, bytes.
pub const DEAD_TEXT_BYTES: usize = 64 * 1024;
/// How long a single record may take to be acknowledged, milliseconds.
pub const ACK_MS: u64 = 30_000;
/// How often a full producer is looked at again, milliseconds.
pub const ROOM_POLL_MS: u64 = 5;
