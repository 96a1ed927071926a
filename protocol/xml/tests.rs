//! Trees read, written and refused.

use std::borrow::Cow;

use proptest::prelude::*;

use super::outline::{Outline, outline};
use super::plain::plain;
use super::tag::Tag;
use super::walk::{Token, Walk};
use super::*;
use crate::stanza::read;

#[test]
fn a_tree_reads_and_writes_back() {
    let text = "<a xmlns='u' x='1 &amp; &quot;2&quot;'>t &lt; <b/><c xmlns='v' \
                xmlns:p='w' p:q='r' xml:lang='de'><![CDATA[<&]]></c></a>";
    let tree = Element::parse(text, ns::CLIENT).unwrap();
    assert_eq!(tree.attr("x"), Some("1 & \"2\""));
    assert_eq!(tree.text(), "t < ");
    let inner = tree.child("v", "c").unwrap();
    assert_eq!(inner.attr_ns("w", "q"), Some("r"));
    assert_eq!(inner.attr_ns(ns::XML, "lang"), Some("de"));
    assert_eq!(inner.text(), "<&");
    let bytes = tree.to_bytes("");
    let again = Element::parse(std::str::from_utf8(&bytes).unwrap(), "").unwrap();
    assert_eq!(again, tree);
}

#[test]
fn what_namespaces_forbid_is_refused() {
    use XmlError::*;
    let rows = [
        ("<a", NotWellFormed),
        ("<a></b>", NotWellFormed),
        ("<a/><b/>", NotWellFormed),
        ("<p:a/>", UndeclaredPrefix),
        ("<a p:b='1'/>", UndeclaredPrefix),
        ("<a xmlns='u' xmlns='v'/>", NotWellFormed),
        (
            "<a xmlns:p='u' xmlns:q='u' p:x='1' q:x='2'/>",
            NotWellFormed,
        ),
        ("<a x='1' x='2'/>", NotWellFormed),
        ("<a xmlns:p=''/>", NotWellFormed),
        ("<a xmlns:xml='u'/>", NotWellFormed),
        ("<a xmlns:xmlns='u'/>", NotWellFormed),
        ("<a xmlns='http://www.w3.org/2000/xmlns/'/>", NotWellFormed),
        (
            "<a xmlns='http://www.w3.org/XML/1998/namespace'/>",
            NotWellFormed,
        ),
        // What a parser may take for the end of the namespace.
        ("<a xmlns='a b'/>", NotWellFormed),
        ("<a xmlns:p='a}b'/>", NotWellFormed),
        ("<a xmlns:p='a&#10;b'/>", NotWellFormed),
        ("<a>&foo;</a>", Restricted),
        ("<a>&#0;</a>", NotWellFormed),
    ];
    for (text, error) in rows {
        assert_eq!(Element::parse(text, "u"), Err(error), "{text}");
    }
}

#[test]
fn stream_elements_keep_their_prefix() {
    let error = Element::new(ns::STREAM, "error").with_child(Element::new(ns::STREAMS, "reset"));
    let inside =
        "<stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
    assert_eq!(error.to_bytes(ns::CLIENT), inside.as_bytes());
    let alone = "<stream:error xmlns:stream='http://etherx.jabber.org/streams'>\
                 <reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
    assert_eq!(error.to_bytes(""), alone.as_bytes());
}

/// The tree as the walk sees it, which never asks quick-xml.
fn walked(text: &str, context: &Context) -> Result<Element, XmlError> {
    let mut walk = Walk::new(text, context, "");
    let mut above: Vec<Element> = vec![Element::new("", "above")];
    while let Some(token) = walk.step()? {
        match token {
            Token::Open { at, .. } => {
                let mut element = Element::new(walk.ns(), walk.local());
                let mut tag = Tag::new(&text[at..])?;
                while let Some((name, raw)) = tag.next()? {
                    let ns = match name.split() {
                        _ if name.declared().is_some() => continue,
                        ("", _) => Cow::Borrowed(""),
                        (prefix, _) => walk.bound(prefix)?,
                    };
                    element.set_attr_ns(&ns, name.split().1, unescape(raw, true)?);
                }
                above.push(element);
            }
            Token::Close { .. } => {
                let done = above.pop().unwrap();
                above.last_mut().unwrap().push(done);
            }
            Token::Text(raw) => above.last_mut().unwrap().push_text(unescape(raw, false)?),
            Token::CData(raw) => {
                let text = raw.replace("\r\n", "\n").replace('\r', "\n");
                above.last_mut().unwrap().push_text(text);
            }
        }
    }
    match above.remove(0).nodes.remove(0) {
        Node::Element(root) => Ok(root),
        Node::Text(text) => panic!("text outside: {text:?}"),
    }
}

fn one_of(choices: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    proptest::sample::select(choices)
}

const TEXTS: &[&str] = &[
    "",
    " ",
    "a",
    "\r",
    "\n",
    "\r\n",
    "\t",
    "&amp;",
    "&lt;",
    "&gt;",
    "&apos;",
    "&quot;",
    "&#13;",
    "&#10;",
    "&#x1F600;",
    "&#0065;",
    "é",
    "€",
    "\u{feff}",
    "\u{85}",
    "\u{7f}",
    ">",
    "] ]",
    "/",
    "=",
];

/// A value between quotes.
fn value() -> impl Strategy<Value = String> {
    proptest::collection::vec(one_of(TEXTS), 0..5).prop_map(|parts| parts.concat())
}

/// A start tag up to where it ends: a name, declarations, and attributes whose expanded names
/// differ. The prefixes `p` and `q` are declared around it, `h` by the header.
fn tag() -> impl Strategy<Value = (String, String)> {
    let name = (
        one_of(&["", "p:", "q:", "h:", "stream:"]),
        one_of(&["a", "é", "x-1.b", "xmlnsa"]),
    );
    let uri = one_of(&["u", "v", "jabber:client", "u&amp;v", "http://x/&#65;", "ü"]);
    let default = one_of(&["u", "v", "", "u&amp;v"]);
    let written = (
        one_of(&["", "p:", "h:", "xml:"]),
        one_of(&["'", "\""]),
        value(),
    );
    let parts = (
        name,
        proptest::option::of(uri),
        proptest::option::of(default),
        proptest::collection::vec(written, 0..4),
        one_of(&[" ", "\n", "\t ", "\r\n"]),
    );
    parts.prop_map(|((prefix, local), uri, default, written, space)| {
        let mut tag = format!("{prefix}{local}");
        if let Some(uri) = uri {
            tag.push_str(&format!("{space}xmlns:p = '{uri}'"));
        }
        for (number, (prefix, quote, value)) in written.into_iter().enumerate() {
            tag.push_str(&format!("{space}{prefix}a{number}={quote}{value}{quote}"));
        }
        if let Some(default) = default {
            tag.push_str(&format!(" xmlns=\"{default}\"{space}"));
        }
        (format!("{prefix}{local}"), tag)
    })
}

/// What stands in an element, and elements in it.
fn markup() -> impl Strategy<Value = String> {
    let section = value().prop_map(|text| format!("<![CDATA[{text}<&]]>"));
    let leaf = prop_oneof![value(), section];
    leaf.prop_recursive(4, 24, 4, |inside| {
        let nodes = proptest::collection::vec(inside, 0..4);
        (tag(), nodes, one_of(&["", " ", "\n"])).prop_map(|((name, tag), nodes, space)| match nodes
            .is_empty()
        {
            true => format!("<{tag}{space}/>"),
            false => format!("<{tag}>{}</{name}{space}>", nodes.concat()),
        })
    })
}

/// What framer and walk make of one stanza.
fn judged(data: &[u8], limits: &Limits, content: &str) -> Result<Outline, XmlError> {
    framer::check(data, limits)?;
    outline(
        std::str::from_utf8(data).unwrap(),
        &Context::plain(content),
        content,
    )
}

/// What the one pass makes of it. What it notes of the start tag must be what is read from it.
fn in_one_pass(data: &[u8], limits: &Limits, content: &str) -> Option<(usize, Outline)> {
    let (length, mut found) = plain(data, limits, &Context::plain(content), content)?;
    if let Some(head) = found.head.take() {
        let text = std::str::from_utf8(&data[..length]).unwrap();
        assert_eq!(Ok(read::noted(text, &head)), read::envelope(text), "{text}");
    }
    Some((length, found))
}

#[test]
fn usual_stanzas_are_read_in_one_pass() {
    let limits = Limits::after_login();
    let usual = [
        "<message/>",
        "<iq id='1' type=\"get\"><query xmlns='jabber:iq:roster'/></iq>",
        "<presence xml:lang='de' ><show>away</show>\n\
         <x xmlns='u'><y/><z xmlns='v'/></x></presence>",
        "<message to='a'><body>ä€😀\u{ff01} &lt;&#10;]x] > \t</body>\r\
         <a xmlns='jabber:client'/></message>",
    ];
    for text in usual {
        let (length, found) =
            in_one_pass(text.as_bytes(), &limits, ns::CLIENT).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(
            (length, Ok(found)),
            (text.len(), judged(text.as_bytes(), &limits, ns::CLIENT))
        );
    }
    let exact = Limits {
        elements: 3,
        depth: 3,
        attributes: 1,
        namespaces: 1,
        name_len: 8,
        ..limits
    };
    let fits = "<message><aaaaaaaa xml:lang='d' xmlns='u'><b/></aaaaaaaa></message>";
    let beyond = [
        fits.replace("<b/>", "<b/><b/>"),
        fits.replace("<b/>", "<b><c/></b>"),
        fits.replace("lang='d'", "lang='d' b='1'"),
        fits.replace("aaaaaaaa", "aaaaaaaaa"),
        fits.replace("xml:lang", "xml:langu"),
    ];
    assert!(in_one_pass(fits.as_bytes(), &exact, ns::CLIENT).is_some());
    for text in beyond {
        assert!(judged(text.as_bytes(), &exact, ns::CLIENT).is_err());
        assert!(
            in_one_pass(text.as_bytes(), &exact, ns::CLIENT).is_none(),
            "{text}"
        );
    }
}

const HEADS: &[&str] = &[
    " to='a'",
    " from=\"b\"",
    " id='&lt;'",
    " id='é'",
    " type='chat'",
    " xml:lang='d'",
    " lang='d'",
    " x='1'",
    " xmlns='jabber:client'",
];

/// What makes stanzas, usual and unusual, sound and broken.
const PIECES: &[&str] = &[
    "<a>",
    "</a>",
    "<a/>",
    "<a />",
    "<b x='1'>",
    "</b>",
    "</b >",
    "<b x='\"&amp;é\u{ff01}'/>",
    "t",
    "é",
    "]",
    "]]",
    ">",
    "&lt;",
    "&#0;",
    "&x;",
    "\u{ffff}",
    "\u{1}",
    "\r\n",
    "<a xmlns='u'>",
    "<a xmlns='jabber:client'/>",
    "<a xmlns='jabber:server'/>",
    "<a xmlns=''/>",
    "<a xmlns='a b'/>",
    "<p:a/>",
    "<a xml:lang='d' lang='e'/>",
    "<a x='1' x='2'/>",
    "<![CDATA[x]]>",
    "<!-- -->",
    "<a  x='1'/>",
    "<a x='1'y='2'/>",
    "<a x='<'/>",
    "<1/>",
    "<a xmlns='u' xmlns='v'/>",
    "<a xmlns='http://www.w3.org/2000/xmlns/'/>",
    "<a xml:xmlns='u'/>",
];

#[test]
fn any_two_pieces_are_seen_alike() {
    let limits = Limits::before_login();
    let mut usual = 0;
    for (first, second) in PIECES
        .iter()
        .flat_map(|a| PIECES.iter().map(move |b| (a, b)))
    {
        let data = format!("<message to='a'>{first}{second}</message>").into_bytes();
        for content in [ns::CLIENT, ns::SERVER] {
            if let Some((length, found)) = in_one_pass(&data, &limits, content) {
                let slow = judged(&data[..length], &limits, content);
                assert_eq!(slow, Ok(found), "{first}{second}");
                usual += 1;
            }
        }
    }
    assert!(usual > 100);
}

proptest! {
    /// The one pass lets nothing through that the framer and the walk refuse, and sees the same.
    #[test]
    fn the_one_pass_sees_what_the_others_see(
        parts in proptest::collection::vec(one_of(PIECES), 0..5),
        wrapped in any::<[bool; 2]>(),
        written in proptest::collection::vec(one_of(HEADS), 0..4),
        content in one_of(&[ns::CLIENT, ns::SERVER]),
        changed in proptest::option::weighted(0.3, (any::<proptest::sample::Index>(), any::<u8>())),
    ) {
        let mut inside = parts.concat();
        for wrap in wrapped {
            inside = if wrap { format!("<c id='1'>{inside}</c>") } else { inside };
        }
        let mut data = format!("<message{}>{inside}</message><next/>", written.concat())
            .into_bytes();
        if let Some((at, byte)) = changed {
            let at = at.index(data.len());
            data[at] = byte;
        }
        let limits = Limits::before_login();
        if let Some((length, found)) = in_one_pass(&data, &limits, content) {
            prop_assert_eq!(judged(&data[..length], &limits, content), Ok(found));
        }
    }

    /// What the walk checks, by which stanzas are routed, and what quick-xml reads, by which they
    /// are obeyed, must be one and the same.
    #[test]
    fn quick_xml_reads_what_the_walk_saw(inside in markup(), space in one_of(&["", "\r\n"])) {
        let text = format!("<q:r xmlns:p='u' xmlns:q='w{space}'>{inside}</q:r>");
        let context = Context {
            default: ns::CLIENT.into(),
            prefixes: vec![("stream".into(), ns::STREAM.into()), ("h".into(), "u&lt;v".into())],
        };
        let seen = walked(&text, &context);
        prop_assert_eq!(framer::check(text.as_bytes(), &PARSE_LIMITS), Ok(()));
        // White space in the name of a namespace is refused, everything else is sound.
        prop_assert_eq!(seen.is_ok(), space.is_empty());
        if let Ok(seen) = seen {
            prop_assert_eq!(Element::read(&text, &context), Ok(seen));
        }
    }
}
