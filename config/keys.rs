//! The keys there are, the keys a layer holds, and the nearest to a wrong one.

use crate::problem::{Origin, Problem};
use crate::settings::Settings;
use std::path::Path;
use toml::Value;
use toml::de::{DeTable, DeValue};

/// Every key with its default, `section.name`.
pub(crate) struct Keys(Vec<(String, Value)>);

/// A key that a layer sets, and where.
pub(crate) struct Set {
    pub key: String,
    pub origin: Origin,
    /// Whether it is only the heading of a group with nothing in it.
    pub heading: bool,
}

impl Set {
    /// A setting, not a heading.
    pub fn new(key: impl Into<String>, origin: Origin) -> Self {
        Set {
            key: key.into(),
            origin,
            heading: false,
        }
    }
}

impl Keys {
    /// The keys of [`Settings`], read off its defaults.
    pub fn new() -> Self {
        let mut keys = vec![];
        if let Ok(table) = toml::Table::try_from(Settings::default()) {
            flatten("", &table, &mut keys);
        }
        Keys(keys)
    }

    /// Keys whose value is a list.
    pub fn lists(&self) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(|(_, default)| default.is_array())
            .map(|(key, _)| key.as_str())
    }

    /// Every key.
    #[cfg(test)]
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(key, _)| key.as_str())
    }

    /// How the default of a key is written.
    pub fn default_of(&self, key: &str) -> Option<String> {
        self.0
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, default)| written(default))
    }

    /// What is wrong with a key itself.
    pub fn fault(&self, set: &Set) -> Option<Problem> {
        let Set {
            key,
            origin,
            heading,
        } = set;
        if self.0.iter().any(|(name, _)| name == key) {
            return None;
        }
        let group = format!("{key}.");
        let (what, advice) = match self.0.iter().find(|(name, _)| name.starts_with(&group)) {
            Some(_) if *heading => return None,
            Some((inner, _)) => (
                "is a group of settings, not a setting",
                format!("set what is in it, such as {}", named_like(origin, inner)),
            ),
            None => (
                "is not a setting",
                format!("did you mean {}?", named_like(origin, self.nearest(key))),
            ),
        };
        Some(Problem {
            origin: origin.clone(),
            key: key.clone(),
            what: what.into(),
            advice,
        })
    }

    /// The key most like a wrong one: spelt nearly the same, or of the same name in another group.
    fn nearest(&self, wrong: &str) -> &str {
        let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
        let distance = |key: &str| {
            let whole = strsim::damerau_levenshtein(key, wrong);
            let name = strsim::damerau_levenshtein(&last(key), &last(wrong));
            whole.min(name + 1)
        };
        let nearest = self.0.iter().min_by_key(|(key, _)| distance(key));
        nearest.map_or("", |(key, _)| key)
    }
}

/// The keys a file sets, with their lines; or what is wrong with its grammar.
pub(crate) fn in_file(path: &Path, text: &str) -> Result<Vec<Set>, Problem> {
    let line = |offset: usize| 1 + text[..offset.min(text.len())].matches('\n').count();
    let origin = |offset| Origin::File(path.to_owned(), Some(line(offset)));
    match DeTable::parse(text) {
        Ok(table) => {
            let mut keys = vec![];
            walk("", table.get_ref(), &mut |key, at, heading| {
                keys.push(Set {
                    key,
                    origin: origin(at),
                    heading,
                });
            });
            Ok(keys)
        }
        Err(error) => Err(Problem {
            origin: origin(error.span().map_or(0, |span| span.start)),
            key: String::new(),
            what: format!("this is not TOML: {}", error.message()),
            advice: "`rookery check-config --sample` prints a file with every setting".into(),
        }),
    }
}

/// The keys that variables set: `ROOKERY__C2S__IDLE` is `c2s.idle`.
pub(crate) fn in_environment(variables: &[(String, String)]) -> Vec<Set> {
    let set = |name: &String| {
        let key = name[VARIABLE_PREFIX.len()..]
            .to_lowercase()
            .replace("__", ".");
        Set::new(key, Origin::Environment(name.clone()))
    };
    variables.iter().map(|(name, _)| set(name)).collect()
}

/// Whether a group's keys are the operator's own, so that the whole group is one setting.
fn is_open(key: &str) -> bool {
    matches!(key, "components" | "dns.overrides" | "s2s.exceptions")
}

/// How the name of every variable begins that is a setting.
pub(crate) const VARIABLE_PREFIX: &str = "ROOKERY__";

/// The key as it is written where the wrong one stands.
fn named_like(origin: &Origin, key: &str) -> String {
    match origin {
        Origin::Environment(_) => {
            format!("{VARIABLE_PREFIX}{}", key.to_uppercase().replace('.', "__"))
        }
        _ => match key.rsplit_once('.') {
            Some((group, name)) => format!("`{name}` in [{group}]"),
            None => format!("`{key}` at the top"),
        },
    }
}

/// Calls `each` with every key that is not a table, the place of its name, and whether it is the
/// heading of an empty table.
fn walk(prefix: &str, table: &DeTable<'_>, each: &mut dyn FnMut(String, usize, bool)) {
    for (name, value) in table {
        let key = format!("{prefix}{}", name.get_ref());
        match value.get_ref() {
            DeValue::Table(inner) if !inner.is_empty() && !is_open(&key) => {
                walk(&format!("{key}."), inner, each)
            }
            other => {
                let heading = other.is_table() && !is_open(&key);
                each(key, name.span().start, heading);
            }
        }
    }
}

fn flatten(prefix: &str, table: &toml::Table, keys: &mut Vec<(String, Value)>) {
    for (name, value) in table {
        match value {
            Value::Table(inner) if !is_open(&format!("{prefix}{name}")) => {
                flatten(&format!("{prefix}{name}."), inner, keys)
            }
            _ => keys.push((format!("{prefix}{name}"), value.clone())),
        }
    }
}

/// A value as the file has it.
fn written(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text:?}"),
        Value::Integer(number) => number.to_string(),
        Value::Boolean(truth) => truth.to_string(),
        Value::Array(items) => {
            format!(
                "[{}]",
                items.iter().map(written).collect::<Vec<_>>().join(", ")
            )
        }
        other => format!("{other:?}"),
    }
}
