//! Publishes a record with headers whose names are any bytes, because the crate `rdkafka` only
//! takes names in UTF-8.

use std::ffi::{CString, c_void};
use std::ptr;

use rdkafka::bindings as rd;
use rdkafka::client::Client;
use rdkafka::{ClientContext, bindings::rd_kafka_resp_err_t as Code};

use super::{ProducerError, c_string, taken};

/// A record to publish.
pub struct Published<'a> {
    /// The topic.
    pub topic: &'a str,
    /// Its partition, or [`BY_KEY`](super::BY_KEY).
    pub partition: i32,
    /// Epoch milliseconds.
    pub timestamp_ms: i64,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value; none is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Its headers, in order. A name ends at its first zero byte.
    pub headers: Vec<(&'a [u8], Option<&'a [u8]>)>,
}

/// Queues a copy of a record. False: the queue is full.
///
/// # Errors
/// The record cannot be sent.
pub fn publish<C: ClientContext>(client: &Client<C>, record: &Published<'_>) -> Result<bool, ProducerError> {
    use rd::rd_kafka_vtype_t as Kind;
    type Value = rd::rd_kafka_vu_s__bindgen_ty_1;
    let start = |bytes: Option<&[u8]>| bytes.map_or(ptr::null_mut(), |bytes| bytes.as_ptr() as *mut c_void);
    let memory = |bytes: Option<&[u8]>| Value {
        mem: rd::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 {
            ptr: start(bytes),
            size: bytes.map_or(0, <[u8]>::len),
        },
    };
    let topic = c_string(record.topic);
    let names: Vec<CString> = record.headers.iter().map(|(name, _)| c_name(name)).collect();
    let mut entries = vec![
        (Kind::RD_KAFKA_VTYPE_TOPIC, Value { cstr: topic.as_ptr() }),
        (Kind::RD_KAFKA_VTYPE_PARTITION, Value { i32_: record.partition }),
        (Kind::RD_KAFKA_VTYPE_TIMESTAMP, Value { i64_: record.timestamp_ms }),
        (Kind::RD_KAFKA_VTYPE_MSGFLAGS, Value { i: rd::RD_KAFKA_MSG_F_COPY }),
        (Kind::RD_KAFKA_VTYPE_KEY, memory(record.key)),
        (Kind::RD_KAFKA_VTYPE_VALUE, memory(record.value)),
    ];
    entries.extend(names.iter().zip(&record.headers).map(|(name, (_, value))| {
        let header = rd::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_2 {
            name: name.as_ptr(),
            val: start(*value),
            size: value.map_or(0, |value| value.len() as isize),
        };
        (Kind::RD_KAFKA_VTYPE_HEADER, Value { header })
    }));
    let entries: Vec<rd::rd_kafka_vu_t> =
        entries.into_iter().map(|(vtype, u)| rd::rd_kafka_vu_t { vtype, u }).collect();
    // SAFETY: the client lives, and everything the entries point to outlives the call.
    match unsafe { taken(rd::rd_kafka_produceva(client.native_ptr(), entries.as_ptr(), entries.len())) } {
        Ok(()) => Ok(true),
        Err(refusal) if refusal.code == Code::RD_KAFKA_RESP_ERR__QUEUE_FULL => Ok(false),
        Err(refusal) => Err(refusal),
    }
}

fn c_name(name: &[u8]) -> CString {
    let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
    CString::new(&name[..end]).expect("the zero byte was cut off")
}
