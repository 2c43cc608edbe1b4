//! Generates the complete example file and the reference page from the tables.

use std::fmt::Write as _;

use super::kafka::PASSED_THROUGH;
use super::tables::{Field, Table, tables};

const WIDTH: usize = 78;

/// Returns a complete file with every key at its default, commented out.
pub fn example() -> String {
    let mut out = String::from(
        "# pricedrop.toml: every key with its default. Uncomment what you change;\n\
         # an environment variable PRICEDROP_<TABLE>__<KEY> overrides the file.\n",
    );
    for table in tables() {
        let _ = writeln!(out);
        comment(&mut out, &table.doc);
        let _ = writeln!(out, "[{}]", table.name);
        if table.name == PASSED_THROUGH {
            out.push_str(CONNECTIONS);
        }
        for field in &table.fields {
            let _ = writeln!(out);
            comment(&mut out, &field.doc);
            let _ = match field.default_as_toml() {
                Some(default) => writeln!(out, "# {} = {default}", field.key),
                None => writeln!(out, "# {} = ...   # {}; not set", field.key, field.kind.label),
            };
        }
    }
    out.push_str(SIDECAR);
    out
}

/// Common settings for connecting to Kafka.
const CONNECTIONS: &str = r#"
# "bootstrap.servers" = "kafka-1:9093,kafka-2:9093"
# "security.protocol" = "SASL_SSL"
# "ssl.ca.location" = "/etc/pricedrop/kafka-ca.pem"
# "sasl.mechanism" = "SCRAM-SHA-512"
# "sasl.username" = "pricedrop"
# "sasl.password_file" = "/run/secrets/kafka"
"#;

/// An example of a sidecar, the file `name.toml` beside a plugin's `name.wasm`.
const SIDECAR: &str = r#"
# ---------------------------------------------------------------------------
# A plugin's sidecar, `name.toml` beside `name.wasm`. It is a file of its own.
#
# hosts = ["hooks.example.com", "127.0.0.1:9000"]   # channels: nothing else is reached
# rate_per_second = 50        # deliveries of this channel
# concurrency = 16            # its requests in flight
# timeout_ms = 10000          # of one request
#
# [settings]                  # what the plugin declares; see its README
# width = "10"
#
# [limits]                    # of this plugin alone
# cpu_ms = 200
# memory_bytes = 67108864
#
# [credentials.hook]          # by name; the secret never enters the plugin
# hosts = ["hooks.example.com"]
# scheme = "bearer"           # or "basic" (username, password), "hmac" (key, header)
# token = { env = "HOOK_TOKEN" }   # or { file = "/run/secrets/hook" }
#
# [mail]                      # the account of a channel that answers with mail
# from = "Prices <prices@example.com>"
# host = "smtp.example.com"
# port = 587
# tls = "starttls"            # or "implicit", "none"
# username = "prices"
# password = { file = "/run/secrets/smtp" }
"#;

fn comment(out: &mut String, text: &str) {
    let mut line = String::from("#");
    for word in text.split_whitespace() {
        if line.len() + 1 + word.len() > WIDTH {
            let _ = writeln!(out, "{line}");
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    let _ = writeln!(out, "{line}");
}

/// Returns the text of `docs/config.md`.
pub fn markdown() -> String {
    let mut out = String::from(
        "# Configuration\n\n\
         <!-- Generated from engine/pricedrop/src/config/tables/. -->\n\n\
         `pricedrop` needs no configuration. Everything below has a default; a TOML file given with\n\
         `--config` (or `PRICEDROP_CONFIG`) changes it, and an environment variable named\n\
         `PRICEDROP_<TABLE>__<KEY>` overrides the file. Unknown keys are refused.\n\
         `pricedrop config example` prints a complete file, `pricedrop config check` checks yours and\n\
         prints every problem with its place. `pricedrop config schema` prints a JSON Schema, which is also in\n\
         `schema/config.schema.json`: editors that use Taplo complete and check a file whose first line is\n\
         `#:schema config.schema.json`, with the path of the schema.\n\n\
         Durations are written `\"500ms\"`, `\"90s\"`, `\"24h\"`; sizes `\"64MiB\"`, `\"1GB\"`; lists in a\n\
         variable as `a,b`. Paths are relative to the working directory.\n",
    );
    for Table { name, doc, fields } in tables() {
        let _ = write!(out, "\n## [{name}]\n\n{doc}\n\n");
        if *name == PASSED_THROUGH {
            let _ = write!(out, "```toml\n[{name}]{}```\n", CONNECTIONS.replace("\n# ", "\n"));
            continue;
        }
        out.push_str("| Key | Type | Default | What it does |\n|---|---|---|---|\n");
        fields.iter().for_each(|field| row(&mut out, field));
    }
    out.push_str("\n## A plugin's sidecar\n\n`name.toml` beside `name.wasm`:\n\n```toml\n");
    for line in SIDECAR.lines().skip(4) {
        let _ = writeln!(out, "{}", line.trim_start_matches('#').strip_prefix(' ').unwrap_or(""));
    }
    out.push_str("```\n");
    out
}

fn row(out: &mut String, field: &Field) {
    let default = field.default_as_toml().map_or("not set".into(), |text| format!("`{text}`"));
    let expected = field.kind.expected.replace('|', "\\|");
    let _ = writeln!(
        out,
        "| `{}` | {} | {default} | {} Must be {expected}. `{}` |",
        field.key,
        field.kind.label,
        field.doc.replace('|', "\\|"),
        field.variable()
    );
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use super::super::{Config, fields};
    use super::*;
    use std::path::Path;

    /// Returns the example with every default uncommented.
    pub fn uncommented() -> String {
        let example = example();
        let (config, _) = example.split_once("# -----").unwrap();
        let line = |line: &str| match line.strip_prefix("# ") {
            Some(rest) if rest.contains(" = ") && !rest.contains("...") && !rest.starts_with('"') => {
                format!("{rest}\n")
            }
            _ => format!("{line}\n"),
        };
        config.lines().map(line).collect()
    }

    #[test]
    fn the_example_with_every_default_uncommented_is_accepted() {
        let read = Config::read(Some((Path::new("x.toml"), &uncommented())), std::iter::empty()).unwrap();
        let (file, written) = (read.file.clone(), read.written.clone());
        let with_default = fields().filter(|field| field.default.is_some()).map(|field| field.name);
        assert_eq!(written, with_default.collect());
        assert_eq!(read, Config { file, written, ..Config::default() });
    }

    #[test]
    fn every_table_and_every_key_is_explained_in_sentences() {
        for table in tables() {
            assert!(table.doc.ends_with('.'), "{}", table.name);
        }
        for field in fields() {
            assert!(field.doc.ends_with('.'), "{}", field.name);
        }
    }
}
