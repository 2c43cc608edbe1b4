//! The fields of the engine itself, whatever it stands on.

use super::{DAY, GIB, HOUR, KIB, MIB, MINUTE, SECOND, YEARS, field, unset};
use crate::config::field::{Field, Kind};

/// In the order of the reference.
pub(super) static ENGINE: &[Field] = &[
    field(
        "rules.mode",
        Kind::Choice(&["every-drop", "crossing", "once"]),
        "\"every-drop\"",
        "When a watch that names no mode fires. every-drop: at each drop to or below its threshold, the same \
         price once per dedup_window; crossing: when the price crosses the threshold from above, then not before \
         it rose again; once: like crossing, and then never again.",
    ),
    field(
        "rules.first_price",
        Kind::Choice(&["notify", "baseline"]),
        "\"notify\"",
        "What the first price ever seen of a product does. It counts as a drop, or is only remembered.",
    ),
    field(
        "rules.dedup_window",
        Kind::Millis(0, YEARS),
        "\"24h\"",
        "How long the same price of a product is not told again to every-drop watches. Counted in the time of \
         the updates.",
    ),
    field(
        "rules.hysteresis",
        Kind::Share,
        "\"0\"",
        "How far above its threshold a price must rise to re-arm a crossing watch, as a share of the threshold. \
         With 0.05 a watch at 100 is armed again above 105.",
    ),
    field("rules.currency", Kind::Currency, "\"USD\"", "Of updates and watches that name none."),
    unset(
        "plugins.folder",
        Kind::Path,
        "Where the plugins lie, each a name.wasm with an optional name.toml. Not set: plugins/dist where that \
         folder exists, as in a checkout of the repository, else plugins. Whoever may write there deploys code.",
    ),
    unset(
        "plugins.bucketing",
        Kind::Text,
        "The active bucketing policy, by its file's stem. Not set: the only one present, or bucketing-floor of \
         plugins/dist.",
    ),
    unset(
        "plugins.throttling",
        Kind::Text,
        "The active throttling policy, by its file's stem. Not set: the only one present.",
    ),
    field("plugins.reload", Kind::Flag, "true", "Whether changed plugins are loaded while the engine runs."),
    field(
        "plugins.allow",
        Kind::Texts,
        "[]",
        "SHA-256 digests of the .wasm files that may be loaded. Empty: any.",
    ),
    field(
        "plugins.settle",
        Kind::Millis(1, MINUTE),
        "\"150ms\"",
        "How long the folder must be quiet before changed plugins are read.",
    ),
    field(
        "plugins.poll",
        Kind::Millis(10, HOUR),
        "\"5s\"",
        "How often the folder is looked at where the system tells of no change.",
    ),
    field(
        "plugins.cpu",
        Kind::Millis(1, MINUTE),
        "\"200ms\"",
        "CPU time of one call of a plugin. A plugin's sidecar may name its own, as for every limit of this table.",
    ),
    field(
        "plugins.start_cpu",
        Kind::Millis(1, 10 * MINUTE),
        "\"2s\"",
        "CPU time of starting and configuring one instance of a plugin.",
    ),
    field(
        "plugins.memory",
        Kind::Bytes(MIB, 4 * GIB),
        "\"64MiB\"",
        "Memories and tables of one instance of a plugin, summed.",
    ),
    field("plugins.output", Kind::Bytes(KIB, GIB), "\"16MiB\"", "What one call of a plugin may hand over."),
    field(
        "plugins.log_lines_per_second",
        Kind::Count(0, 10_000),
        "20",
        "Lines a plugin may write into the log. A burst may be five times as much.",
    ),
    field(
        "plugins.calls_per_instance",
        Kind::Count(1, u64::MAX),
        "1000000",
        "Calls after which an instance is replaced by a fresh one.",
    ),
    field("plugins.wasm_size", Kind::Bytes(KIB, GIB), "\"32MiB\"", "Longest .wasm file that is compiled."),
    field(
        "bucketing.watchers_above",
        Kind::Count(0, u64::MAX),
        "10000",
        "Products with more watches than this are read by bucket. Smaller ones are read by one range scan.",
    ),
    field(
        "bucketing.shards",
        Kind::Count(1, 64),
        "1",
        "In Cassandra, how many partitions each bucket has, by user. More than one for policies that put millions \
         into one bucket. A change counts from the next `pricedrop buckets migrate` on.",
    ),
    field(
        "bucketing.audit_one_in",
        Kind::Count(0, u64::MAX),
        "1000",
        "One in so many bucketed drops is compared with the plain scan. 0 compares none.",
    ),
    field(
        "http.listen",
        Kind::Listen,
        "\"127.0.0.1:8080\"",
        "Where the API listens. Port 0 takes a free one. Beyond loopback a token is required.",
    ),
    unset(
        "http.token_file",
        Kind::Path,
        "A file that holds the token every request but /livez must carry. Blanks around it are cut.",
    ),
    unset(
        "http.token_env",
        Kind::Text,
        "The environment variable that holds the token every request but /livez must carry.",
    ),
    field(
        "http.max_body",
        Kind::Bytes(KIB, GIB),
        "\"16MiB\"",
        "Longest body of a request. A longer one is refused with 413.",
    ),
    field(
        "http.body_entries",
        Kind::Count(1, 10_000_000),
        "100000",
        "Most entries of one body. More are refused with 413: a post is taken whole, and others wait for it.",
    ),
    field(
        "http.body_wait",
        Kind::Millis(100, HOUR),
        "\"20s\"",
        "Longest a body may take to arrive. A slower one is refused with 408.",
    ),
    field(
        "http.requests",
        Kind::Count(1, 100_000),
        "256",
        "Most requests served at a time. More are answered 503.",
    ),
    field("http.page_entries", Kind::Count(1, 100_000), "1000", "Most entries of one page of a list."),
    field(
        "data.folder",
        Kind::Path,
        "\"pricedrop-data\"",
        "What this instance keeps on its local disk: the embedded store, its plugins' last good state, its slots in \
         the group. One running engine owns it; several instances need one each.",
    ),
    field("data.cache", Kind::Bytes(MIB, 1024 * GIB), "\"64MiB\"", "Memory for blocks read from disk."),
    field(
        "data.outbox_retention",
        Kind::Millis(MINUTE, YEARS),
        "\"7d\"",
        "How long dispatched notifications stay readable.",
    ),
    field(
        "data.confirmation_retention",
        Kind::Millis(MINUTE, YEARS),
        "\"8d\"",
        "How long it is remembered that a delivery arrived, in either store. Must outlast every retry and the \
         retention of the notifications.",
    ),
    field("dispatch.enabled", Kind::Flag, "true", "Whether notifications are sent."),
    field(
        "dispatch.default_channels",
        Kind::Texts,
        "[\"channel-console\"]",
        "Channels of users without an address of their own. Their user name is the address.",
    ),
    field(
        "dispatch.attempts",
        Kind::Count(1, 1_000),
        "15",
        "Attempts until a delivery goes to the dead letters. Waiting for a breaker is none.",
    ),
    field(
        "dispatch.give_up_after",
        Kind::Millis(SECOND, 30 * DAY),
        "\"24h\"",
        "A delivery older than this goes to the dead letters.",
    ),
    field(
        "dispatch.backoff_first",
        Kind::Millis(1, DAY),
        "\"1s\"",
        "The longest first wait between attempts. It doubles with every attempt, with full jitter.",
    ),
    field(
        "dispatch.backoff_longest",
        Kind::Millis(1, 7 * DAY),
        "\"10m\"",
        "The longest wait between attempts.",
    ),
    field(
        "dispatch.retry_after_longest",
        Kind::Millis(1, 7 * DAY),
        "\"1h\"",
        "The longest wait a provider may ask for.",
    ),
    field(
        "dispatch.recheck",
        Kind::Flag,
        "true",
        "Whether the price is looked at again before a delayed send. A delivery whose price has risen again is \
         dropped.",
    ),
    field(
        "dispatch.lease",
        Kind::Millis(SECOND, DAY),
        "\"60s\"",
        "The shortest lease on a delivery. Channels with a longer time limit get a longer one.",
    ),
    field(
        "dispatch.concurrency",
        Kind::Count(1, 10_000),
        "64",
        "Most requests in flight for one channel. Its sidecar may name another number.",
    ),
    field(
        "dispatch.timeout",
        Kind::Millis(1, 10 * MINUTE),
        "\"10s\"",
        "A request's time limit. The channel's sidecar may name another one.",
    ),
    field(
        "dispatch.breaker_failures",
        Kind::Count(1, 10_000),
        "8",
        "This many failures of a provider in a row open its breaker.",
    ),
    field("dispatch.breaker_open", Kind::Millis(1, DAY), "\"10s\"", "How long an open breaker holds."),
    field(
        "dispatch.addresses_per_user",
        Kind::Count(1, 10_000),
        "16",
        "Most addresses of one user. Further ones are left out and counted.",
    ),
    unset(
        "dispatch.ca_file",
        Kind::Path,
        "A PEM file of certificate authorities to trust besides the public ones.",
    ),
    unset(
        "dispatch.address_secret_file",
        Kind::Path,
        "A file that holds the secret with which addresses are hashed into delivery keys. All dispatchers need the \
         same one. With another secret a delivery that is under way while it changes may be repeated.",
    ),
    unset(
        "dispatch.address_secret_env",
        Kind::Text,
        "The environment variable that holds this secret. Not set, neither: the hash has no secret, and whoever \
         reads a key can test a guessed address against it.",
    ),
    field(
        "dispatch.drain",
        Kind::Millis(0, HOUR),
        "\"20s\"",
        "How long deliveries in flight may take to end when the engine stops.",
    ),
    unset(
        "archive.url",
        Kind::Text,
        "Where the archive lies: s3://bucket/prefix, or file:///folder. Each group needs a prefix of its own. S3 \
         must support conditional writes (If-None-Match); the engine tries it when it starts.",
    ),
    field(
        "archive.topics",
        Kind::Texts,
        "[\"updates\", \"notifications\", \"dead-letters\"]",
        "What is archived: any of updates, notifications, dead-letters.",
    ),
    unset(
        "archive.endpoint",
        Kind::Text,
        "The URL of an S3 server other than Amazon's, such as https://s3.example:9000.",
    ),
    unset("archive.region", Kind::Text, "The region of the bucket. Not set: AWS_REGION, else us-east-1."),
    unset(
        "archive.access_key_id",
        Kind::Text,
        "The id of the access key. Not set: the credentials of the environment, as AWS's own tools find them.",
    ),
    unset("archive.secret_access_key_file", Kind::Path, "A file that holds the secret of the access key."),
    unset(
        "archive.secret_access_key_env",
        Kind::Text,
        "The environment variable that holds the secret of the access key.",
    ),
    unset(
        "archive.ca_file",
        Kind::Path,
        "A PEM file of certificate authorities to trust besides the public ones.",
    ),
    field(
        "archive.max_object_size",
        Kind::Bytes(KIB, 128 * MIB),
        "\"16MiB\"",
        "An object is closed at this size, compressed.",
    ),
    field(
        "archive.max_object_age",
        Kind::Millis(100, DAY),
        "\"10m\"",
        "An object is closed this long after its first record.",
    ),
    field(
        "archive.max_memory",
        Kind::Bytes(MIB, 64 * GIB),
        "\"128MiB\"",
        "Memory for the open objects of one topic, compressed. The largest is closed when it is used up.",
    ),
    field(
        "log.level",
        Kind::Text,
        "\"info\"",
        "What is logged: error, warn, info, debug or trace. Or a filter such as info,pricedrop_host=debug.",
    ),
    field("log.format", Kind::Choice(&["text", "json"]), "\"text\"", "How it is logged."),
    field(
        "limits.batch_records",
        Kind::Count(1, 100_000),
        "1000",
        "Most records decided and committed together.",
    ),
    field(
        "limits.commit_watches",
        Kind::Count(1, 10_000_000),
        "100000",
        "Most watches one commit considers, fewer where titles and URLs make notifications long. A fan-out beyond is cut into chunks.",
    ),
    field("limits.page_rows", Kind::Count(1, 1_000_000), "5000", "Most watches a page of a scan holds."),
    field(
        "limits.fail_open_per_second",
        Kind::Count(1, 1_000_000),
        "1000",
        "Most updates a second that a failing throttle lets pass. Those beyond are held.",
    ),
    field(
        "limits.intake_records",
        Kind::Count(1, 10_000_000),
        "20000",
        "Records waiting for the notifier. Past it a post waits.",
    ),
    field(
        "limits.intake_bytes",
        Kind::Bytes(MIB, 64 * GIB),
        "\"32MiB\"",
        "Bytes of records waiting for the notifier. Past it a post waits.",
    ),
    field(
        "limits.intake_wait",
        Kind::Millis(1, HOUR),
        "\"5s\"",
        "How long a post waits for room before it is answered 503.",
    ),
    field(
        "limits.answer_wait",
        Kind::Millis(1, HOUR),
        "\"30s\"",
        "How long a post waits for its outcome before it is answered 503.",
    ),
    field(
        "limits.dispatch_batch",
        Kind::Count(1, 100_000),
        "512",
        "Most notifications read, claimed and rendered at a time.",
    ),
    field(
        "limits.dispatch_window",
        Kind::Count(1, 10_000_000),
        "16384",
        "Most notifications that are read and not finished.",
    ),
    field("limits.channels", Kind::Count(1, 10_000), "64", "Most channels at a time."),
    field(
        "limits.channel_queue",
        Kind::Count(1, 1_000_000),
        "4096",
        "Most deliveries waiting in memory for one channel.",
    ),
    field(
        "limits.channel_patience",
        Kind::Millis(0, HOUR),
        "\"1s\"",
        "How long the others wait for a channel whose queue is full. Then its deliveries go to the retry queue.",
    ),
    field(
        "limits.plugin_calls",
        Kind::Count(1, 1_000),
        "4",
        "Most plugin calls of the dispatcher at a time.",
    ),
    field(
        "limits.request_bytes",
        Kind::Bytes(KIB, GIB),
        "\"1MiB\"",
        "Longest body of a request or mail that a channel sends.",
    ),
    field(
        "limits.response_bytes",
        Kind::Bytes(KIB, 64 * MIB),
        "\"64KiB\"",
        "How much of an answer's body a channel is shown. The rest is cut.",
    ),
    field(
        "limits.stop",
        Kind::Millis(SECOND, HOUR),
        "\"30s\"",
        "How long the engine takes at most to stop. Whatever is open then goes on at the next start.",
    ),
];
