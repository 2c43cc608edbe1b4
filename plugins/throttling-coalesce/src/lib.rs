//! Throttles products with frequent updates: evaluates a product at most once per `min-interval`,
//! and skips drops smaller than `min-drop` or `min-drop-percent`.

mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/throttling",
        with: { "pricedrop:types/types@0.1.0": pricedrop_plugin_support::types },
        generate_all,
    });
}
mod coalesce;

use bindings::exports::pricedrop::throttling::policy::{Decided, Guest, Released, Subject, Update};
use coalesce::{Coalesce, Released as Which};
use pricedrop_plugin_support::types::{About, Price, Problem, Setting, Value};
use pricedrop_plugin_support::{Settings, problem, spec};
use std::cell::OnceCell;

const ZERO: Price = Price { units: 0, scale: 0 };

thread_local! {
    static COALESCE: OnceCell<Coalesce> = const { OnceCell::new() };
}

/// The plugin.
pub struct Policy;

fn read(settings: &Settings) -> Result<Coalesce, Problem> {
    let release = match settings.text("release")?.as_str() {
        "last" => Which::Last,
        "lowest" => Which::Lowest,
        other => return Err(problem("release", format!("must be last or lowest, not {other}"))),
    };
    let interval_ms = i64::try_from(settings.millis("min-interval")?)
        .map_err(|_| problem("min-interval", "is longer than time can be counted"))?;
    Coalesce::new(
        interval_ms,
        &settings.decimal("min-drop")?,
        &settings.decimal("min-drop-percent")?,
        release,
    )
    .ok_or_else(|| problem("min-drop-percent", "must be at most 100: no price drops by more"))
}

impl Guest for Policy {
    fn describe() -> About {
        About {
            id: "throttling-coalesce".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "Folds updates that come too soon into one and forgets drops too small to tell.".into(),
            settings: vec![
                spec(
                    "min-interval",
                    "How long after an evaluation the next one waits; updates meanwhile are folded.",
                    Value::Millis(0),
                ),
                spec(
                    "min-drop",
                    "Drops by less than this, in the currency's units, are forgotten.",
                    Value::Decimal(ZERO),
                ),
                spec(
                    "min-drop-percent",
                    "Drops by less than this share of the last evaluated price are forgotten.",
                    Value::Decimal(ZERO),
                ),
                spec(
                    "release",
                    "Which of the folded prices is evaluated: last, or lowest (and then last).",
                    Value::Text("last".into()),
                ),
            ],
        }
    }

    fn configure(settings: Vec<Setting>) -> Result<(), Vec<Problem>> {
        let coalesce = read(&Settings::new(settings)).map_err(|wrong| vec![wrong])?;
        COALESCE.with(|cell| cell.set(coalesce).ok());
        Ok(())
    }

    fn state_formats() -> (u32, Vec<u32>) {
        // Nothing is kept: what the host says of a product is enough.
        (1, vec![1])
    }

    fn decide(updates: Vec<Update>) -> Vec<Decided> {
        COALESCE.with(|cell| {
            let coalesce = cell.get().expect("the host configures first");
            let decided = |update| Decided { decision: coalesce.decide(update), bytes: None };
            updates.iter().map(decided).collect()
        })
    }

    fn due(subjects: Vec<Subject>, now_ms: i64) -> Vec<Released> {
        COALESCE.with(|cell| {
            let coalesce = cell.get().expect("the host configures first");
            let released = |subject| Released { release: coalesce.due(subject, now_ms), bytes: None };
            subjects.iter().map(released).collect()
        })
    }
}

// The names of exports hold an @, which native linkers take for a version.
#[cfg(target_arch = "wasm32")]
bindings::export!(Policy with_types_in bindings);
