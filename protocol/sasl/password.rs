//! Passwords: prepared by the OpaqueString profile (RFC 8265 §4.2), bounded, never shown.

use std::fmt;

use precis_core::{DerivedPropertyValue, FreeformClass, StringClass};
use unicode_normalization::UnicodeNormalization;
use zeroize::{Zeroize, Zeroizing};

/// Longest password in bytes, before and after preparation. What is longer is refused before any
/// hashing, so that no one buys much of our time with one request.
pub const MAX_PASSWORD: usize = 1024;

/// A password in the form that is compared and hashed; wiped from memory when dropped.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

/// Why a string is not a password (RFC 8265 §4.2.2, and our bound).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Nothing, or nothing left after preparation.
    #[error("the password is empty")]
    Empty,
    /// More than [`MAX_PASSWORD`] bytes.
    #[error("the password is longer than 1024 bytes")]
    TooLong,
    /// A control character or another code point outside of the FreeformClass (RFC 8264 §4.3).
    #[error("the password has a character that passwords must not have")]
    Forbidden,
}

impl Password {
    /// Prepares `text` by OpaqueString. Code points that our Unicode tables do not know yet are
    /// allowed, as SASL allows them in what a client presents (RFC 4616 §2): next year's emoji
    /// must not lock anyone out.
    pub fn prepare(text: &str) -> Result<Password, PasswordError> {
        if text.is_empty() {
            return Err(PasswordError::Empty);
        }
        if text.len() > MAX_PASSWORD {
            return Err(PasswordError::TooLong);
        }
        if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            return Ok(Password(Zeroizing::new(text.to_owned())));
        }
        check_class(text)?;
        let prepared: Zeroizing<String> =
            Zeroizing::new(text.chars().map(plain_space).nfc().collect());
        if prepared.len() > MAX_PASSWORD {
            return Err(PasswordError::TooLong);
        }
        Ok(Password(prepared))
    }

    /// The prepared bytes, for hashing only.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// RFC 8265 §4.2.1: only code points of the FreeformClass, contextual rules included.
fn check_class(text: &str) -> Result<(), PasswordError> {
    let class = FreeformClass::default();
    let mut known: String = text
        .chars()
        .map(|c| match class.get_value_from_char(c) {
            // Stands in for the unknown one, so that the context rules see a string they know.
            DerivedPropertyValue::Unassigned if !is_noncharacter(c) => '\u{25a1}',
            _ => c,
        })
        .collect();
    let verdict = class.allows(&known);
    known.zeroize();
    verdict.map_err(|_| PasswordError::Forbidden)
}

/// RFC 8264 §9.7 calls noncharacters disallowed; they will never be assigned.
fn is_noncharacter(c: char) -> bool {
    let code = c as u32;
    (0xfdd0..=0xfdef).contains(&code) || code & 0xfffe == 0xfffe
}

/// RFC 8265 §4.2.2 rule 2: every space of category Zs becomes U+0020.
fn plain_space(c: char) -> char {
    match c {
        '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => {
            ' '
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8265 §4.3, tables 3 and 4, then our own rows.
    #[test]
    fn preparation() {
        let good = [
            (
                "correct horse battery staple",
                "correct horse battery staple",
            ),
            (
                "Correct Horse Battery Staple",
                "Correct Horse Battery Staple",
            ),
            ("πßå", "πßå"),
            ("Jack of ♦s", "Jack of ♦s"),
            ("foo\u{1680}bar", "foo bar"),
            ("foo\u{a0}bar", "foo bar"),
            ("a\u{30a}", "å"),
            ("\u{ff21}", "\u{ff21}"),
            ("\u{1fae0}", "\u{1fae0}"),
            (" ", " "),
        ];
        for (given, prepared) in good {
            let password = Password::prepare(given).unwrap();
            assert_eq!(password.as_bytes(), prepared.as_bytes(), "{given:?}");
            let again = Password::prepare(prepared).unwrap();
            assert_eq!(again.as_bytes(), prepared.as_bytes(), "{given:?} twice");
        }
        let bad = [
            ("", PasswordError::Empty),
            ("my cat is a \tby", PasswordError::Forbidden),
            ("\u{7f}", PasswordError::Forbidden),
            ("a\0", PasswordError::Forbidden),
            ("\u{ffff}", PasswordError::Forbidden),
            ("\u{200b}", PasswordError::Forbidden),
        ];
        for (given, error) in bad {
            assert_eq!(Password::prepare(given).unwrap_err(), error, "{given:?}");
        }
    }

    #[test]
    fn the_bound_holds_before_and_after_preparation() {
        let long = "x".repeat(MAX_PASSWORD);
        assert!(Password::prepare(&long).is_ok());
        let longer = "x".repeat(MAX_PASSWORD + 1);
        assert_eq!(
            Password::prepare(&longer).unwrap_err(),
            PasswordError::TooLong
        );
        // U+FB2C is 3 bytes and decomposes under NFC into three points of 6 bytes.
        let growing = "\u{fb2c}".repeat(MAX_PASSWORD / 3);
        assert_eq!(
            Password::prepare(&growing).unwrap_err(),
            PasswordError::TooLong
        );
    }

    #[test]
    fn debug_shows_nothing() {
        let password = Password::prepare("hunter2").unwrap();
        assert!(!format!("{password:?}").contains("hunter2"));
    }
}
