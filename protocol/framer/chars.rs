//! What a byte or character may be part of: the tables of the framer.

use crate::xml::{XmlError, resolve};

/// The longest reference that is read, `&` and `;` included.
const REFERENCE_MAX: usize = 32;
/// No unit that may be left unconsumed is longer.
pub(crate) const UNIT_MAX: usize = REFERENCE_MAX;

/// May stand in text as it is.
pub(super) const TEXT: u8 = 1;
/// May stand in an attribute's value as it is.
pub(super) const ATTRIBUTE: u8 = 2;
/// May begin a name (XML 1.0 §2.3 without the colon).
pub(crate) const NAME_START: u8 = 4;
/// May go on in a name.
pub(crate) const NAME: u8 = 8;
/// White space.
pub(crate) const SPACE: u8 = 16;

/// The classes of an ASCII byte; bytes beyond ASCII have none and are decoded.
#[inline(always)]
pub(crate) fn class(byte: u8) -> u8 {
    CLASSES[byte as usize]
}

static CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0u8;
    while byte < 0x80 {
        let is_space = matches!(byte, b'\t' | b'\n' | b'\r' | b' ');
        let mut of = 0;
        if is_space || byte >= 0x20 {
            if !matches!(byte, b'<' | b'&' | b']') {
                of |= TEXT;
            }
            if !matches!(byte, b'<' | b'&' | b'\'' | b'"') {
                of |= ATTRIBUTE;
            }
        }
        if is_space {
            of |= SPACE;
        }
        if byte.is_ascii_alphabetic() || byte == b'_' {
            of |= NAME_START | NAME;
        }
        if byte.is_ascii_digit() || byte == b'-' || byte == b'.' {
            of |= NAME;
        }
        table[byte as usize] = of;
        byte += 1;
    }
    table
}

/// Decodes the character beyond ASCII at the start of the data (RFC 3629 §4: no overlong forms, no
/// surrogates, nothing past U+10FFFF). `None` if it is not all there, and right so far.
pub(super) fn decode(data: &[u8]) -> Result<Option<(char, usize)>, XmlError> {
    let (width, second) = match data[0] {
        0xc2..=0xdf => (2, 0x80..=0xbf),
        0xe0 => (3, 0xa0..=0xbf),
        0xed => (3, 0x80..=0x9f),
        0xe1..=0xef => (3, 0x80..=0xbf),
        0xf0 => (4, 0x90..=0xbf),
        0xf4 => (4, 0x80..=0x8f),
        0xf1..=0xf3 => (4, 0x80..=0xbf),
        _ => return Err(XmlError::NotWellFormed),
    };
    let mut value = u32::from(data[0]) & (0x7f >> width);
    for at in 1..width {
        let Some(&byte) = data.get(at) else {
            return Ok(None);
        };
        let is_sound = if at == 1 {
            second.contains(&byte)
        } else {
            byte & 0xc0 == 0x80
        };
        if !is_sound {
            return Err(XmlError::NotWellFormed);
        }
        value = value << 6 | u32::from(byte & 0x3f);
    }
    Ok(char::from_u32(value).map(|c| (c, width)))
}

/// How many of the first bytes are all of a class.
#[inline]
pub(super) fn run(data: &[u8], of: u8) -> usize {
    let other = data.iter().position(|&byte| class(byte) & of == 0);
    other.unwrap_or(data.len())
}

/// How many of the first bytes are of the class [`TEXT`].
#[inline]
pub(super) fn text_run(data: &[u8]) -> usize {
    block_run(data, TEXT, |byte| {
        (byte == b'<') | (byte == b'&') | (byte == b']')
    })
}

/// How many of the first bytes are of the class [`ATTRIBUTE`].
#[inline]
pub(super) fn attribute_run(data: &[u8]) -> usize {
    block_run(data, ATTRIBUTE, |byte| {
        (byte == b'<') | (byte == b'&') | (byte == b'\'') | (byte == b'"')
    })
}

/// As [`run`], but whole blocks of printable ASCII that end nothing are passed over in one go: a
/// loop of this shape becomes vector instructions. The first block that is otherwise is read byte
/// by byte, and so is what follows it up to the end of the run.
#[inline(always)]
fn block_run(data: &[u8], of: u8, ends: impl Fn(u8) -> bool) -> usize {
    let (blocks, _) = data.as_chunks::<16>();
    let mut passed = 0;
    for block in blocks {
        let mut odd = 0u8;
        for &byte in block {
            odd |= u8::from(ends(byte)) | u8::from(byte.wrapping_sub(b' ') > b'~' - b' ');
        }
        if odd != 0 {
            break;
        }
        passed += block.len();
    }
    passed + run(&data[passed..], of)
}

/// How many of the first bytes are no control character, none of `<`, `&` and the given one, and
/// none that may begin U+FFFE or U+FFFF.
#[inline(always)]
pub(crate) fn ordinary(data: &[u8], end: u8) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);
    // The top bit of each byte that is below the bound, which is at most 0x80. A borrow can set it
    // wrongly too, but only above a byte for which it is right.
    let below = |word: u64, bound: u8| word.wrapping_sub(ONES * u64::from(bound)) & !word & HIGHS;
    let is = |word: u64, byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    let odd = |bytes: [u8; 8]| {
        let word = u64::from_le_bytes(bytes);
        let odd = below(word, 0x20) | is(word, b'<') | is(word, b'&') | is(word, end);
        odd | is(word, 0xef)
    };
    let (words, rest) = data.as_chunks::<8>();
    let mut at = 0;
    for bytes in words {
        let found = odd(*bytes);
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += bytes.len();
    }
    let mut last = [b' '; 8];
    last[..rest.len()].copy_from_slice(rest);
    match odd(last) {
        0 => data.len(),
        found => at + (found.trailing_zeros() / 8) as usize,
    }
}

/// Passes over characters beyond ASCII and references, one at least. Says whether the last was all
/// there.
pub(super) fn units(data: &[u8], at: &mut usize) -> Result<bool, XmlError> {
    loop {
        let Some(width) = unit(&data[*at..])? else {
            return Ok(false);
        };
        *at += width;
        if !matches!(data.get(*at), Some(b'&' | 0x80..)) {
            return Ok(true);
        }
    }
}

/// Bytes of the character or reference at the start of the data, if it is all there.
pub(crate) fn unit(data: &[u8]) -> Result<Option<usize>, XmlError> {
    match data[0] {
        b'&' => reference(data),
        byte if byte < 0x80 => Err(XmlError::NotWellFormed),
        _ => match decode(data)? {
            Some(('\u{fffe}' | '\u{ffff}', _)) => Err(XmlError::NotWellFormed),
            Some((_, width)) => Ok(Some(width)),
            None => Ok(None),
        },
    }
}

/// A reference to a predefined entity or to a character; others are restricted (RFC 6120 §11.1).
fn reference(data: &[u8]) -> Result<Option<usize>, XmlError> {
    let part = &data[1..data.len().min(REFERENCE_MAX)];
    let is_inside = |byte: u8| class(byte) & NAME != 0 || byte == b'#' || byte == b':';
    let Some(end) = part.iter().position(|&byte| !is_inside(byte)) else {
        return match data.len() < REFERENCE_MAX {
            true => Ok(None),
            false => Err(XmlError::NotWellFormed),
        };
    };
    let is_name = part[end] == b';' && end > 0;
    let name = std::str::from_utf8(&part[..end]).ok().filter(|_| is_name);
    resolve(name.ok_or(XmlError::NotWellFormed)?)?;
    Ok(Some(end + 2))
}

/// Whether a character beyond ASCII may begin a name: letters that every edition of XML 1.0 counts
/// as such. Parsers by the fourth edition, expat among them, refuse most of what the fifth added
/// (§2.3), so a name of that kind, forwarded, would end the stream of whoever receives it.
pub(super) fn is_name_start(c: char) -> bool {
    matches!(c,
        // Latin, Greek, Cyrillic, Armenian, Hebrew, Arabic.
        '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{131}'
        | '\u{14a}'..='\u{17e}' | '\u{1e00}'..='\u{1e9b}' | '\u{1ea0}'..='\u{1ef9}'
        | '\u{3a3}'..='\u{3ce}' | '\u{40e}'..='\u{44f}' | '\u{531}'..='\u{556}'
        | '\u{561}'..='\u{586}' | '\u{5d0}'..='\u{5ea}' | '\u{621}'..='\u{63a}'
        // Devanagari, Thai, Georgian, Kana, Han, Hangul.
        | '\u{905}'..='\u{939}' | '\u{e01}'..='\u{e2e}' | '\u{10d0}'..='\u{10f6}'
        | '\u{3041}'..='\u{3094}' | '\u{30a1}'..='\u{30fa}' | '\u{4e00}'..='\u{9fa5}'
        | '\u{ac00}'..='\u{d7a3}')
}

/// Whether a character beyond ASCII may go on in a name, under the same restriction.
pub(super) fn is_name(c: char) -> bool {
    is_name_start(c) || matches!(c, '\u{b7}' | '\u{300}'..='\u{345}')
}
