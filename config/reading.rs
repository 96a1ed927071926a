//! How lists and optional paths are read.

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt::{self, Display};
use std::marker::PhantomData;
use std::path::PathBuf;
use std::str::FromStr;

/// Reads a list; empty texts are left out, so that an empty variable is an empty list.
pub(crate) fn list<'de, D, T>(source: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    source.deserialize_any(List(PhantomData))
}

/// Reads texts, each into a `T`.
struct List<T>(PhantomData<T>);

impl<'de, T: FromStr<Err: Display>> Visitor<'de> for List<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a list of texts")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<T>, E> {
        Err(E::custom(format!(
            "one text stands where a list belongs; write a list: [{text:?}]"
        )))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut texts: A) -> Result<Vec<T>, A::Error> {
        let mut items = vec![];
        while let Some(text) = texts.next_element::<String>()? {
            let text = text.trim();
            if !text.is_empty() {
                let item = text.parse::<T>();
                items.push(item.map_err(|e| de::Error::custom(format!("{text:?}: {e}")))?);
            }
        }
        Ok(items)
    }
}

/// A path, or empty text for none.
pub(crate) mod path_or_empty {
    use super::*;

    pub fn serialize<S: Serializer>(path: &Option<PathBuf>, to: S) -> Result<S::Ok, S::Error> {
        path.clone().unwrap_or_default().serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PathBuf>, D::Error> {
        Ok(Some(PathBuf::deserialize(from)?).filter(|path| !path.as_os_str().is_empty()))
    }
}
