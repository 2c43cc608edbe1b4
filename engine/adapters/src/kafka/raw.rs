//! What the crate's producer lacks, straight on librdkafka: a commit that
//! does not wait out a poll, whole batches of records, group metadata whose
//! member and generation can be looked at, and a queue of records apart from
//! the queue of events.
//!
//! The one place of this adapter with unsafe code. Nothing is decided here.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;
use std::time::Duration;

use bytes::Bytes;
use pricedrop_model::{EventTime, Partition, Position};
use rdkafka::bindings as rd;
use rdkafka::bindings::rd_kafka_resp_err_t as Code;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::{ClientConfig, TopicPartitionList};
use tokio::sync::Notify;

use super::log::write_line;

/// Why librdkafka refused, and what may be done about it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    /// What happened.
    pub code: Code,
    /// In words.
    pub text: String,
    /// The same call may succeed.
    pub retriable: bool,
    /// The transaction has to be aborted.
    pub must_abort: bool,
    /// The producer is of no use any more.
    pub fatal: bool,
}

impl Refusal {
    /// Whether the member is no longer of the group's current generation.
    pub fn is_stale_member(&self) -> bool {
        use Code::*;
        matches!(
            self.code,
            RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION
                | RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID
                | RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID
                | RD_KAFKA_RESP_ERR_STALE_MEMBER_EPOCH
                | RD_KAFKA_RESP_ERR_FENCED_MEMBER_EPOCH
                | RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS
        )
    }

    fn of_code(code: Code, what: &str) -> Refusal {
        // SAFETY: the name is a static string of the library.
        let name = unsafe { CStr::from_ptr(rd::rd_kafka_err2str(code)) }.to_string_lossy();
        let text = format!("{what}: {name}");
        Refusal { code, text, retriable: false, must_abort: false, fatal: false }
    }
}

/// Takes an error object, if there is one.
///
/// # Safety
/// `error` is null or an error object that nobody else destroys.
unsafe fn taken(error: *mut rd::rd_kafka_error_t) -> Result<(), Refusal> {
    if error.is_null() {
        return Ok(());
    }
    unsafe {
        let refusal = Refusal {
            code: rd::rd_kafka_error_code(error),
            text: CStr::from_ptr(rd::rd_kafka_error_string(error)).to_string_lossy().into_owned(),
            retriable: rd::rd_kafka_error_is_retriable(error) != 0,
            must_abort: rd::rd_kafka_error_txn_requires_abort(error) != 0,
            fatal: rd::rd_kafka_error_is_fatal(error) != 0,
        };
        rd::rd_kafka_error_destroy(error);
        Err(refusal)
    }
}

fn millis(wait: Duration) -> c_int {
    c_int::try_from(wait.as_millis()).unwrap_or(c_int::MAX)
}

fn c_string(text: &str) -> CString {
    CString::new(text.replace('\0', "")).expect("no zero byte is left")
}

unsafe extern "C" fn log_line(
    _client: *const rd::rd_kafka_t,
    level: c_int,
    facility: *const c_char,
    line: *const c_char,
) {
    // SAFETY: the library hands over two strings that live during the call.
    let (facility, line) = unsafe { (CStr::from_ptr(facility), CStr::from_ptr(line)) };
    write_line(level, &facility.to_string_lossy(), &line.to_string_lossy());
}

/// A producer without delivery reports: what was not delivered fails the
/// transaction, or the flush.
pub struct RawProducer {
    client: *mut rd::rd_kafka_t,
    topics: Vec<(String, *mut rd::rd_kafka_topic_t)>,
}

// SAFETY: the library's objects may be used from any thread.
unsafe impl Send for RawProducer {}

/// Records of one topic on their way to the producer: keys and values lie in
/// one buffer, so that a record costs no allocation.
#[derive(Default)]
pub struct Records {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    messages: Vec<rd::rd_kafka_message_t>,
}

// SAFETY: the messages are only filled and read inside of one call.
unsafe impl Send for Records {}

/// Where a record's key and value lie.
struct Entry {
    partition: i32,
    start: usize,
    value: usize,
    end: usize,
    /// A record without a value is a tombstone.
    tombstone: bool,
}

/// The partition is for the partitioner to choose.
pub const BY_KEY: i32 = -1;

impl Records {
    /// Adds a record: the writer appends its value, or says that there is none.
    pub fn push(&mut self, partition: i32, key: &[u8], value: impl FnOnce(&mut Vec<u8>) -> Value) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        let middle = self.bytes.len();
        let tombstone = matches!(value(&mut self.bytes), Value::Tombstone);
        self.entries.push(Entry { partition, start, value: middle, end: self.bytes.len(), tombstone });
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Forgets them, and keeps the room.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.messages.clear();
    }

    fn lay_out(&mut self, topic: *mut rd::rd_kafka_topic_t) {
        self.messages.clear();
        let base = self.bytes.as_mut_ptr();
        self.messages.extend(self.entries.iter().map(|entry| {
            // SAFETY: both ranges lie inside of the buffer, which is not
            // changed while the messages are in use.
            let (key, payload) = unsafe { (base.add(entry.start), base.add(entry.value)) };
            rd::rd_kafka_message_t {
                err: Code::RD_KAFKA_RESP_ERR_NO_ERROR,
                rkt: topic,
                partition: entry.partition,
                payload: if entry.tombstone { ptr::null_mut() } else { payload.cast() },
                len: entry.end - entry.value,
                key: key.cast(),
                key_len: entry.value - entry.start,
                offset: 0,
                _private: ptr::null_mut(),
            }
        }));
    }
}

/// What a record's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// What was appended.
    Written,
    /// None.
    Tombstone,
}

/// A record with headers, for the rare ones.
pub struct Letter<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The key, if any.
    pub key: Option<&'a [u8]>,
    /// The value, if any.
    pub value: Option<&'a [u8]>,
    /// Names and values.
    pub headers: &'a [(&'a str, String)],
}

/// How often a full queue is looked at again.
const ROOM_POLL: Duration = Duration::from_millis(2);

impl RawProducer {
    /// A producer of this configuration.
    ///
    /// # Errors
    /// The configuration is refused.
    pub fn new(config: &ClientConfig) -> Result<RawProducer, Refusal> {
        let refused = |text: String| Refusal {
            code: Code::RD_KAFKA_RESP_ERR__INVALID_ARG,
            text,
            retriable: false,
            must_abort: false,
            fatal: true,
        };
        let native = config.create_native_config().map_err(|error| refused(error.to_string()))?;
        let mut words = [0 as c_char; 512];
        // SAFETY: the configuration is given away when a client came of it,
        // and destroyed by its owner otherwise; the buffer outlives the call.
        let client = unsafe {
            rd::rd_kafka_conf_set_log_cb(native.ptr(), Some(log_line));
            rd::rd_kafka_new(
                rd::rd_kafka_type_t::RD_KAFKA_PRODUCER,
                native.ptr(),
                words.as_mut_ptr(),
                words.len(),
            )
        };
        if client.is_null() {
            // SAFETY: the library ended its words with a zero byte.
            let words = unsafe { CStr::from_ptr(words.as_ptr()) };
            return Err(refused(words.to_string_lossy().into_owned()));
        }
        std::mem::forget(native);
        Ok(RawProducer { client, topics: Vec::new() })
    }

    /// Announces the transactional id, and ends what an earlier producer of
    /// that id left open.
    ///
    /// # Errors
    /// The cluster is away, or does not allow it.
    pub fn init_transactions(&self, wait: Duration) -> Result<(), Refusal> {
        // SAFETY: the client lives.
        unsafe { taken(rd::rd_kafka_init_transactions(self.client, millis(wait))) }
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// One is open, or the producer is of no use.
    pub fn begin(&self) -> Result<(), Refusal> {
        // SAFETY: the client lives.
        unsafe { taken(rd::rd_kafka_begin_transaction(self.client)) }
    }

    /// Sends offsets as part of the transaction.
    ///
    /// # Errors
    /// As the refusal says.
    pub fn send_offsets(
        &self,
        offsets: &TopicPartitionList,
        group: &GroupMetadata,
        wait: Duration,
    ) -> Result<(), Refusal> {
        // SAFETY: all three live during the call.
        unsafe {
            taken(rd::rd_kafka_send_offsets_to_transaction(self.client, offsets.ptr(), group.0, millis(wait)))
        }
    }

    /// Commits.
    ///
    /// # Errors
    /// As the refusal says; a retriable one may have committed.
    pub fn commit(&self, wait: Duration) -> Result<(), Refusal> {
        // SAFETY: the client lives.
        unsafe { taken(rd::rd_kafka_commit_transaction(self.client, millis(wait))) }
    }

    /// Aborts.
    ///
    /// # Errors
    /// As the refusal says.
    pub fn abort(&self, wait: Duration) -> Result<(), Refusal> {
        // SAFETY: the client lives.
        unsafe { taken(rd::rd_kafka_abort_transaction(self.client, millis(wait))) }
    }

    /// Waits until everything was delivered.
    ///
    /// # Errors
    /// Something was not, within this time.
    pub fn flush(&self, wait: Duration) -> Result<(), Refusal> {
        // SAFETY: the client lives.
        let code = unsafe { rd::rd_kafka_flush(self.client, millis(wait)) };
        match code {
            Code::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
            code => Err(Refusal::of_code(code, "not all records were delivered")),
        }
    }

    /// Hands over all records of one topic, waiting for room in the queue.
    ///
    /// # Errors
    /// One of them cannot be sent at all.
    pub fn send(&mut self, topic: &str, records: &mut Records) -> Result<(), Refusal> {
        let handle = self.topic(topic)?;
        records.lay_out(handle);
        let mut rest = &mut records.messages[..];
        while !rest.is_empty() {
            let flags = rd::RD_KAFKA_MSG_F_COPY | rd::RD_KAFKA_MSG_F_PARTITION;
            let count = c_int::try_from(rest.len()).unwrap_or(c_int::MAX);
            // SAFETY: the messages and the buffer behind them outlive the
            // call, and the library copies what they point to.
            let sent = unsafe { rd::rd_kafka_produce_batch(handle, BY_KEY, flags, rest.as_mut_ptr(), count) };
            if sent == count {
                return Ok(());
            }
            let failed: Vec<_> =
                rest.iter().filter(|one| one.err != Code::RD_KAFKA_RESP_ERR_NO_ERROR).copied().collect();
            if let Some(other) = failed.iter().find(|one| one.err != Code::RD_KAFKA_RESP_ERR__QUEUE_FULL) {
                return Err(Refusal::of_code(other.err, topic));
            }
            let kept = failed.len();
            rest[..kept].copy_from_slice(&failed);
            rest = &mut rest[..kept];
            rest.iter_mut().for_each(|one| {
                one.err = Code::RD_KAFKA_RESP_ERR_NO_ERROR;
                one.rkt = handle;
            });
            self.poll(ROOM_POLL);
        }
        Ok(())
    }

    /// Hands over one record with headers, waiting for room in the queue.
    ///
    /// # Errors
    /// It cannot be sent at all.
    pub fn send_letter(&self, letter: &Letter<'_>) -> Result<(), Refusal> {
        let topic = c_string(letter.topic);
        let names: Vec<CString> = letter.headers.iter().map(|(name, _)| c_string(name)).collect();
        let memory = |bytes: Option<&[u8]>| rd::rd_kafka_vu_s__bindgen_ty_1 {
            mem: rd::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 {
                ptr: bytes.map_or(ptr::null_mut(), |bytes| bytes.as_ptr() as *mut c_void),
                size: bytes.map_or(0, <[u8]>::len),
            },
        };
        use rd::rd_kafka_vtype_t as Kind;
        let entry = |vtype, u| rd::rd_kafka_vu_t { vtype, u };
        let mut entries = vec![
            entry(Kind::RD_KAFKA_VTYPE_TOPIC, rd::rd_kafka_vu_s__bindgen_ty_1 { cstr: topic.as_ptr() }),
            entry(
                Kind::RD_KAFKA_VTYPE_MSGFLAGS,
                rd::rd_kafka_vu_s__bindgen_ty_1 { i: rd::RD_KAFKA_MSG_F_COPY },
            ),
            entry(Kind::RD_KAFKA_VTYPE_KEY, memory(letter.key)),
            entry(Kind::RD_KAFKA_VTYPE_VALUE, memory(letter.value)),
        ];
        entries.extend(names.iter().zip(letter.headers).map(|(name, (_, value))| {
            let header = rd::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_2 {
                name: name.as_ptr(),
                val: value.as_ptr().cast(),
                size: value.len() as isize,
            };
            entry(Kind::RD_KAFKA_VTYPE_HEADER, rd::rd_kafka_vu_s__bindgen_ty_1 { header })
        }));
        loop {
            // SAFETY: everything the entries point to outlives the call, and
            // the library copies it.
            match unsafe { taken(rd::rd_kafka_produceva(self.client, entries.as_ptr(), entries.len())) } {
                Err(refusal) if refusal.code == Code::RD_KAFKA_RESP_ERR__QUEUE_FULL => self.poll(ROOM_POLL),
                done => return done,
            }
        }
    }

    fn poll(&self, wait: Duration) {
        // SAFETY: the client lives.
        unsafe { rd::rd_kafka_poll(self.client, millis(wait)) };
    }

    fn topic(&mut self, name: &str) -> Result<*mut rd::rd_kafka_topic_t, Refusal> {
        if let Some((_, handle)) = self.topics.iter().find(|(known, _)| known == name) {
            return Ok(*handle);
        }
        // SAFETY: the client and the name live during the call.
        let handle = unsafe { rd::rd_kafka_topic_new(self.client, c_string(name).as_ptr(), ptr::null_mut()) };
        if handle.is_null() {
            // SAFETY: reads a number of this thread.
            return Err(Refusal::of_code(unsafe { rd::rd_kafka_last_error() }, name));
        }
        if let Err(refusal) = self.meet(handle, name) {
            // SAFETY: the handle is ours.
            unsafe { rd::rd_kafka_topic_destroy(handle) };
            return Err(refusal);
        }
        self.topics.push((name.to_owned(), handle));
        Ok(handle)
    }

    /// Learns the partitions of a topic before anything is sent there: a
    /// record for a partition not known yet would enter the transaction as one
    /// of no partition, and hang.
    fn meet(&self, handle: *mut rd::rd_kafka_topic_t, name: &str) -> Result<(), Refusal> {
        let mut metadata: *const rd::rd_kafka_metadata_t = ptr::null();
        let wait = c_int::try_from(super::limits::CALL_MS).unwrap_or(c_int::MAX);
        // SAFETY: client and handle live; what is handed over is destroyed once.
        let code = unsafe { rd::rd_kafka_metadata(self.client, 0, handle, &mut metadata, wait) };
        if code != Code::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(Refusal::of_code(code, name));
        }
        // SAFETY: the call succeeded, so the answer has the topic asked for.
        let code = unsafe {
            let topics = std::slice::from_raw_parts((*metadata).topics, (*metadata).topic_cnt as usize);
            let code = topics.first().map_or(Code::RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, |topic| topic.err);
            rd::rd_kafka_metadata_destroy(metadata);
            code
        };
        match code {
            Code::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
            code => Err(Refusal::of_code(code, name)),
        }
    }
}

impl Drop for RawProducer {
    fn drop(&mut self) {
        // SAFETY: nobody else has the handles or the client. What is queued is
        // thrown away first, or destroying would wait for it.
        unsafe {
            rd::rd_kafka_purge(
                self.client,
                (rd::RD_KAFKA_PURGE_F_QUEUE | rd::RD_KAFKA_PURGE_F_INFLIGHT) as c_int,
            );
            for (_, handle) in &self.topics {
                rd::rd_kafka_topic_destroy(*handle);
            }
            rd::rd_kafka_destroy(self.client);
        }
    }
}

/// Who a consumer is in its group, at one moment.
pub struct GroupMetadata(*mut rd::rd_kafka_consumer_group_metadata_t);

impl GroupMetadata {
    /// Of this consumer, now; none: it has no group.
    pub fn of<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> Option<GroupMetadata> {
        // SAFETY: the client lives; the object is ours.
        let metadata = unsafe { rd::rd_kafka_consumer_group_metadata(consumer.client().native_ptr()) };
        (!metadata.is_null()).then_some(GroupMetadata(metadata))
    }

    /// Whether it is a member of a generation: the broker would not check
    /// the offsets of one that is not.
    pub fn is_member(&self) -> bool {
        // SAFETY: the object lives, and so does its string.
        unsafe {
            let member = rd::rd_kafka_consumer_group_metadata_member_id(self.0);
            let named = !member.is_null() && !CStr::from_ptr(member).is_empty();
            named && rd::rd_kafka_consumer_group_metadata_generation_id(self.0) >= 0
        }
    }
}

impl Drop for GroupMetadata {
    fn drop(&mut self) {
        // SAFETY: the object is ours.
        unsafe { rd::rd_kafka_consumer_group_metadata_destroy(self.0) }
    }
}

/// Where the records of assigned partitions go, apart from the events of
/// their consumer.
pub struct RecordQueue {
    queue: *mut rd::rd_kafka_queue_t,
    filled: Box<Notify>,
}

// SAFETY: the library's queues may be used from any thread.
unsafe impl Send for RecordQueue {}
unsafe impl Sync for RecordQueue {}

/// A record, or that a partition cannot be read.
pub enum Fetched {
    /// A record.
    Record(FetchedRecord),
    /// What is wrong with this partition, or with all.
    Trouble(Partition, Code),
}

/// A record as it came, timestamp included.
pub struct FetchedRecord {
    /// Where it stands.
    pub position: Position,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value.
    pub value: Option<Bytes>,
    /// The log's time.
    pub timestamp: EventTime,
}

impl RecordQueue {
    /// A queue of this consumer; it must not outlive it.
    pub fn of<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> RecordQueue {
        let filled = Box::new(Notify::new());
        // SAFETY: the client lives; the signal is told of only until the queue
        // is dropped, which owns it.
        let queue = unsafe {
            let queue = rd::rd_kafka_queue_new(consumer.client().native_ptr());
            rd::rd_kafka_queue_cb_event_enable(queue, Some(signal), (&raw const *filled) as *mut c_void);
            queue
        };
        RecordQueue { queue, filled }
    }

    /// Returns soon after the queue got its first record.
    pub async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Makes whoever waits for records look again.
    pub fn wake(&self) {
        self.filled.notify_one();
    }

    /// Sends the records of an assigned partition here from now on.
    pub fn take_over<C: ConsumerContext>(&self, consumer: &BaseConsumer<C>, topic: &str, partition: i32) {
        // SAFETY: the client and the name live during the calls.
        unsafe {
            let client = consumer.client().native_ptr();
            let queue = rd::rd_kafka_queue_get_partition(client, c_string(topic).as_ptr(), partition);
            if !queue.is_null() {
                rd::rd_kafka_queue_forward(queue, self.queue);
                rd::rd_kafka_queue_destroy(queue);
            }
        }
    }

    /// Up to so many records that are there already.
    pub fn read(&self, most: usize) -> Vec<Fetched> {
        let mut messages: Vec<*mut rd::rd_kafka_message_t> = Vec::with_capacity(most);
        // SAFETY: there is room for `most` pointers; those filled in are ours.
        unsafe {
            let count = rd::rd_kafka_consume_batch_queue(self.queue, 0, messages.as_mut_ptr(), most);
            messages.set_len(usize::try_from(count).unwrap_or(0));
        }
        // SAFETY: each message is ours and is destroyed once.
        messages.into_iter().map(|message| unsafe { read_message(message) }).collect()
    }
}

impl Drop for RecordQueue {
    fn drop(&mut self) {
        // SAFETY: the queue is ours; behind the first call nobody signals.
        unsafe {
            rd::rd_kafka_queue_cb_event_enable(self.queue, None, ptr::null_mut());
            rd::rd_kafka_queue_destroy(self.queue);
        }
    }
}

unsafe extern "C" fn signal(_client: *mut rd::rd_kafka_t, filled: *mut c_void) {
    // SAFETY: it is the signal of a queue that still lives.
    unsafe { (*filled.cast::<Notify>()).notify_one() };
}

/// # Safety
/// The message is ours; it is destroyed.
unsafe fn read_message(message: *mut rd::rd_kafka_message_t) -> Fetched {
    unsafe {
        let one = &*message;
        let partition = Partition(one.partition);
        let bytes = |start: *mut c_void, len: usize| {
            (!start.is_null()).then(|| Bytes::copy_from_slice(std::slice::from_raw_parts(start.cast(), len)))
        };
        let fetched = match one.err {
            Code::RD_KAFKA_RESP_ERR_NO_ERROR => {
                let mut kind = rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
                let timestamp = rd::rd_kafka_message_timestamp(message, &mut kind);
                Fetched::Record(FetchedRecord {
                    position: Position { partition, offset: one.offset },
                    key: bytes(one.key, one.key_len),
                    value: bytes(one.payload, one.len),
                    timestamp: EventTime(timestamp.max(0)),
                })
            }
            code => Fetched::Trouble(partition, code),
        };
        rd::rd_kafka_message_destroy(message);
        fetched
    }
}
