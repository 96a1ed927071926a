//! Business cards: vcard-temp (XEP-0054) and vCard4 (XEP-0292) say the same of a person, whichever
//! of them his client writes. What only one of them can say stays in that one.

use rookery_protocol::ns;
use rookery_protocol::xml::Element;

/// The node of vCard4 (XEP-0292 §3).
pub const NODE: &str = "urn:xmpp:vcard4";

/// A property that both have: where it is in the old form, where in the new one, and what the
/// value's element is called there.
struct Property {
    old: &'static str,
    /// Inside the old element, where the value is not its text.
    part: &'static str,
    new: &'static str,
    value: &'static str,
    /// Before the value in the new form.
    scheme: &'static str,
}

const fn property(
    old: &'static str,
    part: &'static str,
    new: &'static str,
    value: &'static str,
    scheme: &'static str,
) -> Property {
    Property {
        old,
        part,
        new,
        value,
        scheme,
    }
}

const PROPERTIES: &[Property] = &[
    property("FN", "", "fn", "text", ""),
    property("NICKNAME", "", "nickname", "text", ""),
    property("BDAY", "", "bday", "date", ""),
    property("URL", "", "url", "uri", ""),
    property("TITLE", "", "title", "text", ""),
    property("ROLE", "", "role", "text", ""),
    property("DESC", "", "note", "text", ""),
    property("ORG", "ORGNAME", "org", "text", ""),
    property("EMAIL", "USERID", "email", "text", ""),
    property("TEL", "NUMBER", "tel", "uri", "tel:"),
    property("JABBERID", "", "impp", "uri", "xmpp:"),
];

/// The parts of a name, in both forms (XEP-0054 §7, RFC 6351 §5).
const NAME: &[(&str, &str)] = &[
    ("FAMILY", "surname"),
    ("GIVEN", "given"),
    ("MIDDLE", "additional"),
    ("PREFIX", "prefix"),
    ("SUFFIX", "suffix"),
];

/// The new form of an old card; `known`: the new form as it was, whose other properties stay.
pub fn renewed(card: &Element, known: Option<&Element>) -> Element {
    let mut fresh = rest(ns::VCARD4, "vcard", known, |it| it.new, "n");
    let text = |name, text: String| Element::new(ns::VCARD4, name).with_text(text);
    for property in PROPERTIES {
        for old in children(card, ns::VCARD, property.old) {
            let value = match property.part {
                "" => old.text(),
                part => child_text(old, part),
            };
            if !value.trim().is_empty() {
                let value = text(
                    property.value,
                    format!("{}{}", property.scheme, value.trim()),
                );
                fresh.push(Element::new(ns::VCARD4, property.new).with_child(value));
            }
        }
    }
    if let Some(old) = children(card, ns::VCARD, "N").next() {
        let parts = NAME
            .iter()
            .map(|(old_part, part)| text(*part, child_text(old, old_part)));
        fresh.push(Element::new(ns::VCARD4, "n").with_children(parts));
    }
    fresh
}

/// The old form of a new card; `known`: the old form as it was, whose other properties stay.
pub fn aged(card: &Element, known: Option<&Element>) -> Element {
    let mut fresh = rest(ns::VCARD, "vCard", known, |it| it.old, "N");
    let text = |name, text: &str| Element::new(ns::VCARD, name).with_text(text);
    for property in PROPERTIES {
        for new in children(card, ns::VCARD4, property.new) {
            let values = new.children().filter(|it| it.name() != "parameters");
            let value = values.map(Element::text).next().unwrap_or_default();
            let value = value.trim();
            let value = value.strip_prefix(property.scheme).unwrap_or(value);
            if value.is_empty() {
                continue;
            }
            fresh.push(match property.part {
                "" => text(property.old, value),
                part => Element::new(ns::VCARD, property.old).with_child(text(part, value)),
            });
        }
    }
    if let Some(new) = children(card, ns::VCARD4, "n").next() {
        let parts = NAME
            .iter()
            .map(|(old_part, part)| text(*old_part, &child_text(new, part)));
        fresh.push(Element::new(ns::VCARD, "N").with_children(parts));
    }
    fresh
}

/// What a card has beyond the properties that both have.
fn rest(
    namespace: &'static str,
    name: &'static str,
    known: Option<&Element>,
    of: fn(&Property) -> &'static str,
    full_name: &str,
) -> Element {
    let is_shared =
        |it: &&Element| it.name() == full_name || PROPERTIES.iter().any(|p| of(p) == it.name());
    let all = known.into_iter().flat_map(Element::children);
    let others = all.filter(|it| !is_shared(it)).cloned();
    Element::new(namespace, name).with_children(others)
}

fn children<'a>(
    card: &'a Element,
    namespace: &'static str,
    name: &'static str,
) -> impl Iterator<Item = &'a Element> {
    card.children().filter(move |it| it.is(namespace, name))
}

fn child_text(parent: &Element, name: &str) -> String {
    parent
        .child(parent.ns(), name)
        .map(Element::text)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn old(inside: &str) -> Element {
        Element::parse(&format!("<vCard xmlns='vcard-temp'>{inside}</vCard>"), "").unwrap()
    }

    fn new(inside: &str) -> Element {
        let text = format!("<vcard xmlns='{}'>{inside}</vcard>", ns::VCARD4);
        Element::parse(&text, "").unwrap()
    }

    #[test]
    fn both_say_the_same() {
        let card = old(
            "<FN>Alice</FN><BDAY>1852-05-04</BDAY><ORG><ORGNAME>Tea</ORGNAME></ORG>\
             <EMAIL><USERID>a@a.test</USERID></EMAIL><TEL><NUMBER>+1</NUMBER></TEL>\
             <JABBERID>alice@a.test</JABBERID><N><FAMILY>L</FAMILY><GIVEN>A</GIVEN><MIDDLE/>\
             <PREFIX/><SUFFIX/></N>",
        );
        let renewed = renewed(&card, None);
        assert_eq!(
            renewed,
            new(
                "<fn><text>Alice</text></fn><bday><date>1852-05-04</date></bday>\
                 <org><text>Tea</text></org><email><text>a@a.test</text></email>\
                 <tel><uri>tel:+1</uri></tel><impp><uri>xmpp:alice@a.test</uri></impp>\
                 <n><surname>L</surname><given>A</given><additional/><prefix/><suffix/></n>"
            )
        );
        assert_eq!(aged(&renewed, None), card);
    }

    #[test]
    fn what_only_one_can_say_stays_in_it() {
        let known = old("<FN>Old</FN><GEO><LAT>1</LAT></GEO>");
        let card = new("<fn><text>New</text></fn><lang><language-tag>en</language-tag></lang>");
        assert_eq!(
            aged(&card, Some(&known)),
            old("<GEO><LAT>1</LAT></GEO><FN>New</FN>")
        );
        let back = renewed(&old("<FN>Newer</FN>"), Some(&card));
        let lang = "<lang><language-tag>en</language-tag></lang>";
        assert_eq!(back, new(&format!("{lang}<fn><text>Newer</text></fn>")));
    }
}
