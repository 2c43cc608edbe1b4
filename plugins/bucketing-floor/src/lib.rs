//! Buckets of equal width: bucket = floor(price / width).

mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/bucketing",
        with: { "pricedrop:types/types@0.1.0": pricedrop_plugin_support::types },
        generate_all,
    });
}
mod floor;

use bindings::exports::pricedrop::bucketing::policy::Guest;
use floor::Floor;
use pricedrop_plugin_support::types::{About, Price, Problem, Setting, Value};
use pricedrop_plugin_support::{Settings, problem, spec};
use std::cell::OnceCell;

thread_local! {
    static FLOOR: OnceCell<Floor> = const { OnceCell::new() };
}

/// The plugin.
pub struct Policy;

impl Guest for Policy {
    fn describe() -> About {
        About {
            id: "bucketing-floor".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "Buckets of equal width: floor(price / width).".into(),
            settings: vec![spec(
                "width",
                "How wide a bucket is, in the currency's units; above 0.",
                Value::Decimal(Price { units: 10, scale: 0 }),
            )],
        }
    }

    fn configure(settings: Vec<Setting>) -> Result<(), Vec<Problem>> {
        let width = Settings::new(settings).decimal("width").map_err(|wrong| vec![wrong])?;
        let floor =
            Floor::new(&width).ok_or_else(|| vec![problem("width", "must be above 0, for example 10")])?;
        FLOOR.with(|cell| cell.set(floor).ok());
        Ok(())
    }

    fn bucket_of(_product: String, units: Vec<i64>, scales: Vec<u8>) -> Vec<i64> {
        FLOOR.with(|cell| {
            let floor = cell.get().expect("the host configures first");
            units.iter().zip(&scales).map(|(&units, &scale)| floor.bucket_of(units, scale)).collect()
        })
    }
}

// The names of exports hold an @, which native linkers take for a version.
#[cfg(target_arch = "wasm32")]
bindings::export!(Policy with_types_in bindings);
