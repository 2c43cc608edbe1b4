//! The producer: takes whole batches, and commits in one call that returns when it is done.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::bindings as rd;
use rdkafka::bindings::rd_kafka_resp_err_t as Code;
use rdkafka::{ClientConfig, TopicPartitionList};

use pricedrop_model::sync::lock;

use super::{GroupMetadata, ProducerError, c_string, millis, taken};
use crate::client::log::write_line;
use crate::limits::{CALL_MS, PARTITION_RECORDS, STANDSTILL_MS};

/// A producer whose delivery reports only show that a record was not delivered, which fails the
/// transaction or the flush. Because a report callback is set, a flush is woken by the last report,
/// and its thread frees the records.
pub struct RawProducer {
    client: *mut rd::rd_kafka_t,
    /// Why a record was not delivered, from its delivery report.
    failed: Box<Failed>,
    topics: Mutex<Vec<Topic>>,
}

type Failed = Mutex<Option<Code>>;

/// A topic that was looked up, with its partition count.
struct Topic {
    name: String,
    handle: *mut rd::rd_kafka_topic_t,
    partitions: usize,
}

// SAFETY: the library's objects may be used from any thread.
unsafe impl Send for RawProducer {}
// SAFETY: and from several at once.
unsafe impl Sync for RawProducer {}

/// Records of one topic for the producer. Keys and values share one buffer, so that a record costs
/// no allocation.
#[derive(Default)]
pub struct Records {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    messages: Vec<rd::rd_kafka_message_t>,
}

// SAFETY: the messages are only filled and read inside of one call.
unsafe impl Send for Records {}

/// Where key and value of a record are in the buffer.
struct Entry {
    partition: i32,
    start: usize,
    value: usize,
    end: usize,
    /// A record without a value is a tombstone.
    tombstone: bool,
}

/// No partition: the partitioner chooses one by key.
pub const BY_KEY: i32 = -1;

impl Records {
    /// Adds a record. `value` appends the value, or returns that there is none.
    pub fn push(&mut self, partition: i32, key: &[u8], value: impl FnOnce(&mut Vec<u8>) -> Value) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        let middle = self.bytes.len();
        let tombstone = matches!(value(&mut self.bytes), Value::Tombstone);
        self.entries.push(Entry { partition, start, value: middle, end: self.bytes.len(), tombstone });
    }

    /// Returns the number of records.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Removes all records, and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.messages.clear();
    }

    fn fill_messages(&mut self, topic: *mut rd::rd_kafka_topic_t) {
        self.messages.clear();
        let base = self.bytes.as_mut_ptr();
        self.messages.extend(self.entries.iter().map(|entry| {
            // SAFETY: both ranges are inside the buffer, which is not changed while the messages
            // are in use.
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

/// Whether a record has a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// The bytes that were appended.
    Written,
    /// No value.
    Tombstone,
}

/// A record with headers.
pub struct HeaderRecord<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The key, if any.
    pub key: Option<&'a [u8]>,
    /// The value, if any.
    pub value: Option<&'a [u8]>,
    /// Header names and values.
    pub headers: &'a [(&'a str, String)],
}

/// How long a poll waits before a full queue is tried again.
const ROOM_POLL: Duration = Duration::from_millis(2);
/// How long a poll waits while too many records are queued. Then the queue length is checked again.
const STEP_POLL: Duration = Duration::from_millis(1);

impl RawProducer {
    /// Creates a producer with this configuration.
    ///
    /// # Errors
    /// The configuration is invalid.
    pub fn new(config: &ClientConfig) -> Result<RawProducer, ProducerError> {
        let refused = |text: String| ProducerError {
            code: Code::RD_KAFKA_RESP_ERR__INVALID_ARG,
            text,
            retriable: false,
            must_abort: false,
            fatal: true,
        };
        let native = config.create_native_config().map_err(|error| refused(error.to_string()))?;
        let failed = Box::new(Failed::default());
        let mut words = [0 as c_char; 512];
        // SAFETY: the client owns the configuration if it was created, and its owner destroys it
        // otherwise; the buffer outlives the call.
        let client = unsafe {
            rd::rd_kafka_conf_set_log_cb(native.ptr(), Some(log_line));
            rd::rd_kafka_conf_set_dr_msg_cb(native.ptr(), Some(delivered));
            rd::rd_kafka_conf_set_opaque(native.ptr(), ptr::from_ref::<Failed>(&failed).cast_mut().cast());
            rd::rd_kafka_new(
                rd::rd_kafka_type_t::RD_KAFKA_PRODUCER,
                native.ptr(),
                words.as_mut_ptr(),
                words.len(),
            )
        };
        if client.is_null() {
            // SAFETY: librdkafka ends its message with a zero byte.
            let words = unsafe { CStr::from_ptr(words.as_ptr()) };
            return Err(refused(words.to_string_lossy().into_owned()));
        }
        std::mem::forget(native);
        Ok(RawProducer { client, failed, topics: Mutex::default() })
    }

    /// Registers the transactional id, and ends what an earlier producer of that id left open.
    ///
    /// # Errors
    /// The cluster does not answer, or does not allow it.
    pub fn init_transactions(&self, wait: Duration) -> Result<(), ProducerError> {
        // SAFETY: the client lives.
        unsafe { taken(rd::rd_kafka_init_transactions(self.client, millis(wait))) }
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// A transaction is open, or the producer cannot be used any more.
    pub fn begin(&self) -> Result<(), ProducerError> {
        self.take_failed();
        // SAFETY: the client lives.
        unsafe { taken(rd::rd_kafka_begin_transaction(self.client)) }
    }

    /// Sends offsets as part of the transaction.
    ///
    /// # Errors
    /// The flags of the error say what may be done.
    pub fn send_offsets(
        &self,
        offsets: &TopicPartitionList,
        group: &GroupMetadata,
        wait: Duration,
    ) -> Result<(), ProducerError> {
        // SAFETY: all three live during the call.
        unsafe {
            taken(rd::rd_kafka_send_offsets_to_transaction(
                self.client,
                offsets.ptr(),
                group.ptr(),
                millis(wait),
            ))
        }
    }

    /// Commits the transaction.
    ///
    /// # Errors
    /// The flags of the error say what may be done. After a retriable one it may be committed.
    pub fn commit(&self, wait: Duration) -> Result<(), ProducerError> {
        // SAFETY: the client lives.
        unsafe { taken(rd::rd_kafka_commit_transaction(self.client, millis(wait))) }
    }

    /// Aborts the transaction.
    ///
    /// # Errors
    /// The flags of the error say what may be done.
    pub fn abort(&self, wait: Duration) -> Result<(), ProducerError> {
        // SAFETY: the client lives.
        unsafe { taken(rd::rd_kafka_abort_transaction(self.client, millis(wait))) }
    }

    /// Waits until all records are delivered.
    ///
    /// # Errors
    /// A record was not delivered within this time.
    pub fn flush(&self, wait: Duration) -> Result<(), ProducerError> {
        // SAFETY: the client lives.
        let code = unsafe { rd::rd_kafka_flush(self.client, millis(wait)) };
        match (code, self.take_failed()) {
            (Code::RD_KAFKA_RESP_ERR_NO_ERROR, None) => Ok(()),
            (Code::RD_KAFKA_RESP_ERR_NO_ERROR, Some(code)) => {
                Err(ProducerError::of_code(code, "a record was not delivered"))
            }
            (code, _) => Err(ProducerError::of_code(code, "not all records were delivered")),
        }
    }

    fn take_failed(&self) -> Option<Code> {
        lock(&self.failed).take()
    }

    /// Queues all records of one topic, and waits while the queue is full.
    ///
    /// # Errors
    /// A record cannot be sent.
    pub fn send(&self, topic: &str, records: &mut Records) -> Result<(), ProducerError> {
        let (handle, partitions) = self.topic(topic)?;
        records.fill_messages(handle);
        let mut rest = &mut records.messages[..];
        while !rest.is_empty() {
            let flags = rd::RD_KAFKA_MSG_F_COPY | rd::RD_KAFKA_MSG_F_PARTITION;
            let count = c_int::try_from(rest.len()).unwrap_or(c_int::MAX);
            // SAFETY: the messages and the buffer behind them outlive the
            // call, and the library copies what they point to.
            let sent = unsafe { rd::rd_kafka_produce_batch(handle, BY_KEY, flags, rest.as_mut_ptr(), count) };
            if sent == count {
                self.wait_for_room_in_queue(partitions * PARTITION_RECORDS);
                return Ok(());
            }
            let failed: Vec<_> =
                rest.iter().filter(|one| one.err != Code::RD_KAFKA_RESP_ERR_NO_ERROR).copied().collect();
            if let Some(other) = failed.iter().find(|one| one.err != Code::RD_KAFKA_RESP_ERR__QUEUE_FULL) {
                return Err(ProducerError::of_code(other.err, topic));
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

    /// Queues one record with headers, and waits while the queue is full.
    ///
    /// # Errors
    /// The record cannot be sent.
    pub fn send_letter(&self, letter: &HeaderRecord<'_>) -> Result<(), ProducerError> {
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

    /// Waits while more than `most` records are queued, as long as their number falls. So records
    /// wait in the caller's memory, and are not copied into librdkafka's all at once.
    fn wait_for_room_in_queue(&self, most: usize) {
        let (mut least, mut since) = (usize::MAX, Instant::now());
        loop {
            // SAFETY: the client lives.
            let queued = usize::try_from(unsafe { rd::rd_kafka_outq_len(self.client) }).unwrap_or(0);
            if queued < least {
                (least, since) = (queued, Instant::now());
            }
            if queued <= most || since.elapsed() >= Duration::from_millis(STANDSTILL_MS) {
                return;
            }
            self.poll(STEP_POLL);
        }
    }

    fn poll(&self, wait: Duration) {
        // SAFETY: the client lives.
        unsafe { rd::rd_kafka_poll(self.client, millis(wait)) };
    }

    fn topic(&self, name: &str) -> Result<(*mut rd::rd_kafka_topic_t, usize), ProducerError> {
        let mut topics = lock(&self.topics);
        if let Some(topic) = topics.iter().find(|topic| topic.name == name) {
            return Ok((topic.handle, topic.partitions));
        }
        // SAFETY: the client and the name live during the call.
        let handle = unsafe { rd::rd_kafka_topic_new(self.client, c_string(name).as_ptr(), ptr::null_mut()) };
        if handle.is_null() {
            // SAFETY: reads a number of this thread.
            return Err(ProducerError::of_code(unsafe { rd::rd_kafka_last_error() }, name));
        }
        match self.look_up_topic(handle, name) {
            Ok(partitions) => {
                topics.push(Topic { name: name.to_owned(), handle, partitions });
                Ok((handle, partitions))
            }
            Err(refusal) => {
                // SAFETY: the handle is ours.
                unsafe { rd::rd_kafka_topic_destroy(handle) };
                Err(refusal)
            }
        }
    }

    /// Looks up the partitions of a topic before anything is sent there. A record for a partition
    /// that librdkafka does not know would enter the transaction without a partition, and never be
    /// sent.
    fn look_up_topic(&self, handle: *mut rd::rd_kafka_topic_t, name: &str) -> Result<usize, ProducerError> {
        let mut metadata: *const rd::rd_kafka_metadata_t = ptr::null();
        let wait = c_int::try_from(CALL_MS).unwrap_or(c_int::MAX);
        // SAFETY: client and handle live; the metadata is destroyed once.
        let code = unsafe { rd::rd_kafka_metadata(self.client, 0, handle, &mut metadata, wait) };
        if code != Code::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(ProducerError::of_code(code, name));
        }
        // SAFETY: the call succeeded, so the answer has the topic asked for.
        let (code, partitions) = unsafe {
            let topics = std::slice::from_raw_parts((*metadata).topics, (*metadata).topic_cnt as usize);
            let found = topics.first().map(|topic| (topic.err, topic.partition_cnt));
            rd::rd_kafka_metadata_destroy(metadata);
            found.unwrap_or((Code::RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, 0))
        };
        match code {
            Code::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(usize::try_from(partitions).unwrap_or(0)),
            code => Err(ProducerError::of_code(code, name)),
        }
    }
}

impl Drop for RawProducer {
    fn drop(&mut self) {
        // SAFETY: nothing else uses the handles or the client. Queued records are purged first,
        // because destroying would wait for them.
        unsafe {
            rd::rd_kafka_purge(
                self.client,
                (rd::RD_KAFKA_PURGE_F_QUEUE | rd::RD_KAFKA_PURGE_F_INFLIGHT) as c_int,
            );
            for topic in self.topics.get_mut().unwrap_or_else(PoisonError::into_inner) {
                rd::rd_kafka_topic_destroy(topic.handle);
            }
            rd::rd_kafka_destroy(self.client);
        }
    }
}

unsafe extern "C" fn delivered(
    _: *mut rd::rd_kafka_t,
    message: *const rd::rd_kafka_message_t,
    failed: *mut c_void,
) {
    // SAFETY: the message lives during the call. The target lives as long as the producer, whose
    // client makes no call after it was destroyed.
    let (code, failed) = unsafe { ((*message).err, &*failed.cast::<Failed>()) };
    if code != Code::RD_KAFKA_RESP_ERR_NO_ERROR {
        *lock(failed) = Some(code);
    }
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
