//! `pricedrop offsets`: sets the group's offsets if they differ from those stored with the states.

use std::io::Write;

use pricedrop_kafka as kafka;
use pricedrop_kafka::{Accepted, Difference};
use pricedrop_model::Partition;

use crate::cli::{self, OffsetTarget};
use crate::config::{Config, key};
use crate::remedies;
use crate::report::CliError;

/// Runs the subcommand.
///
/// # Errors
/// Kafka is unavailable, or refuses.
pub fn execute(config: &Config, args: &cli::Offsets) -> Result<(), CliError> {
    super::needs(config.stores.kafka(), key!(stores.log), "kafka")?;
    let cli::Offsets::Set { partition, at, shadow } = args;
    let settings = config.kafka_settings(*shadow)?;
    let mut differences = kafka::differences(&settings).map_err(remedies::kafka)?;
    differences.retain(|difference| partition.is_none_or(|only| difference.partition == Partition(only)));
    let mut out = anstream::stdout();
    if differences.is_empty() {
        writeln!(out, "offsets and states agree; nothing was set")?;
        return Ok(());
    }
    for difference in &differences {
        let only = Some(vec![difference.partition]);
        let accepted =
            kafka::accept(&settings, only, target_offset(difference, *at)).map_err(remedies::kafka)?;
        for (_, offset) in accepted {
            writeln!(out, "{}", describe(&settings.topics.prices, difference, offset))?;
        }
    }
    Ok(())
}

/// Returns where to continue: at the group's offset or that of the states, if the log still has
/// it; at the end of the log for `latest`; else at its start.
fn target_offset(difference: &Difference, at: OffsetTarget) -> Accepted {
    let (low, high) = difference.log;
    let wished = match at {
        OffsetTarget::Group => difference.committed.or(difference.stored),
        OffsetTarget::States => difference.stored.or(difference.committed),
        OffsetTarget::Earliest => None,
        OffsetTarget::Latest => return Accepted::Latest,
    };
    wished.filter(|offset| (low..=high).contains(offset)).map_or(Accepted::Earliest, Accepted::Offset)
}

fn describe(topic: &str, difference: &Difference, accepted: i64) -> String {
    let effect = match difference.stored {
        Some(stored) if accepted > stored => format!("{} records are skipped", accepted - stored),
        Some(stored) if accepted < stored => format!("{} records are decided again", stored - accepted),
        Some(_) => "nothing is skipped or repeated".into(),
        None => "products are decided as if seen for the first time".into(),
    };
    format!("{topic}[{}]: continues at offset {accepted}; {effect} ({difference})", difference.partition.0)
}
