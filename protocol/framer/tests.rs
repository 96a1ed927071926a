//! What the byte machine lets through and what it refuses.

use super::*;

fn checked(text: &[u8]) -> Scan<()> {
    check(text, &Limits::after_login())
}

#[test]
fn what_xml_allows_passes() {
    let rows: [&str; 14] = [
        "<a/>",
        "<a></a>",
        "<a ></a >",
        "<a b = '1'\tc\n=\r\"2\" />",
        "<a b='>' c=\"'\" d='&lt;&#10;&#x10FFFF;]]>'/>",
        "<a>&amp;&lt;&gt;&apos;&quot;&#65;&#x41;</a>",
        "<a>]] > ]x]] ></a>",
        "<a><![CDATA[]]]]><![CDATA[<b>&c;</d>]]></a>",
        "<a>ä€😀\u{7f}\u{85}\u{fffd}\u{e000}</a>",
        "<ä-b.c_1 é='1'/>",
        "<p:a xmlns:p='u' p:b='1'/>",
        "<a>>'\"</a>",
        "<a\n/>",
        "<a><b><c/></b></a>",
    ];
    for text in rows {
        assert_eq!(checked(text.as_bytes()), Ok(()), "{text}");
    }
}

#[test]
fn what_xmpp_refuses_is_refused() {
    use XmlError::*;
    let rows: &[(&[u8], XmlError)] = &[
        (b"<a>\x00</a>", NotWellFormed),
        (b"<a>\x0b</a>", NotWellFormed),
        (b"<a b='\x1f'/>", NotWellFormed),
        (b"<a><![CDATA[\x08]]></a>", NotWellFormed),
        (b"<a\x01/>", NotWellFormed),
        (b"<a>\xff</a>", NotWellFormed),
        (b"<a>\xc0\xaf</a>", NotWellFormed),
        (b"<a>\xe2<x/>\x82\xac</a>", NotWellFormed),
        (b"<a>\xed\xa0\x80</a>", NotWellFormed),
        (b"<a>\xf4\x90\x80\x80</a>", NotWellFormed),
        (b"<a>\xf8\x88\x80\x80\x80</a>", NotWellFormed),
        (b"<a>\xef\xbf\xbe</a>", NotWellFormed),
        (b"<a b='\xef\xbf\xbf'/>", NotWellFormed),
        (b"<a>&#0;&#1;</a>", NotWellFormed),
        (b"<a>&#xD800;</a>", NotWellFormed),
        (b"<a b='&#x110000;'/>", NotWellFormed),
        (b"<a>&#X41;</a>", NotWellFormed),
        (b"<a>&#;</a>", NotWellFormed),
        (b"<a>&</a>", NotWellFormed),
        (b"<a>& </a>", NotWellFormed),
        (b"<a>&foo;</a>", Restricted),
        (b"<a b='&foo;'/>", Restricted),
        (b"<a>]]></a>", NotWellFormed),
        (b"<a b='<'/>", NotWellFormed),
        (b"<1a/>", NotWellFormed),
        (b"<!/>", Restricted),
        ("<a\u{d7}/>".as_bytes(), NotWellFormed),
        // Names of the fifth edition of XML 1.0 only.
        ("<\u{370}/>".as_bytes(), NotWellFormed),
        ("<a\u{10000}/>".as_bytes(), NotWellFormed),
        ("<a \u{feff}='1'/>".as_bytes(), NotWellFormed),
        (b"<a<b/>", NotWellFormed),
        (b"<a <='1'/>", NotWellFormed),
        (b"<a 1='1'/>", NotWellFormed),
        (b"<>", NotWellFormed),
        (b"< a/>", NotWellFormed),
        (b"<a:b:c/>", NotWellFormed),
        (b"<a:/>", NotWellFormed),
        (b"<:a/>", NotWellFormed),
        (b"<a:1/>", NotWellFormed),
        (b"<a\x0c/>", NotWellFormed),
        (b"<a b='1'c='2'/>", NotWellFormed),
        (b"<a b/>", NotWellFormed),
        (b"<a b=1/>", NotWellFormed),
        (b"<a//>", NotWellFormed),
        (b"<a/ >", NotWellFormed),
        (b"<a><!-- x --></a>", Restricted),
        (b"<a><?x y?></a>", Restricted),
        (b"<a><?xml version='1.0'?></a>", NotWellFormed),
        (b"<a><!DOCTYPE x></a>", Restricted),
        (b"<a></ a>", NotWellFormed),
        (b"<a></a b='1'>", NotWellFormed),
        (b"<a></>", NotWellFormed),
        (b"<a>", NotWellFormed),
        (b"<a/><b/>", NotWellFormed),
        (b"<a/>x", NotWellFormed),
        (b"<![CDATA[x]]>", NotWellFormed),
    ];
    for (text, error) in rows {
        assert_eq!(
            checked(text),
            Err(*error),
            "{}",
            String::from_utf8_lossy(text)
        );
    }
}

#[test]
fn limits_hold_at_the_limit_and_one_past_it() {
    let limits = Limits::before_login();
    let passes = |text: String| check(text.as_bytes(), &limits);
    let nested = |depth: usize| "<a>".repeat(depth) + &"</a>".repeat(depth);
    let flat = |count: usize| format!("<a>{}</a>", "<b/>".repeat(count - 1));
    let attributes = |count: usize| {
        let all: String = (0..count).map(|n| format!(" a{n}='1'")).collect();
        format!("<a{all}/>")
    };
    let namespaces = |count: usize| {
        let all: String = (0..count).map(|n| format!(" xmlns:a{n}='1'")).collect();
        format!("<a{all} xmlnsx='1' xmlna='2'/>")
    };
    let named = |length: usize| format!("<{}/>", "a".repeat(length));
    let attribute_named = |length: usize| format!("<a {}='1'/>", "a".repeat(length));
    let rows: [(&dyn Fn(usize) -> String, usize); 6] = [
        (&nested, usize::from(limits.depth)),
        (&flat, limits.elements as usize),
        (&attributes, usize::from(limits.attributes)),
        (&namespaces, usize::from(limits.namespaces)),
        (&named, usize::from(limits.name_len)),
        (&attribute_named, usize::from(limits.name_len)),
    ];
    for (number, (make, limit)) in rows.into_iter().enumerate() {
        assert_eq!(passes(make(limit)), Ok(()), "row {number}");
        assert_eq!(
            passes(make(limit + 1)),
            Err(XmlError::TooComplex),
            "row {number}"
        );
    }
}

#[test]
fn a_name_cut_anywhere_counts_the_same() {
    let text = b"<ab xmlns:abc='u' xmlns='v'/>";
    for cut in 1..text.len() {
        let mut framer = Framer::new();
        let limits = Limits::after_login();
        let (read, found) = framer.scan(&text[..cut], &limits).unwrap();
        assert_eq!((read, found), (cut, Found::More));
        let (read, found) = framer.scan(&text[cut..], &limits).unwrap();
        assert_eq!((read, found), (text.len() - cut, Found::Element));
        assert_eq!(
            (framer.namespaces, framer.attributes),
            (2, 0),
            "cut at {cut}"
        );
    }
}
