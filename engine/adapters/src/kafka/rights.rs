//! What we may do, as the broker says it of every topic: asked for, not tried,
//! so nothing is left behind.
#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char};
use std::ptr;
use std::time::Duration;

use pricedrop_model::seams::Error;
use rdkafka::TopicPartitionList;
use rdkafka::bindings as rd;
use rdkafka::bindings::rd_kafka_AclOperation_t as Operation;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::limits::{CALL_MS, INIT_MS};
use super::log::Logged;
use super::marked_log::reader;
use super::member::away;
use super::raw::RawProducer;
use super::settings::Settings;

const READ: Operation = Operation::RD_KAFKA_ACL_OPERATION_READ;
const WRITE: Operation = Operation::RD_KAFKA_ACL_OPERATION_WRITE;

/// A right that is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// On what: `topic x`, `group x`, `transactional id x*`.
    pub on: String,
    /// Which: `Read`, `Write`, `Describe`.
    pub right: &'static str,
    /// What needs it.
    pub needed_by: &'static str,
}

const NOTIFIER: &str = "the notifier";
const DISPATCHER: &str = "the dispatcher";
/// What posts need: an engine without them works.
pub const POSTS: &str = "POST /v1/prices";

/// The rights that are missing of those that notifier, dispatcher and API need.
///
/// # Errors
/// The cluster is away.
pub fn missing(settings: &Settings) -> Result<Vec<Missing>, Error> {
    let client = reader(settings)?;
    let topics = &settings.topics;
    let needed = [
        (&topics.prices, READ, NOTIFIER),
        (&topics.prices, WRITE, POSTS),
        (&topics.notifications, WRITE, NOTIFIER),
        (&topics.notifications, READ, DISPATCHER),
        (&topics.state, READ, NOTIFIER),
        (&topics.state, WRITE, NOTIFIER),
        (&topics.removals, READ, NOTIFIER),
        (&topics.removals, WRITE, NOTIFIER),
        (&topics.dead_updates, WRITE, NOTIFIER),
        (&topics.retries, READ, DISPATCHER),
        (&topics.retries, WRITE, DISPATCHER),
        (&topics.dead_deliveries, WRITE, DISPATCHER),
    ];
    let allowed = topic_rights(&client, needed.iter().map(|(topic, ..)| topic.as_str()))?;
    let mut missing = Vec::new();
    for (topic, right, needed_by) in needed {
        // One that does not exist is another finding.
        if allowed.get(topic.as_str()).is_some_and(|allowed| !allowed.contains(&right)) {
            let right = if right == READ { "Read" } else { "Write" };
            missing.push(Missing { on: format!("topic {topic}"), right, needed_by });
        }
    }
    missing.extend(group_right(settings)?);
    missing.extend(transaction_right(settings));
    Ok(missing)
}

/// Whether the group's offsets may be looked at, which joining needs as well.
fn group_right(settings: &Settings) -> Result<Option<Missing>, Error> {
    let mut config = settings.reader();
    config.set("group.id", &settings.group);
    let client: BaseConsumer = config.create().map_err(away)?;
    let mut list = TopicPartitionList::new();
    list.add_partition(&settings.topics.prices, 0);
    match client.committed_offsets(list, Duration::from_millis(CALL_MS)) {
        Err(KafkaError::OffsetFetch(RDKafkaErrorCode::GroupAuthorizationFailed)) => {
            let on = format!("group {0} and groups {0}.*", settings.group);
            Ok(Some(Missing { on, right: "Read", needed_by: NOTIFIER }))
        }
        _ => Ok(None),
    }
}

/// Whether transactions may begin: one is made ready, and none is begun.
fn transaction_right(settings: &Settings) -> Option<Missing> {
    let id = format!("{}-doctor", settings.group);
    let producer = RawProducer::new(&settings.transactional(&id)).ok()?;
    let refusal = producer.init_transactions(Duration::from_millis(INIT_MS)).err()?;
    let denied =
        refusal.code == rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
    let on = format!("transactional ids {}-*", settings.group);
    denied.then_some(Missing { on, right: "Write", needed_by: NOTIFIER })
}

/// What the broker lets us do with each topic that exists.
fn topic_rights<'a>(
    client: &BaseConsumer<Logged>,
    topics: impl Iterator<Item = &'a str>,
) -> Result<BTreeMap<String, Vec<Operation>>, Error> {
    let mut names: Vec<CString> = topics.filter_map(|name| CString::new(name).ok()).collect();
    names.sort();
    names.dedup();
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    let client = client.client().native_ptr();
    // SAFETY: the client and the names outlive the call; everything made here
    // is destroyed here, the event after what it holds was copied.
    unsafe {
        let collection = rd::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        let operation = rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
        let options = rd::rd_kafka_AdminOptions_new(client, operation);
        let refused = rd::rd_kafka_AdminOptions_set_include_authorized_operations(options, 1);
        if !refused.is_null() {
            rd::rd_kafka_error_destroy(refused);
        }
        let wait = i32::try_from(CALL_MS).unwrap_or(i32::MAX);
        rd::rd_kafka_AdminOptions_set_request_timeout(options, wait, ptr::null_mut(), 0);
        let queue = rd::rd_kafka_queue_new(client);
        rd::rd_kafka_DescribeTopics(client, collection, options, queue);
        let event = rd::rd_kafka_queue_poll(queue, wait);
        let rights = read_event(event);
        if !event.is_null() {
            rd::rd_kafka_event_destroy(event);
        }
        rd::rd_kafka_queue_destroy(queue);
        rd::rd_kafka_AdminOptions_destroy(options);
        rd::rd_kafka_TopicCollection_destroy(collection);
        rights
    }
}

/// # Safety
/// `event` is null or an event that lives during the call.
unsafe fn read_event(event: *mut rd::rd_kafka_event_t) -> Result<BTreeMap<String, Vec<Operation>>, Error> {
    let silent = || Error::Unavailable("Kafka does not say what we may do: no answer".into());
    if event.is_null() {
        return Err(silent());
    }
    let mut rights = BTreeMap::new();
    // SAFETY: the event lives, and what is read belongs to it.
    unsafe {
        let result = rd::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return Err(silent());
        }
        let mut count = 0;
        let topics = rd::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        for at in 0..count {
            let topic = *topics.add(at);
            let name =
                CStr::from_ptr(rd::rd_kafka_TopicDescription_name(topic)).to_string_lossy().into_owned();
            let error = rd::rd_kafka_TopicDescription_error(topic);
            let code = if error.is_null() {
                rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
            } else {
                rd::rd_kafka_error_code(error)
            };
            match code {
                rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => {
                    let mut allowed = 0;
                    let first = rd::rd_kafka_TopicDescription_authorized_operations(topic, &mut allowed);
                    rights.insert(name, (0..allowed).map(|at| *first.add(at)).collect());
                }
                rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED => {
                    rights.insert(name, Vec::new());
                }
                _ => {}
            }
        }
    }
    Ok(rights)
}
