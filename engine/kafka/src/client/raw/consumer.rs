//! Group metadata of a consumer, and a queue that returns its records in batches.

use std::ffi::{CStr, c_void};
use std::ptr;

use bytes::Bytes;
use pricedrop_model::archive::Header;
use pricedrop_model::{EventTime, Partition, Position, Record};
use rdkafka::bindings as rd;
use rdkafka::bindings::rd_kafka_resp_err_t as Code;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::message::BorrowedMessage;
use tokio::sync::Notify;

use super::c_string;
use crate::client::original_position::{ORIGINAL_POSITION_C, parse_position};

/// The identity of a consumer in its group, at one moment.
pub struct GroupMetadata(*mut rd::rd_kafka_consumer_group_metadata_t);

// SAFETY: it is never changed.
unsafe impl Sync for GroupMetadata {}

impl GroupMetadata {
    /// Returns the current metadata of this consumer; none if it has no group.
    pub fn of<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> Option<GroupMetadata> {
        // SAFETY: the client lives; the object is ours.
        let metadata = unsafe { rd::rd_kafka_consumer_group_metadata(consumer.client().native_ptr()) };
        (!metadata.is_null()).then_some(GroupMetadata(metadata))
    }

    pub(super) fn ptr(&self) -> *const rd::rd_kafka_consumer_group_metadata_t {
        self.0
    }

    /// Returns whether it is a member of a generation. If it is not, the broker does not check its
    /// offsets.
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

/// The queue for the records of assigned partitions, apart from the events of their consumer.
pub struct RecordQueue {
    queue: *mut rd::rd_kafka_queue_t,
    filled: Box<Notify>,
}

// SAFETY: the library's queues may be used from any thread.
unsafe impl Send for RecordQueue {}
unsafe impl Sync for RecordQueue {}

/// A record, or an error of a partition.
pub enum Fetched {
    /// A record.
    Record(Record),
    /// The error of this partition; a negative partition means all.
    Trouble(Partition, Code),
}

impl RecordQueue {
    /// Creates a queue of this consumer, which it must not outlive.
    pub fn of<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> RecordQueue {
        let filled = Box::new(Notify::new());
        // SAFETY: the client lives; the signal is sent only until the queue is dropped, which owns
        // its target.
        let queue = unsafe {
            let queue = rd::rd_kafka_queue_new(consumer.client().native_ptr());
            rd::rd_kafka_queue_cb_event_enable(queue, Some(signal), (&raw const *filled) as *mut c_void);
            queue
        };
        RecordQueue { queue, filled }
    }

    /// Waits until the queue gets its first record.
    pub async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Wakes the task that waits for records.
    pub fn wake(&self) {
        self.filled.notify_one();
    }

    /// Forwards the records of an assigned partition to this queue from now on.
    pub fn attach<C: ConsumerContext>(&self, consumer: &BaseConsumer<C>, topic: &str, partition: i32) {
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

    /// Returns up to `most` records that were fetched already. Does not wait.
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
        // SAFETY: the queue is ours; after the first call no signal is sent.
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

/// Reads the headers of a message, in order. The crate's own list panics at a name that is not
/// UTF-8.
pub fn headers_of(message: &BorrowedMessage<'_>) -> Vec<Header> {
    let mut all = Vec::new();
    // SAFETY: the message lives during the call, and with it its headers and their bytes.
    unsafe {
        let mut headers = ptr::null_mut();
        if rd::rd_kafka_message_headers(message.ptr(), &mut headers) != Code::RD_KAFKA_RESP_ERR_NO_ERROR {
            return all;
        }
        let (mut name, mut value, mut length) = (ptr::null(), ptr::null(), 0);
        while rd::rd_kafka_header_get_all(headers, all.len(), &mut name, &mut value, &mut length)
            == Code::RD_KAFKA_RESP_ERR_NO_ERROR
        {
            let bytes = (!value.is_null())
                .then(|| Bytes::copy_from_slice(std::slice::from_raw_parts(value.cast(), length)));
            all.push(Header { name: Bytes::copy_from_slice(CStr::from_ptr(name).to_bytes()), value: bytes });
        }
    }
    all
}

/// Reads the position of a record before it was published again; none if it was not.
///
/// # Safety
/// The message lives.
unsafe fn original_position(message: *const rd::rd_kafka_message_t) -> Option<Position> {
    unsafe {
        let mut headers = ptr::null_mut();
        if rd::rd_kafka_message_headers(message, &mut headers) != Code::RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        let (mut value, mut length) = (ptr::null(), 0);
        let name = ORIGINAL_POSITION_C.as_ptr();
        let found = rd::rd_kafka_header_get_last(headers, name, &mut value, &mut length);
        if found != Code::RD_KAFKA_RESP_ERR_NO_ERROR || value.is_null() {
            return None;
        }
        let text = std::str::from_utf8(std::slice::from_raw_parts(value.cast(), length)).ok()?;
        parse_position(text)
    }
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
                Fetched::Record(Record {
                    position: Position { partition, offset: one.offset },
                    key: bytes(one.key, one.key_len),
                    value: bytes(one.payload, one.len),
                    timestamp: EventTime(timestamp.max(0)),
                    original: original_position(message),
                })
            }
            code => Fetched::Trouble(partition, code),
        };
        rd::rd_kafka_message_destroy(message);
        fetched
    }
}
