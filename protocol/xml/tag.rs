//! A start tag that the framer has let through, read attribute by attribute.

use memchr::memchr;

use super::XmlError;

/// Bytes behind which a name ends, or its prefix.
static ENDS_NAME: [bool; 256] = {
    let mut table = [false; 256];
    let ends = b" \t\r\n/>=:";
    let mut at = 0;
    while at < ends.len() {
        table[ends[at] as usize] = true;
        at += 1;
    }
    table
};

/// The tag as far as it was read.
pub(crate) struct Tag<'a> {
    text: &'a str,
    at: usize,
    pub(crate) name: Name<'a>,
    is_empty: bool,
}

/// A name with or without prefix.
#[derive(Clone, Copy)]
pub(crate) struct Name<'a> {
    pub(crate) text: &'a str,
    /// Where the colon is; zero if there is none, since no name begins with one.
    colon: usize,
}

impl<'a> Name<'a> {
    /// The prefix, which may be empty, and the local name (Namespaces in XML 1.0 §4).
    #[inline]
    pub(crate) fn split(self) -> (&'a str, &'a str) {
        match self.colon {
            0 => ("", self.text),
            colon => (&self.text[..colon], &self.text[colon + 1..]),
        }
    }

    #[inline]
    pub(crate) fn has_prefix(self) -> bool {
        self.colon > 0
    }

    /// The prefix that an attribute of this name declares, which is empty for the default
    /// namespace; `None` for an attribute that declares nothing.
    #[inline]
    pub(crate) fn declared(self) -> Option<&'a str> {
        match self.colon {
            0 if self.text == "xmlns" => Some(""),
            5 => self.text.strip_prefix("xmlns:"),
            _ => None,
        }
    }
}

impl<'a> Tag<'a> {
    /// A text that begins with the `<` of a start tag.
    pub(crate) fn new(text: &'a str) -> Result<Tag<'a>, XmlError> {
        let mut tag = Tag {
            text,
            at: 1,
            name: Name { text: "", colon: 0 },
            is_empty: false,
        };
        tag.name = tag.take_name()?;
        Ok(tag)
    }

    /// The next attribute's name and raw value; `None` at the end of the tag.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<(Name<'a>, &'a str)>, XmlError> {
        let bytes = self.text.as_bytes();
        self.skip_space();
        match bytes.get(self.at) {
            Some(b'>') => {
                self.at += 1;
                return Ok(None);
            }
            Some(b'/') if bytes.get(self.at + 1) == Some(&b'>') => {
                self.at += 2;
                self.is_empty = true;
                return Ok(None);
            }
            _ => {}
        }
        let name = self.take_name()?;
        self.skip_space();
        if bytes.get(self.at) != Some(&b'=') {
            return Err(XmlError::NotWellFormed);
        }
        self.at += 1;
        self.skip_space();
        let quote = match bytes.get(self.at) {
            Some(quote @ (b'\'' | b'"')) => *quote,
            _ => return Err(XmlError::NotWellFormed),
        };
        let start = self.at + 1;
        let end = start + memchr(quote, &bytes[start..]).ok_or(XmlError::NotWellFormed)?;
        self.at = end + 1;
        Ok(Some((name, &self.text[start..end])))
    }

    /// Whether the tag ended with `/>`.
    pub(crate) fn is_empty(&self) -> bool {
        self.is_empty
    }

    /// Behind what was read.
    pub(crate) fn end(&self) -> usize {
        self.at
    }

    #[inline(always)]
    fn take_name(&mut self) -> Result<Name<'a>, XmlError> {
        let (bytes, start) = (self.text.as_bytes(), self.at);
        let rest = &bytes[start..];
        let mut colon = 0;
        let mut length = 0;
        loop {
            match rest.get(length) {
                None => return Err(XmlError::NotWellFormed),
                Some(&byte) if !ENDS_NAME[usize::from(byte)] => {}
                Some(b':') => colon = length,
                Some(_) => break,
            }
            length += 1;
        }
        self.at += length;
        let text = &self.text[start..self.at];
        match text.is_empty() {
            true => Err(XmlError::NotWellFormed),
            false => Ok(Name { text, colon }),
        }
    }

    #[inline(always)]
    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.text.as_bytes().get(self.at) {
            self.at += 1;
        }
    }
}
