//! From a slice to a tree, by quick-xml.
//!
//! quick-xml lets much pass that XMPP refuses, so it only sees what the framer and the walk have
//! accepted. Its events are then the whole truth about the slice: nothing is checked again here,
//! and whatever it should refuse all the same is an error, never a guess.

use quick_xml::XmlVersion;
use quick_xml::escape::escape;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::{Namespace, PrefixDeclaration, ResolveResult};
use quick_xml::reader::NsReader;
use smol_str::SmolStr;

use super::walk::Context;
use super::{Attribute, Element, XmlError, resolve, unescape};
use crate::ns;

/// Reads one complete element that was checked in this context.
pub(super) fn tree(text: &str, context: &Context) -> Result<Element, XmlError> {
    let mut reader = NsReader::from_str(text);
    // The walk has compared the end tags.
    reader.config_mut().check_end_names = false;
    declare(&mut reader, context)?;
    let mut above: Vec<Element> = Vec::new();
    loop {
        let done = match reader.read_event().map_err(|_| XmlError::NotWellFormed)? {
            Event::Start(start) => {
                above.push(element(&start, &reader)?);
                continue;
            }
            Event::Empty(start) => element(&start, &reader)?,
            Event::End(_) => above.pop().ok_or(XmlError::NotWellFormed)?,
            // A quick-xml text has no references in it: they are events of their own.
            Event::Text(text) => {
                inside(&mut above)?.push_text(text.xml10_content());
                continue;
            }
            Event::CData(text) => {
                inside(&mut above)?.push_text(text.xml10_content());
                continue;
            }
            Event::GeneralRef(name) => {
                let mut buffer = [0; 4];
                inside(&mut above)?.push_text(resolve(&name)?.encode_utf8(&mut buffer));
                continue;
            }
            Event::Comment(_) | Event::PI(_) | Event::DocType(_) | Event::Decl(_) => {
                return Err(XmlError::Restricted);
            }
            Event::Eof => return Err(XmlError::NotWellFormed),
        };
        match above.last_mut() {
            Some(parent) => parent.push(done),
            None => return Ok(done),
        }
    }
}

/// Makes known what the stream's header has declared.
fn declare(reader: &mut NsReader<&[u8]>, context: &Context) -> Result<(), XmlError> {
    let resolver = reader.resolver_mut();
    let prefixes = context
        .prefixes
        .iter()
        .map(|(prefix, uri)| (PrefixDeclaration::Named(prefix), uri));
    for (prefix, uri) in prefixes.chain([(PrefixDeclaration::Default, &context.default)]) {
        // The resolver holds the names of namespaces as they are written.
        resolver
            .add(prefix, Namespace(&escape(uri.as_str())))
            .map_err(|_| XmlError::NotWellFormed)?;
    }
    Ok(())
}

/// The element that a start tag opens, without its inside.
fn element(start: &BytesStart, reader: &NsReader<&[u8]>) -> Result<Element, XmlError> {
    let (ns, name) = reader.resolver().resolve_element(start.name());
    let mut element = Element::new(bound(ns)?, name.into_inner());
    // The walk has looked for duplicates.
    for attribute in start.attributes().with_checks(false) {
        let attribute = attribute.map_err(|_| XmlError::NotWellFormed)?;
        if attribute.key.as_namespace_binding().is_some() {
            continue;
        }
        let (ns, name) = reader.resolver().resolve_attribute(attribute.key);
        let value = attribute
            .normalized_value(XmlVersion::Implicit1_0)
            .map_err(|_| XmlError::NotWellFormed)?;
        element.attributes.push(Attribute {
            ns: bound(ns)?,
            name: name.into_inner().into(),
            value: value.into_owned(),
        });
    }
    Ok(element)
}

fn bound(resolved: ResolveResult) -> Result<SmolStr, XmlError> {
    match resolved {
        ResolveResult::Bound(Namespace(uri)) => Ok(ns::shared(&unescape(uri, true)?)),
        ResolveResult::Unbound => Ok(SmolStr::default()),
        ResolveResult::Unknown(_) => Err(XmlError::UndeclaredPrefix),
    }
}

fn inside(above: &mut [Element]) -> Result<&mut Element, XmlError> {
    above.last_mut().ok_or(XmlError::NotWellFormed)
}
