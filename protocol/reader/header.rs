//! The start of a stream: the XML declaration (RFC 6120 §11.5) and the header (§4.7).

use smol_str::SmolStr;

use super::StreamKind;
use crate::error::{StreamCondition, StreamError};
use crate::ns;
use crate::xml::Element;
use crate::xml::tag::Tag;
use crate::xml::walk::{Context, Walk};
use crate::xml::{XmlError, unescape};

/// No declaration that says what XMPP allows is longer.
pub(super) const DECLARATION_MAX: usize = 256;

/// The attributes of a stream's header as they were written (RFC 6120 §4.7).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Whom the stream is for.
    pub to: Option<SmolStr>,
    /// Whom it is from.
    pub from: Option<SmolStr>,
    /// The id that the receiving side gives a stream.
    pub id: Option<SmolStr>,
    /// The language of text that says nothing else.
    pub lang: Option<SmolStr>,
    /// Major and minor version as numbers (§4.7.5); `None` if missing or unreadable.
    pub version: Option<(u32, u32)>,
    /// Whether the namespace of Server Dialback is declared (XEP-0220 §2.1.1).
    pub has_dialback: bool,
}

impl Header {
    /// Reads `<open/>` of RFC 7395 §3.4.
    pub(super) fn of_element(open: &Element) -> Header {
        let value = |name| open.attr(name).map(SmolStr::new);
        Header {
            to: value("to"),
            from: value("from"),
            id: value("id"),
            lang: open.attr_ns(ns::XML, "lang").map(SmolStr::new),
            version: open.attr("version").and_then(version),
            has_dialback: false,
        }
    }
}

/// What nearly every header of this content namespace declares.
pub(super) fn usual_context(content: &str) -> Context {
    let stream = (SmolStr::new_static("stream"), ns::shared(ns::STREAM));
    Context {
        default: ns::shared(content),
        prefixes: vec![stream],
    }
}

/// Reads the start tag of a header. Gives what it says, what it declares, and the name of the
/// stream's element as written.
pub(super) fn read(tag: &str, kind: StreamKind) -> Result<(Header, Context, SmolStr), StreamError> {
    let bare = Context::plain("");
    let mut walk = Walk::new(tag, &bare, "");
    walk.step().map_err(super::stream_error)?;
    if walk.ns() != ns::STREAM {
        return Err(StreamCondition::InvalidNamespace.into());
    }
    if walk.local() != "stream" {
        return Err(StreamCondition::BadFormat.into());
    }
    let mut header = Header::default();
    let mut context = Context::plain("");
    let mut tag = Tag::new(tag).map_err(super::stream_error)?;
    while let Some((name, raw)) = tag.next().map_err(super::stream_error)? {
        let value = unescape(raw, true).map_err(super::stream_error)?;
        let text = || Some(SmolStr::new(&value));
        match name.text {
            "to" => header.to = text(),
            "from" => header.from = text(),
            "id" => header.id = text(),
            "xml:lang" => header.lang = text(),
            "version" => header.version = version(&value),
            "xmlns" => context.default = ns::shared(&value),
            _ => {
                if let Some(prefix) = name.text.strip_prefix("xmlns:") {
                    header.has_dialback |= value == ns::DIALBACK;
                    context.prefixes.push((prefix.into(), ns::shared(&value)));
                }
            }
        }
    }
    // RFC 6120 §4.8.5: the prefix is `stream`; §4.8.2: or there is none.
    let is_bare = tag.name.text == "stream";
    if !is_bare && tag.name.text != "stream:stream" {
        return Err(StreamCondition::BadNamespacePrefix.into());
    }
    let expected = match is_bare {
        true => ns::STREAM,
        false => kind.content(),
    };
    let is_declared = is_bare || !context.default.is_empty();
    if is_declared && context.default != expected {
        return Err(StreamCondition::InvalidNamespace.into());
    }
    Ok((header, context, tag.name.text.into()))
}

/// Reads a version (RFC 6120 §4.7.5): two numbers, leading zeros without meaning.
fn version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.')?;
    let number = |digits: &str| {
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| digits.parse().ok()).flatten()
    };
    Some((number(major)?, number(minor)?))
}

/// Reads the XML declaration at the start of the data, which begins with `<?xml`. Says where it
/// ends, or `None` if it has not ended.
pub(super) fn declaration(data: &[u8]) -> Result<Option<usize>, StreamError> {
    let Some(end) = memchr::memmem::find(data, b"?>") else {
        return Ok(None);
    };
    let not_well_formed = || StreamError::new(StreamCondition::NotWellFormed);
    let inside = std::str::from_utf8(&data[5..end]).map_err(|_| not_well_formed())?;
    // It is written like the attributes of a tag, so it is read like one.
    let tag = format!("<x{inside}>");
    let entries = entries(&tag).map_err(|_| not_well_formed())?;
    let mut left = entries.iter().copied().peekable();
    if left.next() != Some(("version", "1.0")) {
        return Err(not_well_formed());
    }
    let encoding = left.next_if(|(name, _)| *name == "encoding");
    if encoding.is_some_and(|(_, encoding)| !encoding.eq_ignore_ascii_case("utf-8")) {
        return Err(StreamCondition::UnsupportedEncoding.into());
    }
    match left.next_if(|(name, _)| *name == "standalone") {
        None | Some((_, "yes")) => {}
        // RFC 6120 §11.5.
        Some((_, "no")) => return Err(StreamCondition::RestrictedXml.into()),
        Some(_) => return Err(not_well_formed()),
    }
    if left.next().is_some() {
        return Err(not_well_formed());
    }
    Ok(Some(end + 2))
}

fn entries(tag: &str) -> Result<Vec<(&str, &str)>, XmlError> {
    // White space before each entry, none but quotes around the values.
    crate::framer::check_start_tag(tag.as_bytes())?;
    let mut read = Tag::new(tag)?;
    let mut entries = Vec::new();
    if read.name.text != "x" {
        return Err(XmlError::NotWellFormed);
    }
    while let Some((name, raw)) = read.next()? {
        entries.push((name.text, raw));
    }
    Ok(entries)
}
