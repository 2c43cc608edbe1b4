//! The fields as the options of each crate.

use std::path::{Path, PathBuf};

use pricedrop_embedded as embedded;
use pricedrop_host::Limits;
use pricedrop_model::{FirstPrice, Mode, Rules};
use pricedrop_outbound as outbound;
use pricedrop_pipeline::{dispatcher, notifier};

use super::{Config, Refused};

/// Where a checkout of the repository has the plugins it ships.
const SHIPPED: &str = "plugins/dist";
/// Of those, the policy that serves where none is named.
const SHIPPED_POLICY: &str = "bucketing-floor";

impl Config {
    /// `[rules]`.
    pub fn rules(&self) -> Rules {
        Rules {
            mode: self.text("rules.mode").and_then(Mode::from_name).unwrap_or(Mode::EveryDrop),
            first_price: match self.text("rules.first_price") {
                Some("baseline") => FirstPrice::Baseline,
                _ => FirstPrice::Notify,
            },
            dedup_window_ms: self.millis("rules.dedup_window"),
            hysteresis: self.share("rules.hysteresis"),
            currency: self.currency("rules.currency"),
        }
    }

    /// Where the plugins lie.
    pub fn plugin_folder(&self) -> PathBuf {
        match self.text("plugins.folder") {
            Some(folder) => folder.into(),
            None if PathBuf::from(SHIPPED).is_dir() => SHIPPED.into(),
            None => "plugins".into(),
        }
    }

    /// Where the embedded store lies.
    pub fn data_folder(&self) -> PathBuf {
        self.text("data.folder").unwrap_or_default().into()
    }

    /// How the notifier works.
    pub fn notifier(&self) -> notifier::Options {
        notifier::Options {
            rules: self.rules(),
            batch_records: self.size("limits.batch_records"),
            commit_watches: self.size("limits.commit_watches"),
            page_rows: self.size("limits.page_rows"),
            audit_one_in: self.number("bucketing.audit_one_in"),
            fail_open_per_second: self.small("limits.fail_open_per_second"),
            keyed: self.stores().kafka,
            ..notifier::Options::default()
        }
    }

    /// How the embedded store works.
    pub fn embedded(&self) -> embedded::Options {
        embedded::Options {
            cache_bytes: self.number("data.cache"),
            watchers_above: self.number("bucketing.watchers_above"),
            outbox_retention_ms: self.millis("data.outbox_retention"),
            confirmation_ms: self.millis("data.confirmation_retention"),
            intake_records: self.size("limits.intake_records"),
            intake_bytes: self.size("limits.intake_bytes"),
            intake_wait_ms: self.number("limits.intake_wait"),
            answer_wait_ms: self.number("limits.answer_wait"),
            // With a log in Kafka, the topics there are archived.
            archived: if self.stores().kafka { Vec::new() } else { self.archived() },
            ..embedded::Options::new(self.data_folder())
        }
    }

    /// How plugins are loaded.
    pub fn host(&self) -> pricedrop_host::Options {
        pricedrop_host::Options {
            folder: self.plugin_folder(),
            data_dir: Some(self.data_folder().join("plugins")),
            bucketing: self.text("plugins.bucketing").map(str::to_owned).or_else(|| self.shipped_policy()),
            throttling: self.text("plugins.throttling").map(str::to_owned),
            active_policy: None,
            reload: self.flag("plugins.reload"),
            allow_digests: Some(self.texts("plugins.allow").to_vec()).filter(|allowed| !allowed.is_empty()),
            settle_ms: self.number("plugins.settle"),
            poll_ms: self.number("plugins.poll"),
            limits: Limits {
                cpu_ms: self.number("plugins.cpu"),
                start_cpu_ms: self.number("plugins.start_cpu"),
                memory_bytes: self.size("plugins.memory"),
                output_bytes: self.size("plugins.output"),
                log_lines_per_second: self.small("plugins.log_lines_per_second"),
                calls_per_instance: self.number("plugins.calls_per_instance"),
                wasm_bytes: self.number("plugins.wasm_size"),
                ..Limits::default()
            },
        }
    }

    /// The repository ships two policies: nobody who named neither a folder
    /// nor a policy should have to choose.
    fn shipped_policy(&self) -> Option<String> {
        let shipped = self.get("plugins.folder").is_none() && Path::new(SHIPPED).is_dir();
        shipped.then(|| SHIPPED_POLICY.to_owned())
    }

    /// How notifications are delivered.
    pub fn dispatcher(&self) -> dispatcher::Options {
        dispatcher::Options {
            default_channels: self.texts("dispatch.default_channels").to_vec(),
            currency: self.currency("rules.currency"),
            recheck: self.flag("dispatch.recheck"),
            batch: self.size("limits.dispatch_batch"),
            window: self.size("limits.dispatch_window"),
            addresses_per_user: self.size("dispatch.addresses_per_user"),
            channels: self.size("limits.channels"),
            lane_queue: self.size("limits.channel_queue"),
            lane_patience_ms: self.number("limits.channel_patience"),
            concurrency: self.small("dispatch.concurrency"),
            timeout_ms: self.number("dispatch.timeout"),
            lease_ms: self.number("dispatch.lease"),
            attempts: self.small("dispatch.attempts"),
            give_up_after_ms: self.number("dispatch.give_up_after"),
            backoff_first_ms: self.number("dispatch.backoff_first"),
            backoff_longest_ms: self.number("dispatch.backoff_longest"),
            retry_after_longest_ms: self.number("dispatch.retry_after_longest"),
            breaker_failures: self.small("dispatch.breaker_failures"),
            breaker_open_ms: self.number("dispatch.breaker_open"),
            plugin_calls: self.size("limits.plugin_calls"),
            drain_ms: self.number("dispatch.drain"),
            ..dispatcher::Options::default()
        }
    }

    /// How the outside is reached.
    pub fn outbound(&self) -> outbound::Options {
        outbound::Options {
            ca_file: self.text("dispatch.ca_file").map(Into::into),
            request_bytes: self.size("limits.request_bytes"),
            response_bytes: self.size("limits.response_bytes"),
            ..outbound::Options::default()
        }
    }

    /// How the API is served.
    ///
    /// # Errors
    /// The token is named and cannot be had.
    pub fn http(&self) -> Result<pricedrop_http::Options, Refused> {
        Ok(pricedrop_http::Options {
            listen: self.text("http.listen").unwrap_or_default().to_owned(),
            token: self.token()?,
            max_body: self.size("http.max_body"),
            body_entries: self.size("http.body_entries"),
            body_wait: std::time::Duration::from_millis(self.number("http.body_wait")),
            requests: self.size("http.requests"),
            page_entries: self.size("http.page_entries"),
        })
    }

    /// A span; its field's range fits.
    fn millis(&self, name: &str) -> i64 {
        self.number(name) as i64
    }

    /// A number; its field's range fits.
    fn small(&self, name: &str) -> u32 {
        self.number(name) as u32
    }

    /// A number that counts things in memory; its field's range fits.
    pub(super) fn size(&self, name: &str) -> usize {
        self.number(name) as usize
    }
}
