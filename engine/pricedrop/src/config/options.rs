//! Converts the tables into the options of each crate.

use std::path::{Path, PathBuf};

use pricedrop_embedded as embedded;
use pricedrop_host::Limits;
use pricedrop_model::Rules;
use pricedrop_outbound as outbound;
use pricedrop_pipeline::{dispatcher, notifier};

use super::units::to_millis;
use super::{Config, Refused};

/// The folder of the shipped plugins in a checkout of the repository.
const SHIPPED: &str = "plugins/dist";
/// The shipped policy that is active if none is configured.
const SHIPPED_POLICY: &str = "bucketing-floor";

impl Config {
    /// Returns the rules that decide which watches a price fires.
    pub fn matching_rules(&self) -> Rules {
        Rules {
            mode: self.rules.mode,
            first_price: self.rules.first_price,
            dedup_window_ms: to_millis(self.rules.dedup_window),
            hysteresis: self.rules.hysteresis,
            currency: self.rules.currency,
            round_decimals: self.rules.round_decimals,
        }
    }

    /// Returns the folder of the plugins.
    pub fn plugin_folder(&self) -> PathBuf {
        match &self.plugins.folder {
            Some(folder) => folder.clone(),
            None if Path::new(SHIPPED).is_dir() => SHIPPED.into(),
            None => "plugins".into(),
        }
    }

    /// Returns the options of the notifier.
    pub fn notifier_options(&self) -> notifier::Options {
        notifier::Options {
            rules: self.matching_rules(),
            batch_records: self.limits.batch_records,
            commit_watches: self.limits.commit_watches,
            page_rows: self.limits.page_rows,
            audit_sample_rate: self.bucketing.audit_sample_rate,
            fail_open_per_second: self.limits.fail_open_per_second,
            keyed: self.stores.kafka(),
            ..notifier::Options::default()
        }
    }

    /// Returns the options of the embedded store.
    pub fn embedded_options(&self) -> embedded::Options {
        embedded::Options {
            cache_bytes: self.data.cache.bytes(),
            bucket_threshold: self.bucketing.bucket_threshold,
            outbox_retention_ms: to_millis(self.data.outbox_retention),
            confirmation_ms: to_millis(self.data.confirmation_retention),
            intake_records: self.limits.intake_records,
            intake_bytes: self.limits.intake_bytes.in_memory(),
            admission_timeout_ms: to_millis(self.limits.admission_timeout),
            response_timeout_ms: to_millis(self.limits.response_timeout),
            // If the log is in Kafka, the archiver reads its topics instead.
            archived: if self.stores.kafka() { Vec::new() } else { self.archived() },
            ..embedded::Options::new(self.data.folder.clone())
        }
    }

    /// Returns the options of the plugin host.
    pub fn host_options(&self) -> pricedrop_host::Options {
        let table = &self.plugins;
        pricedrop_host::Options {
            folder: self.plugin_folder(),
            data_dir: Some(self.data.folder.join("plugins")),
            bucketing: table.bucketing.clone().or_else(|| self.shipped_policy()),
            throttling: table.throttling.clone(),
            active_policy: None,
            access_check: None,
            reload: table.reload,
            allow_digests: Some(table.allow.clone()).filter(|allowed| !allowed.is_empty()),
            debounce_ms: to_millis(table.debounce),
            poll_ms: to_millis(table.poll),
            limits: Limits {
                cpu_ms: to_millis(table.cpu),
                start_cpu_ms: to_millis(table.start_cpu),
                memory_bytes: table.memory.in_memory(),
                output_bytes: table.output.in_memory(),
                log_lines_per_second: table.log_lines_per_second,
                calls_per_instance: table.calls_per_instance,
                wasm_bytes: table.wasm_size.bytes(),
                ..Limits::default()
            },
        }
    }

    /// Returns the policy to use if neither a folder nor a policy is configured. The repository
    /// ships two policies, and without this choice the host would refuse to start.
    fn shipped_policy(&self) -> Option<String> {
        let shipped = self.plugins.folder.is_none() && Path::new(SHIPPED).is_dir();
        shipped.then(|| SHIPPED_POLICY.to_owned())
    }

    /// Returns the options of the dispatcher.
    pub fn dispatcher_options(&self) -> dispatcher::Options {
        let (table, limits) = (&self.dispatch, &self.limits);
        dispatcher::Options {
            default_channels: table.default_channels.clone(),
            currency: self.rules.currency,
            recheck: table.recheck,
            batch: limits.dispatch_batch,
            window: limits.dispatch_window,
            addresses_per_user: table.addresses_per_user,
            channels: limits.channels,
            channel_queue: limits.channel_queue,
            channel_queue_timeout_ms: to_millis(limits.channel_queue_timeout),
            concurrency: table.concurrency,
            timeout_ms: to_millis(table.timeout),
            lease_ms: to_millis(table.lease),
            max_attempts: table.max_attempts,
            max_age_ms: to_millis(table.max_age),
            backoff_initial_ms: to_millis(table.backoff_initial),
            backoff_max_ms: to_millis(table.backoff_max),
            retry_after_max_ms: to_millis(table.retry_after_max),
            breaker_threshold: table.breaker_threshold,
            breaker_reset_timeout_ms: to_millis(table.breaker_reset_timeout),
            plugin_calls: limits.plugin_calls,
            drain_timeout_ms: to_millis(table.drain_timeout),
            ..dispatcher::Options::default()
        }
    }

    /// Returns the options of outgoing requests and mails.
    pub fn outbound_options(&self) -> outbound::Options {
        outbound::Options {
            ca_file: self.dispatch.ca_file.clone(),
            request_bytes: self.limits.request_bytes.in_memory(),
            response_bytes: self.limits.response_bytes.in_memory(),
            ..outbound::Options::default()
        }
    }

    /// Returns the options of the HTTP API.
    ///
    /// # Errors
    /// The named token cannot be read.
    pub fn http_options(&self) -> Result<pricedrop_http::Options, Refused> {
        let table = &self.http;
        Ok(pricedrop_http::Options {
            listen: table.listen.as_str().to_owned(),
            token: self.token()?,
            max_body: table.max_body.in_memory(),
            body_entries: table.body_entries,
            body_timeout: table.body_timeout,
            head_timeout: table.head_timeout,
            max_connections: table.max_connections,
            max_concurrent_requests: table.max_concurrent_requests,
            page_entries: table.page_entries,
        })
    }
}
