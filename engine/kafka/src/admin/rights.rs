//! Finds missing rights (Kafka ACLs). The broker reports the authorized operations on topics and
//! groups. The right to use transactions is tested: a transactional id is registered, and the
//! broker keeps it.
#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char};
use std::ptr;
use std::time::Duration;

use pricedrop_model::Cause;
use pricedrop_model::ports::Error;
use rdkafka::bindings as rd;
use rdkafka::bindings::rd_kafka_AclOperation_t as Operation;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::client::log::Logged;
use crate::client::marker_reader::reader;
use crate::client::raw::RawProducer;
use crate::limits::{CALL_MS, INIT_MS};
use crate::settings::{Settings, Topics};

const READ: Operation = Operation::RD_KAFKA_ACL_OPERATION_READ;
const WRITE: Operation = Operation::RD_KAFKA_ACL_OPERATION_WRITE;

/// The roles of an engine whose rights are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    /// Reads updates and writes notifications.
    pub notifier: bool,
    /// Reads notifications and delivers them.
    pub dispatcher: bool,
    /// Reads topics and writes the archive.
    pub archiver: bool,
}

impl Roles {
    /// Returns whether these roles use a topic.
    pub fn concern(self, topics: &Topics, topic: &str) -> bool {
        let of_dispatcher = [&topics.retries, &topics.dead_deliveries];
        let of_notifier = [&topics.prices, &topics.state, &topics.removals, &topics.dead_updates];
        if self.archiver && topics.archived().contains(&topic) {
            return true;
        }
        let is = |names: &[&String]| names.iter().any(|name| *name == topic);
        (self.dispatcher || !is(&of_dispatcher)) && (self.notifier || !is(&of_notifier))
    }
}

/// A right that the engine does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The resource: `topic x`, `groups x*`, `transactional ids x-*`.
    pub on: String,
    /// The operation: `Read` or `Write`.
    pub right: &'static str,
    /// What needs the right.
    pub needed_by: &'static str,
    /// The command that grants it.
    pub remedy: String,
    /// Whether the engine works without it.
    pub works: bool,
}

const NOTIFIER: &str = "the notifier";
const REMOVER: &str = "the removal of told `once` watches";
const DISPATCHER: &str = "the dispatcher";
const ARCHIVER: &str = "the archiver";
const POSTS: &str = "POST /v1/prices";
const LOOKING: &str = "`pricedrop dlq`";

/// Finds the rights that these roles and the API need and do not have.
///
/// # Errors
/// The cluster does not answer.
pub fn missing(settings: &Settings, roles: Roles) -> Result<Vec<Missing>, Error> {
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
        (&topics.dead_updates, READ, LOOKING),
        (&topics.retries, READ, DISPATCHER),
        (&topics.retries, WRITE, DISPATCHER),
        (&topics.dead_deliveries, WRITE, DISPATCHER),
        (&topics.dead_deliveries, READ, LOOKING),
        (&topics.prices, READ, ARCHIVER),
        (&topics.notifications, READ, ARCHIVER),
        (&topics.dead_updates, READ, ARCHIVER),
        (&topics.dead_deliveries, READ, ARCHIVER),
    ];
    let asked = |needed_by: &str| match needed_by {
        NOTIFIER => roles.notifier,
        DISPATCHER => roles.dispatcher,
        ARCHIVER => roles.archiver,
        _ => true,
    };
    let allowed = topic_rights(&client, needed.iter().map(|(topic, ..)| topic.as_str()))?;
    let mut missing = Vec::new();
    for (topic, right, needed_by) in needed.into_iter().filter(|(_, _, needed_by)| asked(needed_by)) {
        // A topic that does not exist is reported by `topics`.
        if allowed.get(topic.as_str()).is_some_and(|allowed| !allowed.contains(&right)) {
            missing.push(Missing {
                on: format!("topic {topic}"),
                right: if right == READ { "Read" } else { "Write" },
                needed_by,
                remedy: remedy(if right == READ { "Read" } else { "Write" }, &format!("--topic {topic}")),
                works: matches!(needed_by, POSTS | LOOKING),
            });
        }
    }
    for (role, needed_by, name) in [
        (roles.notifier, NOTIFIER, settings.group.clone()),
        (roles.dispatcher, DISPATCHER, format!("{}.dispatcher", settings.group)),
    ] {
        if role {
            let denied = group_right(&client, &name, needed_by)?;
            if denied.is_none() && needed_by == NOTIFIER {
                // Watches that were notified stay silent even if they are not removed.
                let remover = group_right(&client, &format!("{name}.remover"), REMOVER)?;
                missing.extend(remover.map(|missing| Missing { works: true, ..missing }));
            }
            missing.extend(denied);
            missing.extend(transaction_right(settings, &name, needed_by));
        }
    }
    if roles.archiver {
        missing.extend(group_right(&client, &settings.archiver_group(), ARCHIVER)?);
    }
    Ok(missing)
}

fn remedy(right: &str, on: &str) -> String {
    format!("kafka-acls.sh --add --allow-principal User:... --operation {right} {on}")
}

/// Checks the right to join this group, and the groups whose names begin with it.
fn group_right(
    client: &BaseConsumer<Logged>,
    group: &str,
    needed_by: &'static str,
) -> Result<Option<Missing>, Error> {
    let allowed = group_operations(client, group)?;
    let denied = allowed.is_some_and(|allowed| !allowed.contains(&READ));
    Ok(denied.then(|| Missing {
        on: format!("groups {group}*"),
        right: "Read",
        needed_by,
        remedy: remedy("Read", &format!("--group {group} --resource-pattern-type prefixed")),
        works: false,
    }))
}

/// Checks the right to transactions: registers a transactional id, and begins no transaction.
fn transaction_right(settings: &Settings, name: &str, needed_by: &'static str) -> Option<Missing> {
    let producer = RawProducer::new(&settings.transactional(&format!("{name}-doctor"))).ok()?;
    let refusal = producer.init_transactions(Duration::from_millis(INIT_MS)).err()?;
    let denied =
        refusal.code == rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
    let on = format!("--transactional-id {name}- --resource-pattern-type prefixed");
    denied.then(|| Missing {
        on: format!("transactional ids {name}-*"),
        right: "Write",
        needed_by,
        remedy: remedy("Write", &on),
        works: false,
    })
}

/// Sends one admin request that also asks for the client's rights, and reads the response.
fn ask<T>(
    client: &BaseConsumer<Logged>,
    operation: rd::rd_kafka_admin_op_t,
    send: impl FnOnce(*mut rd::rd_kafka_t, *const rd::rd_kafka_AdminOptions_t, *mut rd::rd_kafka_queue_t),
    read: impl FnOnce(*mut rd::rd_kafka_event_t) -> T,
) -> T {
    let client = client.client().native_ptr();
    // SAFETY: the client outlives the call. Everything created here is destroyed here, the event
    // after its content was copied.
    unsafe {
        let options = rd::rd_kafka_AdminOptions_new(client, operation);
        let refused = rd::rd_kafka_AdminOptions_set_include_authorized_operations(options, 1);
        if !refused.is_null() {
            rd::rd_kafka_error_destroy(refused);
        }
        let wait = i32::try_from(CALL_MS).unwrap_or(i32::MAX);
        rd::rd_kafka_AdminOptions_set_request_timeout(options, wait, ptr::null_mut(), 0);
        let queue = rd::rd_kafka_queue_new(client);
        send(client, options, queue);
        let event = rd::rd_kafka_queue_poll(queue, wait);
        let answer = read(event);
        if !event.is_null() {
            rd::rd_kafka_event_destroy(event);
        }
        rd::rd_kafka_queue_destroy(queue);
        rd::rd_kafka_AdminOptions_destroy(options);
        answer
    }
}

/// Reads the operations on a group that are allowed. `None` means the broker does not say.
fn group_operations(client: &BaseConsumer<Logged>, group: &str) -> Result<Option<Vec<Operation>>, Error> {
    let group = CString::new(group).map_err(|error| Error::Fatal(Cause::of(error)))?;
    let mut names = [group.as_ptr()];
    ask(
        client,
        rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS,
        // SAFETY: the name lives during the call, which copies it.
        |client, options, queue| unsafe {
            rd::rd_kafka_DescribeConsumerGroups(client, names.as_mut_ptr(), 1, options, queue);
        },
        // SAFETY: the event is null or lives during the call.
        |event| unsafe { read_group(event) },
    )
}

/// # Safety
/// `event` is null or an event that lives during the call.
unsafe fn read_group(event: *mut rd::rd_kafka_event_t) -> Result<Option<Vec<Operation>>, Error> {
    if event.is_null() {
        return Err(no_response());
    }
    // SAFETY: the event lives, and what is read belongs to it.
    unsafe {
        let result = rd::rd_kafka_event_DescribeConsumerGroups_result(event);
        if result.is_null() {
            return Err(no_response());
        }
        let mut count = 0;
        let groups = rd::rd_kafka_DescribeConsumerGroups_result_groups(result, &mut count);
        if count == 0 {
            return Ok(None);
        }
        match code_of(rd::rd_kafka_ConsumerGroupDescription_error(*groups)) {
            rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => {
                let mut allowed = 0;
                let first =
                    rd::rd_kafka_ConsumerGroupDescription_authorized_operations(*groups, &mut allowed);
                Ok((allowed > 0).then(|| (0..allowed).map(|at| *first.add(at)).collect()))
            }
            rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED => Ok(Some(Vec::new())),
            _ => Ok(None),
        }
    }
}

/// # Safety
/// `error` is null or an error that lives during the call.
unsafe fn code_of(error: *const rd::rd_kafka_error_t) -> rd::rd_kafka_resp_err_t {
    match error.is_null() {
        true => rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR,
        // SAFETY: it lives during the call.
        false => unsafe { rd::rd_kafka_error_code(error) },
    }
}

fn no_response() -> Error {
    Error::Unavailable("Kafka does not say what we may do: no answer".into())
}

/// Reads the operations that are allowed on each existing topic, if the broker says so.
fn topic_rights<'a>(
    client: &BaseConsumer<Logged>,
    topics: impl Iterator<Item = &'a str>,
) -> Result<BTreeMap<String, Vec<Operation>>, Error> {
    let mut names: Vec<CString> = topics.filter_map(|name| CString::new(name).ok()).collect();
    names.sort();
    names.dedup();
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    ask(
        client,
        rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
        // SAFETY: the names live during the call, which copies them.
        |client, options, queue| unsafe {
            let all = rd::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
            rd::rd_kafka_DescribeTopics(client, all, options, queue);
            rd::rd_kafka_TopicCollection_destroy(all);
        },
        // SAFETY: the event is null or lives during the call.
        |event| unsafe { read_topics(event) },
    )
}

/// Reads the id of a topic. `None` means the cluster has no topic ids.
///
/// # Errors
/// The cluster does not answer, or the topic is missing.
pub(crate) fn topic_id(client: &BaseConsumer<Logged>, topic: &str) -> Result<Option<String>, Error> {
    let name = CString::new(topic).map_err(|error| Error::Fatal(Cause::of(error)))?;
    let mut names = [name.as_ptr()];
    ask(
        client,
        rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
        // SAFETY: the name lives during the call, which copies it.
        |client, options, queue| unsafe {
            let all = rd::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), 1);
            rd::rd_kafka_DescribeTopics(client, all, options, queue);
            rd::rd_kafka_TopicCollection_destroy(all);
        },
        // SAFETY: the event is null or lives during the call.
        |event| unsafe { read_topic_id(event) },
    )
}

/// # Safety
/// `event` is null or an event that lives during the call.
unsafe fn read_topic_id(event: *mut rd::rd_kafka_event_t) -> Result<Option<String>, Error> {
    let no_response = || Error::Unavailable("Kafka does not describe the topic".into());
    if event.is_null() {
        return Err(no_response());
    }
    // SAFETY: the event lives, and what is read belongs to it.
    unsafe {
        if rd::rd_kafka_event_error(event) == rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE
        {
            return Ok(None);
        }
        let result = rd::rd_kafka_event_DescribeTopics_result(event);
        let mut count = 0;
        if result.is_null() {
            return Err(no_response());
        }
        let topics = rd::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        if count == 0
            || code_of(rd::rd_kafka_TopicDescription_error(*topics))
                != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
        {
            return Err(no_response());
        }
        let id = rd::rd_kafka_TopicDescription_topic_id(*topics);
        let is_zero = rd::rd_kafka_Uuid_most_significant_bits(id) == 0
            && rd::rd_kafka_Uuid_least_significant_bits(id) == 0;
        let text = || CStr::from_ptr(rd::rd_kafka_Uuid_base64str(id)).to_string_lossy().into_owned();
        Ok((!is_zero).then(text))
    }
}

/// # Safety
/// `event` is null or an event that lives during the call.
unsafe fn read_topics(event: *mut rd::rd_kafka_event_t) -> Result<BTreeMap<String, Vec<Operation>>, Error> {
    if event.is_null() {
        return Err(no_response());
    }
    let mut rights = BTreeMap::new();
    // SAFETY: the event lives, and what is read belongs to it.
    unsafe {
        let result = rd::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return Err(no_response());
        }
        let mut count = 0;
        let topics = rd::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        for at in 0..count {
            let topic = *topics.add(at);
            let name =
                CStr::from_ptr(rd::rd_kafka_TopicDescription_name(topic)).to_string_lossy().into_owned();
            match code_of(rd::rd_kafka_TopicDescription_error(topic)) {
                rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => {
                    let mut allowed = 0;
                    let first = rd::rd_kafka_TopicDescription_authorized_operations(topic, &mut allowed);
                    // A client that sees a topic may do something with it: an empty list means that
                    // the broker did not say.
                    if allowed > 0 {
                        rights.insert(name, (0..allowed).map(|at| *first.add(at)).collect());
                    }
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
