//! Writes JSON.

/// A JSON object being written.
pub struct Object(String);

impl Default for Object {
    fn default() -> Object {
        Object(String::from("{"))
    }
}

impl Object {
    fn name(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.string(name);
        self.0.push(':');
    }

    /// A member that is a text.
    pub fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        self.string(value);
    }

    /// A member that is JSON already.
    pub fn raw(&mut self, name: &str, json: &str) {
        self.name(name);
        self.0.push_str(json);
    }

    /// RFC 8259, section 7; the two line separators too, for receivers that
    /// paste JSON into a script.
    fn string(&mut self, text: &str) {
        self.0.push('"');
        for c in text.chars() {
            match c {
                '"' | '\\' => self.0.extend(['\\', c]),
                c if c < ' ' || matches!(c, '\u{2028}' | '\u{2029}') => {
                    self.0.push_str(&format!("\\u{:04x}", u32::from(c)));
                }
                c => self.0.push(c),
            }
        }
        self.0.push('"');
    }

    /// The object as JSON.
    pub fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_stays_inside_its_string() {
        let mut object = Object::default();
        object.text("a", "x\",\"b\":\"\\y\n\u{2028}é");
        object.raw("n", "0.05");
        assert_eq!(object.end(), r#"{"a":"x\",\"b\":\"\\y\u000a\u2028é","n":0.05}"#);
    }
}
