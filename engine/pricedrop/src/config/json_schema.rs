//! Generates the JSON Schema of the configuration file. Editors use it for completion and
//! validation.

use serde_json::{Map, Value, json};

use super::kafka::PASSED_THROUGH;
use super::tables::{Field, Table, tables};

/// Returns the text of `schema/config.schema.json`. The ranges of durations, and of sizes
/// with a unit, are in the descriptions only.
pub fn json_schema() -> String {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "config",
        "description": "pricedrop.toml, the configuration of pricedrop",
        "type": "object",
        "required": [],
        "properties": properties(tables().iter().map(|table| (table.name, of_table(table)))),
        "additionalProperties": false,
    });
    format!("{schema:#}\n")
}

fn properties(named: impl Iterator<Item = (&'static str, Value)>) -> Map<String, Value> {
    named.map(|(name, schema)| (name.to_owned(), schema)).collect()
}

fn of_table(table: &Table) -> Value {
    if table.name == PASSED_THROUGH {
        let scalars = ["string", "number", "boolean", "object"];
        let property = json!({"type": scalars});
        return json!({"description": table.doc, "type": "object", "additionalProperties": property});
    }
    json!({
        "description": table.doc,
        "type": "object",
        "properties": properties(table.fields.iter().map(|field| (field.key, of_field(field)))),
        "additionalProperties": false,
    })
}

fn of_field(field: &Field) -> Value {
    let mut schema = field.kind.schema.clone();
    schema["description"] = format!("{} Must be {}.", field.doc, field.kind.expected).into();
    if let Some(default) = &field.default {
        schema["default"] = default.clone();
    }
    schema
}

#[cfg(test)]
mod tests {
    use boon::{Compiler, Schemas};

    use super::super::reference::tests::uncommented;
    use super::*;

    /// Returns the errors of a validator; empty: the file is valid.
    fn findings(text: &str) -> String {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        let schema = serde_json::from_str(&json_schema()).expect("it is JSON");
        compiler.add_resource("config.json", schema).expect("it is a schema");
        let compiled = compiler.compile("config.json", &mut schemas).expect("it is a schema");
        let file: Value = toml::from_str(text).expect("it is TOML");
        schemas.validate(&file, compiled).err().map(|error| format!("{error:#}")).unwrap_or_default()
    }

    #[test]
    fn the_schema_accepts_the_example_and_what_the_engine_accepts() {
        assert_eq!(findings(&uncommented()), "");
        assert_eq!(findings(include_str!("../../../../dev/docker/pricedrop-cluster.toml")), "");
        let text = "[rules]\nhysteresis = 0.05\ndedup_window = 0\n[http]\nmax_body = 65_536\n[limits]\n\
                    admission_timeout = \"1m 30s\"\nintake_bytes = \"64 MB\"\n[kafka]\nbootstrap.servers = \"k:9092\"\n";
        assert_eq!(findings(text), "");
    }

    #[test]
    fn the_schema_refuses_unknown_keys_and_wrong_types_words_and_numbers() {
        for wrong in [
            "[rulez]\n",
            "[rules]\nmod = \"once\"\n",
            "[rules]\nmode = \"sometimes\"\n",
            "[rules]\ndedup_window = 24\n",
            "[rules]\ncurrency = \"usd\"\n",
            "[dispatch]\nmax_attempts = 0\n",
            "[dispatch]\nenabled = \"yes\"\n",
            "[http]\nmax_body = \"12 miles\"\n",
            "[archive]\ntopics = [\"prices\"]\n",
        ] {
            assert!(!findings(wrong).is_empty(), "{wrong}");
        }
    }
}
