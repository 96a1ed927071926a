//! Amounts with their unit: sizes in bytes and spans of time, as people write them.

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;
use std::time::Duration;

/// A number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

impl Size {
    /// So many bytes.
    pub const fn bytes(count: u64) -> Self {
        Self(count)
    }

    /// So many times 1,024 bytes.
    pub const fn kib(count: u64) -> Self {
        Self(count << 10)
    }

    /// So many times 1,048,576 bytes.
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    /// The number of bytes, as a length in memory.
    pub const fn get(self) -> usize {
        self.0 as usize
    }

    /// The number of bytes, as a length on disk.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

/// Units of size, the largest first so that writing takes the largest that divides.
const SIZE_UNITS: [(&str, u64); 5] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// Units of time in milliseconds, the largest first.
const TIME_UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// What a size must look like, for messages.
const SIZE_FORM: &str = "a size such as \"256 KiB\" (B, KiB, MiB, GiB) or a number of bytes";

/// What a span of time must look like, for messages.
const TIME_FORM: &str = "a time such as \"60s\" (ms, s, m, h, d) or a number of seconds";

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&written(self.0, &SIZE_UNITS, " "))
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let amount = Amount {
            units: &SIZE_UNITS,
            plain: 1,
            form: SIZE_FORM,
        };
        deserializer.deserialize_any(amount).map(Size)
    }
}

/// `#[serde(with = "span")]` for a [`Duration`].
pub(crate) mod span {
    use super::*;

    /// Writes the span in the largest unit that divides it.
    pub fn serialize<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&written(span.as_millis() as u64, &TIME_UNITS, ""))
    }

    /// Reads `"60s"` or a plain number of seconds.
    pub fn deserialize<'de, D: Deserializer<'de>>(source: D) -> Result<Duration, D::Error> {
        let amount = Amount {
            units: &TIME_UNITS,
            plain: 1_000,
            form: TIME_FORM,
        };
        source.deserialize_any(amount).map(Duration::from_millis)
    }
}

/// Reads a number with one of `units`; a plain number counts in `plain`.
struct Amount {
    units: &'static [(&'static str, u64)],
    plain: u64,
    form: &'static str,
}

impl Visitor<'_> for Amount {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.form)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<u64, E> {
        number
            .checked_mul(self.plain)
            .ok_or_else(|| E::custom(format!("{number} is too large; write {}", self.form)))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<u64, E> {
        match u64::try_from(number) {
            Ok(number) => self.visit_u64(number),
            Err(_) => Err(E::custom(format!(
                "{number} is negative; write {}",
                self.form
            ))),
        }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
        let end = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = (&text[..end], text[end..].trim());
        let unit = match unit {
            "" => Some(self.plain),
            unit => self
                .units
                .iter()
                .find(|(name, _)| *name == unit)
                .map(|(_, size)| *size),
        };
        let amount = number
            .parse()
            .ok()
            .zip(unit)
            .and_then(|(n, unit): (u64, _)| n.checked_mul(unit));
        amount.ok_or_else(|| E::custom(format!("{text:?} is not {}", self.form)))
    }
}

/// The amount in the largest unit that divides it.
fn written(amount: u64, units: &[(&str, u64)], space: &str) -> String {
    let fits = |unit: &&(&str, u64)| amount != 0 && amount.is_multiple_of(unit.1);
    let (name, size) = units.iter().find(fits).unwrap_or(&units[units.len() - 1]);
    format!("{}{space}{name}", amount / size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize, Serialize)]
    struct Both {
        size: Size,
        #[serde(with = "span")]
        time: Duration,
    }

    fn read(size: &str, time: &str) -> Result<Both, String> {
        toml::from_str(&format!("size = {size}\ntime = {time}")).map_err(|e| e.to_string())
    }

    #[test]
    fn units_and_plain_numbers() {
        for (size, bytes) in [
            ("\"256 KiB\"", 262_144),
            ("\"10MiB\"", 10_485_760),
            ("5", 5),
            ("\"7\"", 7),
        ] {
            assert_eq!(read(size, "1").unwrap().size.get(), bytes, "{size}");
        }
        for (time, ms) in [
            ("\"300ms\"", 300),
            ("\"60s\"", 60_000),
            ("\"2 h\"", 7_200_000),
            ("60", 60_000),
        ] {
            assert_eq!(read("1", time).unwrap().time.as_millis(), ms, "{time}");
        }
    }

    #[test]
    fn refused_with_the_form_to_write() {
        for wrong in [
            "\"\"",
            "\"KiB\"",
            "\"5 KB\"",
            "\"-1\"",
            "-1",
            "\"99999999999 TiB\"",
            "1.5",
        ] {
            let error = read(wrong, "1").err().unwrap();
            assert!(error.contains("256 KiB"), "{wrong}: {error}");
        }
        assert!(read("1", "\"5 minutes\"").err().unwrap().contains("60s"));
        assert!(read("1", "18446744073709551").is_ok());
        assert!(read("1", "9223372036854775807").is_err());
    }

    #[test]
    fn written_in_the_largest_unit() {
        assert_eq!(Size::kib(256).to_string(), "256 KiB");
        assert_eq!(Size::mib(1).to_string(), "1 MiB");
        assert_eq!(Size::bytes(10_000).to_string(), "10000 B");
        assert_eq!(Size::bytes(0).to_string(), "0 B");
        assert_eq!(written(90_000, &TIME_UNITS, ""), "90s");
        assert_eq!(written(600_000, &TIME_UNITS, ""), "10m");
    }
}
