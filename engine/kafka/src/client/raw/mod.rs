//! Calls of librdkafka that the crate `rdkafka` lacks: a commit that does not wait for a poll,
//! batches of records, group metadata with member and generation, and a queue of records apart from
//! the queue of events.
//!
//! Besides `admin/rights.rs` this is the only place of the crate with unsafe code. It decides
//! nothing.
#![allow(unsafe_code)]

mod consumer;
mod producer;
mod publish;

use std::ffi::{CStr, CString, c_int};
use std::time::Duration;

use rdkafka::bindings as rd;
use rdkafka::bindings::rd_kafka_resp_err_t as Code;

pub use consumer::{Fetched, GroupMetadata, RecordQueue, headers_of};
pub use producer::{BY_KEY, HeaderRecord, RawProducer, Records, Value};
pub use publish::{Published, publish};

/// An error of librdkafka, and what may be done about it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{text}")]
pub struct ProducerError {
    /// The error code.
    pub code: Code,
    /// The message.
    pub text: String,
    /// The same call may succeed.
    pub retriable: bool,
    /// The transaction must be aborted.
    pub must_abort: bool,
    /// The producer cannot be used any more.
    pub fatal: bool,
}

impl ProducerError {
    /// Returns whether the member is not in the current generation of the group.
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

    fn of_code(code: Code, what: &str) -> ProducerError {
        // SAFETY: the name is a static string of the library.
        let name = unsafe { CStr::from_ptr(rd::rd_kafka_err2str(code)) }.to_string_lossy();
        let text = format!("{what}: {name}");
        ProducerError { code, text, retriable: false, must_abort: false, fatal: false }
    }
}

/// Converts an error object, and destroys it.
///
/// # Safety
/// `error` is null, or an error object that nothing else destroys.
unsafe fn taken(error: *mut rd::rd_kafka_error_t) -> Result<(), ProducerError> {
    if error.is_null() {
        return Ok(());
    }
    unsafe {
        let refusal = ProducerError {
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
