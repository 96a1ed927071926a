//! Character data on its way out and in: escapes, references, line ends (XML 1.0 §2.11, §3.3.3).

use std::borrow::Cow;

use super::XmlError;
use crate::framer::ordinary;

/// Whether XML 1.0 §2.2 allows the character in a document.
pub(crate) fn is_xml_char(c: char) -> bool {
    !matches!(c,
        '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')
}

/// Appends text as character data. What XML cannot carry at all becomes U+FFFD.
pub fn escape_text(text: &str, out: &mut Vec<u8>) {
    escape(text, out, |byte| match byte {
        b'&' => Some(b"&amp;"),
        b'<' => Some(b"&lt;"),
        b'>' => Some(b"&gt;"),
        b'\r' => Some(b"&#13;"),
        _ => None,
    });
}

/// Appends text as an attribute's value for either kind of quote.
pub fn escape_attr(text: &str, out: &mut Vec<u8>) {
    escape(text, out, |byte| match byte {
        b'&' => Some(b"&amp;"),
        b'<' => Some(b"&lt;"),
        b'>' => Some(b"&gt;"),
        b'\'' => Some(b"&apos;"),
        b'"' => Some(b"&quot;"),
        b'\t' => Some(b"&#9;"),
        b'\n' => Some(b"&#10;"),
        b'\r' => Some(b"&#13;"),
        _ => None,
    });
}

/// Bytes that somewhere are, or begin, what is replaced: most text has none.
const DOUBTFUL: [bool; 256] = {
    let mut doubtful = [false; 256];
    let mut control = 0;
    while control < 0x20 {
        doubtful[control] = true;
        control += 1;
    }
    let mut others = b"&<>'\"\xef".as_slice();
    while let [byte, rest @ ..] = others {
        doubtful[*byte as usize] = true;
        others = rest;
    }
    doubtful
};

fn escape(text: &str, out: &mut Vec<u8>, escaped: impl Fn(u8) -> Option<&'static [u8]>) {
    const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();
    let bytes = text.as_bytes();
    let is_doubtful = |byte: &u8| DOUBTFUL[usize::from(*byte)];
    let Some(mut at) = bytes.iter().position(is_doubtful) else {
        return out.extend_from_slice(bytes);
    };
    let mut plain = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        let mut width = 1;
        let replaced = match byte {
            b'\t' | b'\n' | b'\r' | b' '..=b'~' => escaped(byte),
            0..=0x1f => Some(REPLACEMENT),
            // U+FFFE and U+FFFF are EF BF BE and EF BF BF.
            0xef if bytes[at + 1..].starts_with(&[0xbf]) && bytes[at + 2] >= 0xbe => {
                width = 3;
                Some(REPLACEMENT)
            }
            _ => None,
        };
        if let Some(replaced) = replaced {
            out.extend_from_slice(&bytes[plain..at]);
            out.extend_from_slice(replaced);
            plain = at + width;
        }
        at += width;
    }
    out.extend_from_slice(&bytes[plain..]);
}

/// Resolves references and normalises white space: line ends, and in an attribute every white
/// space character to a space (XML 1.0 §3.3.3).
pub(crate) fn unescape(raw: &str, is_attribute: bool) -> Result<Cow<'_, str>, XmlError> {
    if ordinary(raw.as_bytes(), b'&') == raw.len() {
        return Ok(Cow::Borrowed(raw));
    }
    let special = |byte: u8| match byte {
        b'&' | b'\r' => true,
        b'\t' | b'\n' => is_attribute,
        _ => false,
    };
    let Some(first) = raw.bytes().position(special) else {
        return Ok(Cow::Borrowed(raw));
    };
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    let mut next = Some(first);
    while let Some(at) = next {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(reference) = rest.strip_prefix('&') {
            let (name, after) = reference.split_once(';').ok_or(XmlError::NotWellFormed)?;
            text.push(resolve(name)?);
            rest = after;
        } else {
            let after = rest.strip_prefix("\r\n").unwrap_or(&rest[1..]);
            text.push(if is_attribute { ' ' } else { '\n' });
            rest = after;
        }
        next = rest.bytes().position(special);
    }
    text.push_str(rest);
    Ok(Cow::Owned(text))
}

/// The character that a reference, without `&` and `;`, stands for: one of the five predefined
/// entities or a number (RFC 6120 §11.1 forbids all others).
pub(crate) fn resolve(name: &str) -> Result<char, XmlError> {
    let number = match name {
        "amp" => return Ok('&'),
        "lt" => return Ok('<'),
        "gt" => return Ok('>'),
        "apos" => return Ok('\''),
        "quot" => return Ok('"'),
        _ => name.strip_prefix('#').ok_or(XmlError::Restricted)?,
    };
    let (digits, radix) = match number.strip_prefix('x') {
        Some(digits) => (digits, 16),
        None => (number, 10),
    };
    let sound = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix));
    let value = sound
        .then(|| u32::from_str_radix(digits, radix).ok())
        .flatten();
    let c = value
        .and_then(char::from_u32)
        .ok_or(XmlError::NotWellFormed)?;
    if is_xml_char(c) {
        Ok(c)
    } else {
        Err(XmlError::NotWellFormed)
    }
}
