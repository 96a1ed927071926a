//! Records: a version byte and the bincode 1.3.3 of that version's struct.
//!
//! bincode alone cannot evolve: it takes new bytes for an old struct silently and fails on a
//! field that was added. So each record names its version, refuses trailing bytes, is tested
//! against golden bytes, and old versions are upgraded as they are read.

use bincode::Options;
use serde::{Serialize, de::DeserializeOwned};

use crate::frame::MAX_VALUE;

/// What a row holds.
///
/// ```
/// use rookery_storage::record::{self, Record};
///
/// #[derive(serde::Serialize, serde::Deserialize, PartialEq, Debug)]
/// struct Nick {
///     text: String,
///     changed: u64,
/// }
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct NickV1 {
///     text: String,
/// }
///
/// impl Record for Nick {
///     const VERSION: u8 = 2;
///
///     fn upgrade(version: u8, body: &[u8]) -> Option<Nick> {
///         match version {
///             1 => record::body::<NickV1>(body).map(|old| Nick { text: old.text, changed: 0 }),
///             _ => None,
///         }
///     }
/// }
///
/// let old = [1, 3, b'B', b'o', b'b'];
/// assert_eq!(record::decode::<Nick>(&old).unwrap(), Nick { text: "Bob".into(), changed: 0 });
/// ```
pub trait Record: Serialize + DeserializeOwned {
    /// The version that is written. Raise it with every change of the struct.
    const VERSION: u8;

    /// Reads the body of an older version; [`body`] decodes the struct that it had then.
    fn upgrade(version: u8, body: &[u8]) -> Option<Self> {
        let _ = (version, body);
        None
    }
}

/// Why bytes are not the record, or a record cannot become bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// No version byte.
    #[error("an empty record")]
    Empty,
    /// A version that neither is current nor can be upgraded; a newer program wrote it, perhaps.
    #[error("a record of version {found}, known is {known}")]
    Version {
        /// The version byte.
        found: u8,
        /// The version of the type.
        known: u8,
    },
    /// The body does not fit the struct: too short, too long, or out of its values.
    #[error("a record that cannot be read")]
    Unreadable,
    /// Longer than a value may be.
    #[error("a record over the bound of a value")]
    TooLarge,
    /// A key that is not of the table's key type.
    #[error("a key that cannot be read")]
    Key,
}

/// The bytes of a record.
pub fn encode<R: Record>(record: &R) -> Result<Vec<u8>, RecordError> {
    let size = codec().serialized_size(record);
    let size = size.map_err(|_| RecordError::TooLarge)?;
    let mut bytes = Vec::with_capacity(1 + size as usize);
    bytes.push(R::VERSION);
    let written = codec().serialize_into(&mut bytes, record);
    written.map_err(|_| RecordError::TooLarge)?;
    Ok(bytes)
}

/// The record of the bytes, upgraded if they are old.
pub fn decode<R: Record>(bytes: &[u8]) -> Result<R, RecordError> {
    let (version, rest) = bytes.split_first().ok_or(RecordError::Empty)?;
    if *version == R::VERSION {
        return body(rest).ok_or(RecordError::Unreadable);
    }
    R::upgrade(*version, rest).ok_or(RecordError::Version {
        found: *version,
        known: R::VERSION,
    })
}

/// A bare struct from the body of a record: for [`Record::upgrade`].
pub fn body<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    codec().deserialize(bytes).ok()
}

fn codec() -> impl Options {
    bincode::DefaultOptions::new()
        .with_limit(MAX_VALUE as u64 - 1)
        .with_varint_encoding()
        .with_little_endian()
        .reject_trailing_bytes()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Contact {
        name: String,
        groups: Vec<String>,
        approved: bool,
        seen: u64,
    }

    #[derive(Serialize, Deserialize)]
    struct ContactV1 {
        name: String,
        approved: bool,
    }

    impl Record for Contact {
        const VERSION: u8 = 2;

        fn upgrade(version: u8, bytes: &[u8]) -> Option<Contact> {
            let old: ContactV1 = if version == 1 {
                body(bytes)?
            } else {
                return None;
            };
            Some(Contact {
                name: old.name,
                groups: vec![],
                approved: old.approved,
                seen: 0,
            })
        }
    }

    fn contact() -> Contact {
        Contact {
            name: "Eve".into(),
            groups: vec!["w".into()],
            approved: true,
            seen: 70_000,
        }
    }

    /// If this fails, the format on every disk out there has changed: raise a version instead.
    const GOLDEN: [u8; 14] = [
        2, 3, b'E', b'v', b'e', 1, 1, b'w', 1, 252, 0x70, 0x11, 0x01, 0x00,
    ];

    #[test]
    fn golden_bytes() {
        assert_eq!(encode(&contact()).unwrap(), GOLDEN);
        assert_eq!(decode::<Contact>(&GOLDEN).unwrap(), contact());
    }

    #[test]
    fn old_versions_are_upgraded() {
        let old = decode::<Contact>(&[1, 3, b'E', b'v', b'e', 1]).unwrap();
        assert_eq!(
            old,
            Contact {
                name: "Eve".into(),
                groups: vec![],
                approved: true,
                seen: 0
            }
        );
    }

    #[test]
    fn every_other_length_is_refused() {
        for end in 1..GOLDEN.len() {
            let cut = decode::<Contact>(&GOLDEN[..end]);
            assert_eq!(cut, Err(RecordError::Unreadable), "cut at {end}");
        }
        let longer = [&GOLDEN[..], &[0]].concat();
        assert_eq!(decode::<Contact>(&longer), Err(RecordError::Unreadable));
        assert_eq!(decode::<Contact>(&[]), Err(RecordError::Empty));
        let newer = decode::<Contact>(&[3, 0]);
        assert_eq!(newer, Err(RecordError::Version { found: 3, known: 2 }));
    }

    #[test]
    fn a_length_that_lies_allocates_nothing() {
        let lie = [2, 253, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
        assert_eq!(decode::<Contact>(&lie), Err(RecordError::Unreadable));
    }

    #[test]
    fn a_record_over_the_bound_of_a_value_is_refused() {
        let long = Contact {
            name: "x".repeat(MAX_VALUE),
            ..contact()
        };
        assert_eq!(encode(&long), Err(RecordError::TooLarge));
    }
}
