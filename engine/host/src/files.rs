//! The files of one plugin, as read: `name.wasm`, the optional sidecar `name.toml`,
//! and for a channel the optional templates in the folder `name.d`.

use std::collections::BTreeMap;

use crate::contract::Template;
use crate::digest::Digest;

/// The complete content of the files of one plugin.
#[derive(Debug, Clone)]
pub(crate) struct PluginFiles {
    pub(crate) stem: String,
    pub(crate) wasm: Vec<u8>,
    pub(crate) sidecar: Option<String>,
    /// The templates by file name, `<locale>.<part>`.
    pub(crate) templates: BTreeMap<String, String>,
}

impl PluginFiles {
    /// Hashes all files: a changed template makes a new generation.
    pub(crate) fn digest(&self) -> Digest {
        let sidecar = self.sidecar.as_deref().unwrap_or_default();
        let mut parts = vec![self.wasm.as_slice(), sidecar.as_bytes()];
        for (name, text) in &self.templates {
            parts.extend([name.as_bytes(), text.as_bytes()]);
        }
        Digest::of(&parts)
    }

    pub(crate) fn wasm_file(&self) -> String {
        format!("{}.wasm", self.stem)
    }

    pub(crate) fn sidecar_file(&self) -> String {
        format!("{}.toml", self.stem)
    }

    pub(crate) fn template_folder(&self) -> String {
        template_folder(&self.stem)
    }

    /// Returns the templates by locale and part.
    pub(crate) fn templates(&self) -> Vec<Template> {
        let read = |(name, text): (&String, &String)| {
            let (locale, part) = locale_and_part(name)?;
            Some(Template { locale: locale.to_owned(), part: part.to_owned(), text: text.clone() })
        };
        self.templates.iter().filter_map(read).collect()
    }
}

/// Returns the name of a plugin's template folder.
pub(crate) fn template_folder(stem: &str) -> String {
    format!("{stem}.d")
}

/// Splits a template's file name: `de-CH.subject` is the part `subject` for `de-CH`.
pub(crate) fn locale_and_part(name: &str) -> Option<(&str, &str)> {
    let (locale, part) = name.split_once('.')?;
    let is_name = |text: &str| {
        (1..=64).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    (is_name(locale) && is_name(part)).then_some((locale, part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_named_by_locale_and_part() {
        assert_eq!(locale_and_part("de-CH.subject"), Some(("de-CH", "subject")));
        for wrong in ["subject", ".subject", "de.", "de.subject.bak", "de.sub ject", "de.subject~"] {
            assert_eq!(locale_and_part(wrong), None, "{wrong}");
        }
    }
}
