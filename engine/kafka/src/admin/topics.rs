//! Creates and checks the topics that the engine needs.

use std::collections::BTreeMap;
use std::time::Duration;

use pricedrop_model::Cause;
use pricedrop_model::ports::Error;
use rdkafka::admin::{AdminClient, AdminOptions, ConfigEntry, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;

use crate::client::log::Logged;
use crate::client::marker_reader::reader;
use crate::client::queries::{unavailable, unavailable_because};
use crate::limits::{CALL_MS, COMPACTED_SEGMENT_BYTES};
use crate::settings::Settings;

/// How missing topics are created.
#[derive(Debug, Clone, Copy)]
pub struct NewTopics {
    /// Partitions of the input, and of other topics whose count is free. Topics that must follow an
    /// existing topic get its count.
    pub partitions: i32,
    /// Replicas of each partition.
    pub replication: i32,
}

/// Which partition count a topic must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PartitionCount {
    /// Any count.
    Any,
    /// The count of the input.
    LikeInput,
    /// The count of the notifications.
    LikeNotifications,
    /// One partition.
    One,
}

/// A topic that must exist.
struct Needed<'a> {
    name: &'a str,
    for_what: &'static str,
    partitions: PartitionCount,
    compacted: bool,
}

fn needed(settings: &Settings) -> Vec<Needed<'_>> {
    let topics = &settings.topics;
    let one = |name, for_what, partitions, compacted| Needed { name, for_what, partitions, compacted };
    vec![
        one(&topics.prices, "the input", PartitionCount::Any, false),
        one(&topics.notifications, "the notifications", PartitionCount::Any, false),
        one(&topics.state, "the states of products", PartitionCount::LikeInput, true),
        one(&topics.removals, "the removals of told once-watches", PartitionCount::LikeInput, false),
        one(&topics.dead_updates, "records that are no updates", PartitionCount::Any, false),
        one(&topics.retries, "deliveries to be tried again", PartitionCount::LikeNotifications, true),
        one(&topics.dead_deliveries, "deliveries that failed for good", PartitionCount::One, true),
    ]
}

/// A topic that is wrong, or weaker than it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The topic.
    pub topic: String,
    /// What was found.
    pub what: String,
    /// How to repair it.
    pub remedy: String,
    /// Whether the engine cannot work with the topic as it is.
    pub fatal: bool,
}

/// An existing topic.
struct Found {
    partitions: usize,
    replication: usize,
    /// Its settings. `None` means reading them is not allowed.
    settings: Option<BTreeMap<String, String>>,
}

fn admin(settings: &Settings) -> Result<AdminClient<Logged>, Error> {
    AdminClient::from_config_and_context(&settings.reader(), Logged::default())
        .map_err(|error| Error::Fatal(Cause::new("the Kafka client", error)))
}

fn admin_timeout() -> AdminOptions {
    let wait = Duration::from_millis(CALL_MS);
    AdminOptions::new().request_timeout(Some(wait)).operation_timeout(Some(wait))
}

/// Returns whether a topic that is not listed exists but may not be described.
fn hidden(admin: &AdminClient<Logged>, topic: &str) -> bool {
    let metadata = admin.inner().fetch_metadata(Some(topic), Duration::from_millis(CALL_MS));
    let code = metadata.ok().and_then(|metadata| metadata.topics().first()?.error());
    code.map(RDKafkaErrorCode::from) == Some(RDKafkaErrorCode::TopicAuthorizationFailed)
}

/// Reads the topics of a cluster, by name. Settings are read only for topics that the engine needs.
async fn read_topics(
    admin: &AdminClient<Logged>,
    settings: &Settings,
) -> Result<BTreeMap<String, Found>, Error> {
    let wait = Duration::from_millis(CALL_MS);
    let client = reader(settings)?;
    let metadata = client.fetch_metadata(None, wait).map_err(|error| unavailable_because(&client, error))?;
    let mut found = BTreeMap::new();
    for topic in metadata.topics().iter().filter(|topic| topic.error().is_none()) {
        let replication = topic.partitions().iter().map(|one| one.replicas().len()).min().unwrap_or(0);
        let entry = Found { partitions: topic.partitions().len(), replication, settings: None };
        found.insert(topic.name().to_owned(), entry);
    }
    let needed = needed(settings);
    let asked: Vec<ResourceSpecifier<'_>> = needed
        .iter()
        .filter(|topic| found.contains_key(topic.name))
        .map(|topic| ResourceSpecifier::Topic(topic.name))
        .collect();
    if asked.is_empty() {
        return Ok(found);
    }
    for resource in
        admin.describe_configs(&asked, &admin_timeout()).await.map_err(unavailable)?.into_iter().flatten()
    {
        let rdkafka::admin::OwnedResourceSpecifier::Topic(name) = resource.specifier else { continue };
        if let Some(topic) = found.get_mut(&name) {
            // If describing is not allowed, librdkafka returns no entries.
            let entries = Some(resource.entries).filter(|entries| !entries.is_empty());
            let known = |entries: Vec<ConfigEntry>| {
                entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))).collect()
            };
            topic.settings = entries.map(known);
        }
    }
    Ok(found)
}

/// Creates the topics that are missing. Returns their names.
///
/// # Errors
/// The cluster does not answer, or refuses.
pub async fn apply(settings: &Settings, new: NewTopics) -> Result<Vec<String>, Error> {
    let admin = admin(settings)?;
    let found = read_topics(&admin, settings).await?;
    let partitions_of = |name: &str| found.get(name).map_or(new.partitions, |topic| topic.partitions as i32);
    let input = partitions_of(&settings.topics.prices);
    let notifications = partitions_of(&settings.topics.notifications);
    let wanted = needed(settings);
    let missing: Vec<&Needed<'_>> = wanted.iter().filter(|topic| !found.contains_key(topic.name)).collect();
    let segment = COMPACTED_SEGMENT_BYTES.to_string();
    let topics = missing.iter().map(|topic| {
        let partitions = match topic.partitions {
            PartitionCount::LikeInput => input,
            PartitionCount::LikeNotifications => notifications,
            PartitionCount::Any => new.partitions,
            PartitionCount::One => 1,
        };
        let topic_of = NewTopic::new(topic.name, partitions, TopicReplication::Fixed(new.replication));
        let min = if new.replication >= 3 { "2" } else { "1" };
        let topic_of =
            topic_of.set("min.insync.replicas", min).set("unclean.leader.election.enable", "false");
        match topic.compacted {
            true => topic_of
                .set("cleanup.policy", "compact")
                .set("segment.bytes", &segment)
                .set("min.cleanable.dirty.ratio", "0.1"),
            false => topic_of.set("cleanup.policy", "delete"),
        }
    });
    let topics: Vec<NewTopic<'_>> = topics.collect();
    if topics.is_empty() {
        return Ok(Vec::new());
    }
    for made in admin.create_topics(&topics, &admin_timeout()).await.map_err(unavailable)? {
        match made {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => {
                return Err(Error::Fatal(format!("topic {name} was not made: {code}{}", hint(code)).into()));
            }
        }
    }
    Ok(missing.iter().map(|topic| topic.name.to_owned()).collect())
}

fn hint(code: RDKafkaErrorCode) -> &'static str {
    match code {
        RDKafkaErrorCode::InvalidReplicationFactor => {
            "; the cluster has fewer brokers: lower topics.replication if that is meant"
        }
        RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed => {
            "; grant Create on it, or let somebody run this who may make topics"
        }
        _ => "",
    }
}

/// Checks every topic that the engine needs.
///
/// # Errors
/// The cluster does not answer.
pub async fn check(settings: &Settings) -> Result<Vec<Finding>, Error> {
    let admin = admin(settings)?;
    let found = read_topics(&admin, settings).await?;
    let mut findings = Vec::new();
    let count = |name: &str| found.get(name).map(|topic| topic.partitions);
    let (input, notifications) = (count(&settings.topics.prices), count(&settings.topics.notifications));
    for topic in needed(settings) {
        let mut note = |fatal, what: String, remedy: String| {
            findings.push(Finding { topic: topic.name.to_owned(), what, remedy, fatal });
        };
        let Some(is) = found.get(topic.name) else {
            match hidden(&admin, topic.name) {
                true => note(
                    true,
                    "may not be seen by us".into(),
                    "grant what docs/operations.md lists of it; Describe comes with Read and Write".into(),
                ),
                false => note(
                    true,
                    format!("is missing; it is for {}", topic.for_what),
                    "make it with `pricedrop topics apply`".into(),
                ),
            }
            continue;
        };
        let wanted = match topic.partitions {
            PartitionCount::LikeInput => input.map(|count| (count, &settings.topics.prices)),
            PartitionCount::LikeNotifications => {
                notifications.map(|count| (count, &settings.topics.notifications))
            }
            PartitionCount::Any | PartitionCount::One => None,
        };
        if let Some((wanted, like)) = wanted.filter(|(wanted, _)| *wanted != is.partitions) {
            note(
                true,
                format!("has {} partitions, and {like} has {wanted}: they must be as many", is.partitions),
                "name a new topic in [topics] and make it with `pricedrop topics apply`".into(),
            );
        }
        compare_topic(&topic, is, settings.record_bytes(), &mut note);
    }
    Ok(findings)
}

fn compare_topic(
    topic: &Needed<'_>,
    is: &Found,
    record_bytes: usize,
    note: &mut impl FnMut(bool, String, String),
) {
    let set = |name: &str| is.settings.as_ref()?.get(name).map(String::as_str);
    let alter = |change: &str| {
        format!(
            "kafka-configs.sh --alter --entity-type topics --entity-name {} --add-config {change}",
            topic.name
        )
    };
    let policy = set("cleanup.policy");
    let compacts = policy.is_some_and(|policy| policy.contains("compact"));
    if topic.compacted && policy.is_some() && policy != Some("compact") {
        let what = format!(
            "has cleanup.policy={}; it holds {} and must be compacted alone",
            policy.unwrap_or(""),
            topic.for_what
        );
        note(true, what, alter("cleanup.policy=compact"));
    }
    if !topic.compacted && compacts {
        let what = "is compacted: records of the same key would vanish before they are read".to_owned();
        note(true, what, alter("cleanup.policy=delete"));
    }
    if is.replication < 3 {
        let what = format!("has {} replicas: a broker that is lost takes records with it", is.replication);
        note(false, what, "give it 3 with kafka-reassign-partitions.sh".into());
    }
    if is.settings.is_none() {
        let what = "may not be asked about its settings: DescribeConfigs is not allowed".to_owned();
        let remedy = format!(
            "kafka-acls.sh --add --allow-principal User:... --operation DescribeConfigs --topic {}",
            topic.name
        );
        note(false, what, remedy);
        return;
    }
    let takes = set("max.message.bytes").and_then(|text| text.parse().ok()).unwrap_or(usize::MAX);
    if takes < record_bytes {
        let what = format!(
            "takes records up to {takes} bytes, and up to {record_bytes} may be written (kafka.\"message.max.bytes\"): \
             one it refuses would be written for ever"
        );
        note(true, what, alter(&format!("max.message.bytes={record_bytes}")));
    }
    let in_sync: usize = set("min.insync.replicas").and_then(|text| text.parse().ok()).unwrap_or(1);
    if in_sync < 2 {
        let what =
            format!("has min.insync.replicas={in_sync}: an acknowledged record may be on one broker alone");
        note(false, what, alter("min.insync.replicas=2"));
    }
    if set("unclean.leader.election.enable") == Some("true") {
        let what = "allows unclean leader election: committed records may vanish".to_owned();
        note(false, what, alter("unclean.leader.election.enable=false"));
    }
}
