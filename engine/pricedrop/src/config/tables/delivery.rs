//! The tables `[dispatch]`, `[archive]`, `[log]` and `[limits]` of the configuration.

use std::path::PathBuf;
use std::time::Duration;

use pricedrop_embedded::ArchivedTopic;

use crate::config::choice::{Choice, LogFormat};
use crate::config::table::table;
use crate::config::units::{ByteSize, days, gib, hours, kib, mib, millis, minutes, seconds, texts};

table! {
    /// How notifications are delivered.
    dispatch: Dispatch {
        /// Whether notifications are sent.
        enabled: bool = true;

        /// The channels of users without an address of their own. Their user name is the address.
        default_channels: Vec<String> = texts(&["channel-console"]);

        /// Attempts until a delivery becomes a dead letter. Waiting for a breaker is not an attempt.
        max_attempts: u32 = 15, in 1..=1_000, was "attempts";

        /// A delivery older than this becomes a dead letter.
        max_age: Duration = hours(24), in seconds(1)..=days(30), was "give_up_after";

        /// The upper end of the first wait between attempts. It doubles with every attempt, with full
        /// jitter.
        backoff_initial: Duration = seconds(1), in millis(1)..=days(1), was "backoff_first";

        /// The longest wait between attempts.
        backoff_max: Duration = minutes(10), in millis(1)..=days(7), was "backoff_longest";

        /// The longest wait a provider may ask for.
        retry_after_max: Duration = hours(1), in millis(1)..=days(7), was "retry_after_longest";

        /// Whether the price is read again before a delayed send. A delivery whose price has risen
        /// again is dropped.
        recheck: bool = true;

        /// The shortest lease on a delivery. Channels with a longer timeout get a longer one.
        lease: Duration = seconds(60), in seconds(1)..=days(1);

        /// The most requests in flight for one channel. Its sidecar may set another number.
        concurrency: u32 = 64, in 1..=10_000;

        /// The timeout of a request. The channel's sidecar may set another one.
        timeout: Duration = seconds(10), in millis(1)..=minutes(10);

        /// This many failures of a provider in a row open its breaker.
        breaker_threshold: u32 = 8, in 1..=10_000, was "breaker_failures";

        /// How long a breaker stays open before one delivery tries the provider again.
        breaker_reset_timeout: Duration = seconds(10), in millis(1)..=days(1), was "breaker_open";

        /// The most addresses of one user. Further ones are skipped and counted.
        addresses_per_user: usize = 16, in 1..=10_000;

        /// A PEM file of certificate authorities to trust besides the public ones.
        ca_file: Option<PathBuf>;

        /// A file that holds the secret with which addresses are hashed into delivery keys. All
        /// dispatchers need the same one. If it changes, deliveries that are under way may be repeated.
        address_secret_file: Option<PathBuf>;

        /// The environment variable that holds this secret. If neither is set, the hash has no secret,
        /// and anyone who reads a key can test a guessed address against it.
        address_secret_env: Option<String>;

        /// How long deliveries in flight may take to end when the engine stops.
        drain_timeout: Duration = seconds(20), in millis(0)..=hours(1), was "drain";
    }
}

table! {
    /// The archive: updates, notifications and dead letters in S3 or a folder. On when archive.url is
    /// set.
    archive: Archive {
        /// Where the archive is: s3://bucket/prefix, or file:///folder. Each group needs a prefix of
        /// its own. S3 must support conditional writes (If-None-Match); the engine tests this when it
        /// starts.
        url: Option<String>;

        /// What is archived.
        topics: Vec<ArchivedTopic> = <ArchivedTopic as Choice>::ALL.to_vec();

        /// The URL of an S3 server other than Amazon's, such as `https://s3.example:9000`.
        endpoint: Option<String>;

        /// The region of the bucket. Not set: AWS_REGION, else us-east-1.
        region: Option<String>;

        /// The id of the access key. Not set: the credentials of the environment, as the tools of AWS
        /// find them.
        access_key_id: Option<String>;

        /// A file that holds the secret of the access key.
        secret_access_key_file: Option<PathBuf>;

        /// The environment variable that holds the secret of the access key.
        secret_access_key_env: Option<String>;

        /// A PEM file of certificate authorities to trust besides the public ones.
        ca_file: Option<PathBuf>;

        /// An object is closed at this size, compressed.
        max_object_size: ByteSize = mib(16), in kib(1)..=mib(128);

        /// An object is closed this long after its first record.
        max_object_age: Duration = minutes(10), in millis(100)..=days(1);

        /// Memory for the open objects of one topic, compressed. When it is used up, the largest object
        /// is closed.
        max_memory: ByteSize = mib(128), in mib(1)..=gib(64);
    }
}

table! {
    /// The log on standard error.
    log: Log {
        /// What is logged: error, warn, info, debug or trace, or a filter such as
        /// `info,pricedrop_host=debug`.
        level: String = "info".into();

        /// How a log line is written.
        format: LogFormat = LogFormat::Text;
    }
}

table! {
    /// Every other bound of the engine.
    limits: Limits {
        /// The most records decided and committed together.
        batch_records: usize = 1_000, in 1..=100_000;

        /// The most watches one commit considers, fewer if titles and URLs make notifications long. A
        /// larger fan-out is cut into chunks.
        commit_watches: usize = 100_000, in 1..=10_000_000;

        /// The most watches of one page of a scan.
        page_rows: usize = 5_000, in 1..=1_000_000;

        /// The most updates a second that pass while the throttle fails. Further ones are held back.
        fail_open_per_second: u32 = 1_000, in 1..=1_000_000;

        /// The most records that wait for the notifier. Beyond that a request that posts prices waits.
        intake_records: usize = 20_000, in 1..=10_000_000;

        /// The most bytes of records that wait for the notifier. Beyond that a request that posts
        /// prices waits.
        intake_bytes: ByteSize = mib(32), in mib(1)..=gib(64);

        /// How long a request that posts prices waits for room before it is answered 503.
        admission_timeout: Duration = seconds(5), in millis(1)..=hours(1), was "intake_wait";

        /// How long a request that posts prices waits for its outcome before it is answered 503.
        response_timeout: Duration = seconds(30), in millis(1)..=hours(1), was "answer_wait";

        /// The most notifications read, claimed and rendered at a time.
        dispatch_batch: usize = 512, in 1..=100_000;

        /// The most notifications that are read and not finished.
        dispatch_window: usize = 16_384, in 1..=10_000_000;

        /// The most channels at a time.
        channels: usize = 64, in 1..=10_000;

        /// The most deliveries waiting in memory for one channel.
        channel_queue: usize = 4_096, in 1..=1_000_000;

        /// How long the other channels wait for one whose queue is full. After that its deliveries go
        /// to the retry queue.
        channel_queue_timeout: Duration = seconds(1), in millis(0)..=hours(1), was "channel_patience";

        /// The most plugin calls of the dispatcher at a time.
        plugin_calls: usize = 4, in 1..=1_000;

        /// The longest body of a request or mail that a channel sends.
        request_bytes: ByteSize = mib(1), in kib(1)..=gib(1);

        /// How much of the body of a provider's response a channel receives. The rest is cut.
        response_bytes: ByteSize = kib(64), in kib(1)..=mib(64);

        /// The longest time the engine takes to stop. Unfinished work continues at the next start.
        shutdown_timeout: Duration = seconds(30), in seconds(1)..=hours(1), was "stop";
    }
}
