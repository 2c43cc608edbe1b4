//! Buckets of equal ratio: the width of a bucket is proportional to its prices.

mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/bucketing",
        with: { "pricedrop:types/types@0.1.0": pricedrop_plugin_support::types },
        generate_all,
    });
}
mod ladder;

use bindings::exports::pricedrop::bucketing::policy::Guest;
use ladder::Ladder;
use pricedrop_plugin_support::types::{About, Price, Problem, Setting, Value};
use pricedrop_plugin_support::{Settings, problem, spec};
use std::cell::OnceCell;

thread_local! {
    static LADDER: OnceCell<Ladder> = const { OnceCell::new() };
}

/// The plugin.
pub struct Policy;

impl Guest for Policy {
    fn describe() -> About {
        About {
            id: "bucketing-log".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "Buckets of equal ratio: each begins a fixed factor above the one below.".into(),
            settings: vec![
                spec(
                    "ratio",
                    "How many times higher a bucket begins than the one below; 1.001 to 100.",
                    Value::Decimal(Price { units: 11, scale: 1 }),
                ),
                spec(
                    "base",
                    "Where bucket 1 begins; lower prices share bucket 0. Above 0.",
                    Value::Decimal(Price { units: 1, scale: 0 }),
                ),
            ],
        }
    }

    fn configure(settings: Vec<Setting>) -> Result<(), Vec<Problem>> {
        let settings = Settings::new(settings);
        let ratio = settings.decimal("ratio").map_err(|wrong| vec![wrong])?;
        let base = settings.decimal("base").map_err(|wrong| vec![wrong])?;
        let ladder = Ladder::new(&base, &ratio).map_err(|(name, message)| vec![problem(name, message)])?;
        LADDER.with(|cell| cell.set(ladder).ok());
        Ok(())
    }

    fn bucket_of(_product: String, units: Vec<i64>, scales: Vec<u8>) -> Vec<i64> {
        LADDER.with(|cell| {
            let ladder = cell.get().expect("the host configures first");
            units
                .into_iter()
                .zip(scales)
                .map(|(units, scale)| ladder.bucket_of(&Price { units, scale }))
                .collect()
        })
    }
}

// The names of exports hold an @, which native linkers take for a version.
#[cfg(target_arch = "wasm32")]
bindings::export!(Policy with_types_in bindings);
