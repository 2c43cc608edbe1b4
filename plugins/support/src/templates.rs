//! Templates of messages: the defaults that a channel carries, with the files of
//! `name.d` put over them; chosen by locale, filled in by minijinja.
//!
//! Untrusted text cannot leave its place: a value is one line before it gets into
//! a template, parts named `html` escape it, and a part that must be one line is
//! made one after it was filled in. A template that fails with sample data is a
//! problem of `configure`, so that the host refuses it.

mod context;

pub use context::{Context, Item};

use std::collections::BTreeMap;

use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value, filters, functions,
};

use crate::channel::{Refusal, Template};
use crate::types::{Problem, SettingSpec, Value as SettingValue};
use crate::{Settings, one_line, problem, spec};

/// Instructions that one template may take: no loop runs for ever.
const FUEL: u64 = 100_000;
/// Longest text that a template may make, bytes.
const OUTPUT_BYTES: usize = 256 * 1024;
/// The setting that names the locale to fall back to.
const DEFAULT_LOCALE: &str = "default-locale";

/// A part of a message: its name, and the most characters of one that is one line.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// Such as `subject`.
    pub name: &'static str,
    /// None: it may have several lines.
    pub line_chars: Option<usize>,
}

/// The templates of a channel.
pub struct Templates {
    environment: Environment<'static>,
    parts: &'static [Part],
    default_locale: String,
}

impl Templates {
    /// The setting `default-locale`, as `describe` declares it.
    pub fn default_locale_spec() -> SettingSpec {
        spec(
            DEFAULT_LOCALE,
            "The locale of recipients who have none, or one without templates.",
            SettingValue::Text("en".into()),
        )
    }

    /// The defaults `(locale, part, text)` with the given ones put over them, each
    /// tried with samples that have these texts of the channel.
    ///
    /// # Errors
    /// The setting `default-locale` cannot be read, or every template that fails, and how.
    pub fn new(
        parts: &'static [Part],
        defaults: &[(&str, &str, &str)],
        settings: &Settings,
        given: Vec<Template>,
        texts: &[(&'static str, String)],
    ) -> Result<Templates, Vec<Problem>> {
        let default_locale = settings.text(DEFAULT_LOCALE).map_err(|problem| vec![problem])?;
        let defaults = defaults
            .iter()
            .map(|(locale, part, text)| ((locale.to_string(), part.to_string()), text.to_string()));
        let mut all: BTreeMap<(String, String), String> = defaults.collect();
        all.extend(given.into_iter().map(|it| ((it.locale, it.part), it.text)));
        let mut templates = Templates { environment: environment(), parts, default_locale };
        let mut problems = Vec::new();
        for ((locale, part), text) in all {
            problems.extend(templates.add(&locale, &part, text, texts).err());
        }
        for part in parts {
            if templates.name(None, part.name).is_none() {
                let missing = name_of(&templates.default_locale, part.name);
                problems.push(problem(DEFAULT_LOCALE, format!("there is no {missing} for it")));
            }
        }
        if problems.is_empty() { Ok(templates) } else { Err(problems) }
    }

    fn add(
        &mut self,
        locale: &str,
        part: &str,
        text: String,
        texts: &[(&'static str, String)],
    ) -> Result<(), Problem> {
        let name = name_of(locale, part);
        let problem = |message: String| Problem { name: format!("template {name}"), message };
        if !self.parts.iter().any(|known| known.name == part) {
            let known: Vec<&str> = self.parts.iter().map(|known| known.name).collect();
            return Err(problem(format!(
                "this channel has no part {part}; its parts are {}",
                known.join(", ")
            )));
        }
        let failed = |error: Error| problem(in_words(&error));
        self.environment.add_template_owned(name.clone(), text).map_err(failed)?;
        for sample in samples(texts) {
            self.fill(&name, &sample).map_err(|reason| problem(format!("with sample data: {reason}")))?;
        }
        Ok(())
    }

    /// The part of a message in its recipient's locale.
    ///
    /// # Errors
    /// The template fails with this message, though it did not with the samples.
    pub fn render(&self, part: &str, context: &Context) -> Result<String, Refusal> {
        let name = self
            .name(context.locale.as_deref(), part)
            .ok_or_else(|| Refusal::Permanent(format!("there is no template of {part}")))?;
        let text = self
            .fill(&name, context)
            .map_err(|reason| Refusal::Permanent(format!("template {name}: {reason}")))?;
        let line_chars = self.parts.iter().find(|known| known.name == part).and_then(|it| it.line_chars);
        Ok(match line_chars {
            Some(most) => one_line(&text, most),
            None => text,
        })
    }

    /// The locale, else its language, else the default.
    fn name(&self, locale: Option<&str>, part: &str) -> Option<String> {
        let locale = locale.map(|locale| locale.replace('_', "-"));
        let language = locale.as_deref().and_then(|locale| locale.split('-').next());
        let wanted = [locale.as_deref(), language, Some(self.default_locale.as_str())];
        wanted.into_iter().flatten().find_map(|wanted| {
            let wanted = name_of(wanted, part);
            let mut names = self.environment.templates().map(|(name, _)| name);
            names.find(|name| name.eq_ignore_ascii_case(&wanted)).map(str::to_owned)
        })
    }

    fn fill(&self, name: &str, context: &Context) -> Result<String, String> {
        let template = self.environment.get_template(name).map_err(|error| in_words(&error))?;
        let text = template.render(context.value()).map_err(|error| in_words(&error))?;
        match text.len() > OUTPUT_BYTES {
            true => Err(format!("makes more than {OUTPUT_BYTES} bytes")),
            false => Ok(text),
        }
    }
}

fn name_of(locale: &str, part: &str) -> String {
    format!("{locale}.{part}")
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::empty();
    builtins(&mut environment);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    // An error then knows the expression that failed.
    environment.set_debug(true);
    environment.set_keep_trailing_newline(true);
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_auto_escape_callback(|name| match name.ends_with(".html") {
        true => AutoEscape::Html,
        false => AutoEscape::None,
    });
    environment.set_formatter(write);
    environment
}

/// Writes a value; none writes nothing.
fn write(output: &mut Output<'_>, state: &State<'_, '_>, value: &Value) -> Result<(), Error> {
    if value.is_none() || value.is_undefined() {
        return Ok(());
    }
    match state.auto_escape() {
        AutoEscape::Html if !value.is_safe() => Ok(output.write_str(&escaped(&value.to_string()))?),
        _ => Ok(write!(output, "{value}")?),
    }
}

/// Text for HTML, between tags or in double quotes. Links stay legible: `/` is kept.
fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            c => html.push(c),
        }
    }
    html
}

/// The filters, tests and functions that a message can use. All of minijinja's would
/// make a plugin half as big again.
fn builtins(environment: &mut Environment<'static>) {
    environment.add_filter("default", filters::default);
    environment.add_filter("first", filters::first);
    environment.add_filter("join", filters::join);
    environment.add_filter("last", filters::last);
    environment.add_filter("length", filters::length);
    environment.add_filter("lower", filters::lower);
    environment.add_filter("replace", filters::replace);
    environment.add_filter("trim", filters::trim);
    environment.add_filter("upper", filters::upper);
    environment.add_function("range", functions::range);
}

fn in_words(error: &Error) -> String {
    let what = match error.kind() {
        ErrorKind::OutOfFuel => "takes too long; does a loop never end?".to_owned(),
        ErrorKind::UndefinedError => format!("unknown name {}", name_in(error).unwrap_or_default()),
        kind => format!("{kind}{}", detail(error)),
    };
    error.line().map_or(what.clone(), |line| format!("line {line}: {what}"))
}

/// The expression that failed, as the template writes it.
fn name_in(error: &Error) -> Option<&str> {
    error.template_source()?.get(error.range()?)
}

fn detail(error: &Error) -> String {
    error.detail().map(|detail| format!(": {detail}")).unwrap_or_default()
}

/// Everything there is, only what must be, a digest, and hostile text.
fn samples(texts: &[(&'static str, String)]) -> [Context; 4] {
    let full = Item {
        title: "Red shoes".into(),
        product: "P7".into(),
        price: "$79.90".into(),
        watch_price: Some("$80.00".into()),
        previous_price: Some("$95.00".into()),
        url: Some("https://shop.example/p/7".into()),
    };
    let bare = Item { title: "P7".into(), product: "P7".into(), price: "$79.90".into(), ..Item::default() };
    let hostile = Item { title: "<b>\r\nBcc: x {{ user }}\u{202e}".into(), ..full.clone() };
    let context = |reason, items: Vec<Item>, unsubscribe: Option<&str>| Context {
        user: "ann".into(),
        locale: None,
        reason,
        items,
        unsubscribe_url: unsubscribe.map(str::to_owned),
        texts: texts.to_vec(),
    };
    [
        context("price-drop", vec![full.clone()], Some("https://prices.example/u")),
        context("price-drop", vec![bare.clone()], None),
        context("digest", vec![full, bare, hostile.clone()], Some("https://prices.example/u")),
        context("test", vec![hostile], None),
    ]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::types::Setting;

    const PARTS: &[Part] =
        &[Part { name: "subject", line_chars: Some(100) }, Part { name: "html", line_chars: None }];
    const DEFAULTS: &[(&str, &str, &str)] = &[
        ("en", "subject", "{{ item.title }} now {{ item.price }}"),
        ("de", "subject", "{{ item.title }} jetzt {{ item.price }}"),
        ("en", "html", "<p>{{ item.title }}</p>"),
    ];

    fn with(given: &[(&str, &str, &str)]) -> Result<Templates, Vec<Problem>> {
        let template = |(locale, part, text): &(&str, &str, &str)| Template {
            locale: locale.to_string(),
            part: part.to_string(),
            text: text.to_string(),
        };
        let locale = Setting { name: DEFAULT_LOCALE.into(), value: SettingValue::Text("en".into()) };
        let given = given.iter().map(template).collect();
        Templates::new(PARTS, DEFAULTS, &Settings::new(vec![locale]), given, &[])
    }

    fn refused(given: &[(&str, &str, &str)]) -> String {
        let problems = with(given).err().unwrap();
        assert_eq!(problems.len(), 1, "one template, one problem");
        format!("{}: {}", problems[0].name, problems[0].message)
    }

    fn shoes(title: &str) -> Context {
        let item = Item { title: title.into(), price: "$1".into(), ..Item::default() };
        Context { items: vec![item], ..Context::default() }
    }

    #[test]
    fn a_locale_falls_back_to_its_language_then_to_the_default() {
        let templates = with(&[("de-CH", "subject", "{{ item.title }} nur {{ item.price }}")]).unwrap();
        for (locale, expected) in
            [("de-CH", "A nur $1"), ("de-AT", "A jetzt $1"), ("fr", "A now $1"), ("DE_at", "A jetzt $1")]
        {
            let context = Context { locale: Some(locale.into()), ..shoes("A") };
            assert_eq!(templates.render("subject", &context).unwrap(), expected, "{locale}");
        }
        assert_eq!(templates.render("subject", &shoes("A")).unwrap(), "A now $1");
    }

    #[test]
    fn untrusted_text_stays_in_its_place() {
        let templates = with(&[]).unwrap();
        let hostile = shoes("<b>\r\nBcc: all {{ user }}");
        assert_eq!(templates.render("html", &hostile).unwrap(), "<p>&lt;b&gt; Bcc: all {{ user }}</p>");
        assert_eq!(templates.render("subject", &hostile).unwrap(), "<b> Bcc: all {{ user }} now $1");
        assert_eq!(templates.render("html", &shoes("a/b'\"&")).unwrap(), "<p>a/b&#39;&quot;&amp;</p>");
    }

    #[test]
    fn a_template_that_fails_with_samples_is_refused_by_name_and_line() {
        let unknown = refused(&[("de", "subject", "x\n{{ pric }}")]);
        assert_eq!(unknown, "template de.subject: with sample data: line 2: unknown name pric");
        let nested = refused(&[("de", "html", "{% for it in items %}\n{{ it.pric }}{% endfor %}")]);
        assert_eq!(nested, "template de.html: with sample data: line 2: unknown name it.pric");
        let broken = refused(&[("de", "subject", "{% if %}")]);
        assert!(broken.starts_with("template de.subject: line 1: syntax error"), "{broken}");
        let part = refused(&[("de", "titel", "x")]);
        assert!(part.ends_with("no part titel; its parts are subject, html"), "{part}");
    }

    #[test]
    fn a_template_with_a_loop_that_does_not_end_is_refused() {
        let nested = "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
        let endless = refused(&[("en", "html", nested)]);
        assert!(endless.contains("takes too long"), "{endless}");
    }
}
