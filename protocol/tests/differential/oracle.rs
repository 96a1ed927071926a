//! The other parsers, and the form in which trees are compared.

use quick_xml::XmlVersion;
use quick_xml::events::Event as QuickEvent;
use quick_xml::name::ResolveResult;
use quick_xml::reader::NsReader;
use rookery_protocol::xml::{Element, Node};
use rxml::Parse;
use rxml::parser::WithOptions;

/// A tree, step by step; texts that adjoin are one.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Open(String, String, Vec<(String, String, String)>),
    Text(String),
    Close,
}

/// What rxml made of a text.
#[derive(Debug, Default)]
pub struct Theirs {
    pub steps: Vec<Step>,
}

fn push_text(steps: &mut Vec<Step>, text: &str) {
    match steps.last_mut() {
        _ if text.is_empty() => {}
        Some(Step::Text(last)) => last.push_str(text),
        _ => steps.push(Step::Text(text.to_owned())),
    }
}

/// Appends our tree.
pub fn flatten(element: &Element, steps: &mut Vec<Step>) {
    let mut attributes: Vec<_> = element
        .attributes()
        .iter()
        .map(|held| {
            (
                held.ns.to_string(),
                held.name.to_string(),
                held.value.clone(),
            )
        })
        .collect();
    attributes.sort();
    steps.push(Step::Open(
        element.ns().to_owned(),
        element.name().to_owned(),
        attributes,
    ));
    for node in element.nodes() {
        match node {
            Node::Element(child) => flatten(child, steps),
            Node::Text(text) => push_text(steps, text),
        }
    }
    steps.push(Step::Close);
}

/// Reads a stream with rxml: the steps inside the root, without the white space between stanzas.
pub fn rxml(text: &[u8]) -> Result<Theirs, rxml::Error> {
    let options = rxml::Options {
        max_token_length: 1 << 20,
        ..rxml::Options::default()
    };
    let mut parser = rxml::Parser::with_options(options);
    let mut theirs = Theirs::default();
    let mut depth = 0;
    let mut rest = text;
    loop {
        let event = match parser.parse(&mut rest, false) {
            Ok(Some(event)) => event,
            Ok(None) | Err(rxml::error::EndOrError::NeedMoreData) => return Ok(theirs),
            Err(rxml::error::EndOrError::Error(error)) => return Err(error),
        };
        match event {
            rxml::Event::XmlDeclaration(..) => {}
            rxml::Event::StartElement(_, (ns, name), attributes) => {
                depth += 1;
                if depth > 1 {
                    let mut attributes: Vec<_> = attributes
                        .into_iter()
                        .map(|((ns, name), value)| (ns.to_string(), name.to_string(), value))
                        .collect();
                    attributes.sort();
                    theirs
                        .steps
                        .push(Step::Open(ns.to_string(), name.to_string(), attributes));
                }
            }
            rxml::Event::EndElement(_) => {
                if depth > 1 {
                    theirs.steps.push(Step::Close);
                }
                depth -= 1;
            }
            rxml::Event::Text(_, text) => {
                if depth > 1 {
                    push_text(&mut theirs.steps, &text);
                }
            }
        }
    }
}

/// Reads a stream that we accept with quick-xml.
pub fn quick_xml(text: &[u8]) -> Vec<Step> {
    let text = std::str::from_utf8(text).expect("we accept only UTF-8");
    let mut reader = NsReader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    let mut steps = Vec::new();
    let mut depth = 0;
    loop {
        match reader.read_event().expect("quick-xml reads what we accept") {
            QuickEvent::Start(start) => {
                depth += 1;
                if depth == 1 {
                    continue;
                }
                let bound = |resolved: ResolveResult| match resolved {
                    ResolveResult::Bound(ns) => unescaped(ns.as_ref()),
                    ResolveResult::Unbound => String::new(),
                    ResolveResult::Unknown(prefix) => panic!("{prefix:?} is not declared"),
                };
                let (ns, name) = reader.resolver().resolve_element(start.name());
                let name = name.as_ref().to_owned();
                let mut attributes = Vec::new();
                for attribute in start.attributes() {
                    let attribute = attribute.expect("attributes that we accept");
                    if attribute.key.as_namespace_binding().is_some() {
                        continue;
                    }
                    let (ns, name) = reader.resolver().resolve_attribute(attribute.key);
                    let value = attribute.normalized_value(XmlVersion::Implicit1_0).unwrap();
                    let name = name.as_ref().to_owned();
                    attributes.push((bound(ns), name, value.into_owned()));
                }
                attributes.sort();
                steps.push(Step::Open(bound(ns), name, attributes));
            }
            QuickEvent::End(_) => {
                if depth > 1 {
                    steps.push(Step::Close);
                }
                depth -= 1;
            }
            QuickEvent::Text(text) if depth > 1 => push_text(&mut steps, &text.xml10_content()),
            QuickEvent::CData(text) if depth > 1 => push_text(&mut steps, &text.xml10_content()),
            QuickEvent::GeneralRef(name) if depth > 1 => {
                push_text(&mut steps, &unescaped(&format!("&{};", &*name)));
            }
            QuickEvent::Eof => return steps,
            _ => {}
        }
    }
}

/// Resolves references; what was white space becomes a space, as in every attribute's value.
fn unescaped(text: &str) -> String {
    let text = text.replace("\r\n", " ").replace(['\r', '\n', '\t'], " ");
    quick_xml::escape::unescape(&text)
        .expect("references that we accept")
        .into_owned()
}
