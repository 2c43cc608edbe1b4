//! The tables `[rules]`, `[plugins]`, `[bucketing]`, `[http]` and `[data]`: settings that do not
//! depend on the servers that the engine uses.

use std::path::PathBuf;
use std::time::Duration;

use pricedrop_model::{Currency, FirstPrice, Hysteresis, Mode};

use crate::config::setting::Listen;
use crate::config::table::table;
use crate::config::units::{ByteSize, days, gib, hours, kib, mib, millis, minutes, seconds};

table! {
    /// Which watches a price fires. A change applies to prices that arrive afterwards; stored floors
    /// are read with the new hysteresis.
    rules: Rules {
        /// When a watch fires that names no mode of its own. every-drop: at each drop to or below its
        /// threshold, the same price once per dedup_window; crossing: when the price crosses the
        /// threshold from above, and again only after it rose above it; once: like crossing, but a
        /// single time.
        mode: Mode = Mode::EveryDrop;

        /// What the first price ever seen of a product does. notify: it counts as a drop; baseline: it
        /// is only remembered.
        first_price: FirstPrice = FirstPrice::Notify;

        /// How long every-drop watches are not notified again of the same price of a product. Measured
        /// in the time of the updates.
        dedup_window: Duration = hours(24), in millis(0)..=days(3_650);

        /// How far above its threshold a price must rise to re-arm a crossing watch, as a share of the
        /// threshold. With 0.05 a watch at 100 is armed again above 105.
        hysteresis: Hysteresis = Hysteresis::NONE;

        /// The currency of updates and watches that name none.
        currency: Currency = Currency::USD;

        /// The number of decimals to which the prices of updates are rounded, half to even. Not set: they
        /// are not rounded, and a price with more than 9 decimals, as producers write that compute prices
        /// as binary floats, becomes a dead letter.
        round_decimals: Option<u8>, in 0..=9;
    }
}

table! {
    /// Which plugins are active, where they are, and what they may use.
    plugins: Plugins {
        /// The folder of the plugins, each a name.wasm with an optional name.toml. Not set:
        /// plugins/dist if that folder exists, as in a checkout of the repository, else plugins. Anyone
        /// who can write there can deploy code.
        folder: Option<PathBuf>;

        /// The active bucketing policy, by its file's stem. Not set: the only one present, or
        /// bucketing-floor of plugins/dist.
        bucketing: Option<String>;

        /// The active throttling policy, by its file's stem. Not set: the only one present.
        throttling: Option<String>;

        /// Whether changed plugins are loaded while the engine runs.
        reload: bool = true;

        /// SHA-256 digests of the .wasm files that may be loaded. Empty: any.
        allow: Vec<String>;

        /// How long the folder must be quiet before changed plugins are read.
        debounce: Duration = millis(150), in millis(1)..=minutes(1), was "settle";

        /// How often the folder is scanned on systems that do not report changes.
        poll: Duration = seconds(5), in millis(10)..=hours(1);

        /// CPU time of one call of a plugin. A plugin's sidecar may set its own, as for every limit of
        /// this table.
        cpu: Duration = millis(200), in millis(1)..=minutes(1);

        /// CPU time of starting and configuring one instance of a plugin.
        start_cpu: Duration = seconds(2), in millis(1)..=minutes(10);

        /// Memories and tables of one instance of a plugin, summed.
        memory: ByteSize = mib(64), in mib(1)..=gib(4);

        /// The most that one call of a plugin may return.
        output: ByteSize = mib(16), in kib(1)..=gib(1);

        /// Lines a plugin may write to the log. A burst may be five times as much.
        log_lines_per_second: u32 = 20, in 0..=10_000;

        /// Calls after which an instance is replaced by a new one.
        calls_per_instance: u64 = 1_000_000, in 1..=u64::MAX;

        /// The largest .wasm file that is compiled.
        wasm_size: ByteSize = mib(32), in kib(1)..=gib(1);
    }
}

table! {
    /// How the watches of large products are found.
    bucketing: Bucketing {
        /// Products with more watches than this are read by bucket. Smaller ones are read by one range
        /// scan.
        bucket_threshold: u64 = 10_000, in 0..=u64::MAX, was "watchers_above";

        /// In Cassandra, the number of partitions of each bucket, by user. More than one for policies
        /// that put millions of watches into one bucket. A change takes effect with the next `pricedrop
        /// buckets migrate`.
        shards: u32 = 1, in 1..=64;

        /// One in this many bucketed drops is audited: its watches are also read by the plain scan, and the
        /// results are compared. The value is the N of "one in N", not a share: 1 audits every bucketed
        /// drop, 1000 one in a thousand, 0 none.
        audit_sample_rate: u64 = 1_000, in 0..=u64::MAX, was "audit_one_in";
    }
}

table! {
    /// The API, health and metrics.
    http: Http {
        /// Where the API listens. Port 0 takes a free one. An address other than loopback requires a
        /// token.
        listen: Listen;

        /// A file that holds the token which every request except /livez must carry. White space around
        /// it is ignored.
        token_file: Option<PathBuf>;

        /// The environment variable that holds the token which every request except /livez must carry.
        token_env: Option<String>;

        /// The longest body of a request, also after it is decoded by its Content-Encoding. A longer one
        /// is refused with 413.
        max_body: ByteSize = mib(16), in kib(1)..=gib(1);

        /// The most entries of one body. More are refused with 413: a request is processed as a whole,
        /// and others wait for it.
        body_entries: usize = 100_000, in 1..=10_000_000;

        /// The longest time a body may take to arrive; a slower one is refused with 408. A client that reads
        /// nothing of a response for so long is disconnected.
        body_timeout: Duration = seconds(20), in millis(100)..=hours(1), was "body_wait";

        /// The longest time that a connection may take to send the head of its next request. It is closed
        /// then, also if it is idle.
        head_timeout: Duration = seconds(10), in millis(100)..=hours(1);

        /// The most open connections. One more closes the connection that has been idle for longest. At
        /// most half of the process's limit on open files is used for them.
        max_connections: usize = 1_024, in 1..=1_000_000;

        /// The most requests served at a time. More are answered 503. /livez, /readyz and /metrics do not
        /// count.
        max_concurrent_requests: usize = 256, in 1..=100_000, was "requests";

        /// The most entries of one page of a list.
        page_entries: usize = 1_000, in 1..=100_000;
    }
}

table! {
    /// The local disk: the embedded store, and what every instance keeps for itself.
    data: Data {
        /// What this instance keeps on its local disk: the embedded store, its plugins' last good
        /// state, its id in the group. It belongs to one running engine; several instances need one
        /// each.
        folder: PathBuf = "pricedrop-data".into();

        /// Memory for blocks read from disk.
        cache: ByteSize = mib(64), in mib(1)..=gib(1_024);

        /// How long dispatched notifications stay readable.
        outbox_retention: Duration = days(7), in minutes(1)..=days(3_650);

        /// How long either store remembers that a delivery arrived. It must be longer than every retry
        /// and the retention of the notifications.
        confirmation_retention: Duration = days(8), in minutes(1)..=days(3_650);
    }
}
