//! Made input: sound stanzas in every spelling, the same broken, and plain nonsense.

use rookery_protocol::xml::Element;

/// Numbers that look random and are the same for the same seed.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bf0_3635)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 11) % bound
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len() as u64) as usize]
    }
}

const NAMES: &[&str] = &[
    "a", "body", "x-1", "é", "_.b", "query", "message", "stream", "xmlnsa",
];
const URIS: &[&str] = &[
    "urn:a",
    "urn:b",
    "jabber:client",
    "jabber:server",
    "u&amp;v",
    "ü",
    "http://x/&#65;",
];
const PREFIXES: &[&str] = &["p", "q", "stream", "ns0", "xmlnsx"];
const SPACES: &[&str] = &[" ", "  ", "\n", "\t ", "\r\n"];
const TEXTS: &[&str] = &[
    "hello",
    " ",
    "\n",
    "\r\n",
    "\r",
    "ä",
    "€",
    "\u{1f600}",
    "&amp;",
    "&lt;",
    "&#10;",
    "&#13;",
    "&#x1F600;",
    "]]",
    "]",
    "]>",
    ">",
    "'",
    "\"",
    "/>",
    "\u{7f}",
    "\u{85}",
    "\u{2028}",
    "\u{feff}",
    "&apos;&quot;&gt;",
];
const SECTIONS: &[&str] = &[
    "<![CDATA[]]>",
    "<![CDATA[<b>&x;</b>]]>",
    "<![CDATA[]]]]>",
    "<![CDATA[> ]] ä\r\n]]>",
];

/// Some sound stanzas with white space between.
pub fn stanzas(dice: &mut Dice) -> String {
    let mut text = String::new();
    for _ in 0..=dice.below(3) {
        let name = dice.pick(&["message", "presence", "iq", "r"]);
        let depth = 1 + dice.below(4);
        element(dice, &mut text, name, &mut Vec::new(), depth);
        if dice.below(3) == 0 {
            text.push_str(dice.pick(SPACES));
        }
    }
    text
}

fn element(
    dice: &mut Dice,
    out: &mut String,
    local: &str,
    declared: &mut Vec<(String, String)>,
    depth: u64,
) {
    let outside = declared.len();
    let mut tag = String::new();
    // A prefix that the element declares or that is in scope, or none.
    for prefix in PREFIXES {
        if dice.below(12) == 0 {
            let uri = dice.pick(URIS);
            tag.push_str(&format!("{}xmlns:{prefix}='{uri}'", dice.pick(SPACES)));
            declared.push(((*prefix).to_owned(), uri.to_owned()));
        }
    }
    if dice.below(5) == 0 {
        let uri = dice.pick(URIS);
        tag.push_str(&format!(
            "{}xmlns={quote}{uri}{quote}",
            dice.pick(SPACES),
            quote = '"'
        ));
    }
    attributes(dice, &mut tag, declared);
    let prefix = if depth > 0 {
        prefix(dice, declared)
    } else {
        String::new()
    };
    // A root of the stream's own name would be a header.
    let is_stream = prefix == "stream" || local == "stream";
    let local = if is_stream && declared.len() == outside {
        "a"
    } else {
        local
    };
    let name = match prefix.is_empty() || prefix == "xml" {
        true => local.to_owned(),
        false => format!("{prefix}:{local}"),
    };
    let space = dice.pick(&["", "", "", " "]);
    if dice.below(4) == 0 {
        out.push_str(&format!("<{name}{tag}{space}/>"));
    } else {
        out.push_str(&format!("<{name}{tag}{space}>"));
        inside(dice, out, declared, depth);
        out.push_str(&format!("</{name}{space}>"));
    }
    declared.truncate(outside);
}

/// Attributes whose expanded names differ.
fn attributes(dice: &mut Dice, tag: &mut String, declared: &[(String, String)]) {
    let mut seen: Vec<(String, String)> = Vec::new();
    for _ in 0..dice.below(4) {
        let name = dice.pick(&["id", "to", "é", "type", "lang"]).to_owned();
        let prefix = prefix(dice, declared);
        let bound = declared.iter().rev().find(|(held, _)| *held == prefix);
        let uri = bound.map_or(prefix.clone(), |(_, uri)| uri.clone());
        if seen.contains(&(uri.clone(), name.clone())) {
            continue;
        }
        seen.push((uri, name.clone()));
        let quote = dice.pick(&["'", "\""]);
        let value: String = (0..dice.below(4)).map(|_| dice.pick(TEXTS)).collect();
        let value = value.replace(quote, "");
        let name = if prefix.is_empty() {
            name
        } else {
            format!("{prefix}:{name}")
        };
        let space = dice.pick(&["", "", " ", "\n"]);
        tag.push_str(&format!(
            "{}{name}{space}={space}{quote}{value}{quote}",
            dice.pick(SPACES)
        ));
    }
}

fn prefix(dice: &mut Dice, declared: &[(String, String)]) -> String {
    match dice.below(4) {
        0 if !declared.is_empty() => declared[dice.below(declared.len() as u64) as usize]
            .0
            .clone(),
        1 if dice.below(4) == 0 => "xml".to_owned(),
        _ => String::new(),
    }
}

fn inside(dice: &mut Dice, out: &mut String, declared: &mut Vec<(String, String)>, depth: u64) {
    for _ in 0..dice.below(4) {
        match dice.below(5) {
            0 | 1 if depth > 0 => {
                let name = dice.pick(NAMES);
                element(dice, out, name, declared, depth - 1);
            }
            2 => out.push_str(dice.pick(SECTIONS)),
            _ => {
                // Two pieces must not make the end of a section between them.
                let text = dice.pick(TEXTS);
                let is_end = out.ends_with(']') && (text.starts_with('>') || text.starts_with(']'));
                out.push_str(if is_end { " " } else { text });
            }
        }
    }
}

/// What breaks parsers.
const PIECES: &[&[u8]] = &[
    b"<",
    b">",
    b"/",
    b"&",
    b";",
    b"'",
    b"\"",
    b"=",
    b" ",
    b"]]>",
    b"<!--",
    b"-->",
    b"<?x?>",
    b"<!DOCTYPE x>",
    b"<![CDATA[",
    b"&#0;",
    b"&#xFFFE;",
    b"&foo;",
    b"&#xD800;",
    b"\x00",
    b"\x0c",
    b"\xff",
    b"\xc0\xaf",
    b"\xed\xa0\x80",
    b"\xef\xbf\xbe",
    b"\xe2",
    b"\xf0\x9f",
    b" xmlns=''",
    b" xmlns='urn:a'",
    b" xmlns:p=''",
    b" xmlns:p='urn:a'",
    b" p:id='1'",
    b" id='1'",
    b":",
    b"a:b:c",
    b"<p:a/>",
    b"<1/>",
    b"xmlns",
    b" xmlns:xml='u'",
    b"\xef\xbb\xbf",
    b" xmlns:xmlns='u'",
    b"</message>",
    b"<message>",
    b"x",
    b"<?xml version='1.0'?>",
    b"1.1",
    b" encoding='utf-8'",
    b"stream:",
    b"\xc3\x97",
    b"\xc2\xb7",
    b"\xcd\xbe",
];

/// Some bytes changed, doubled, taken out, or put in from what breaks parsers.
pub fn broken(mut text: Vec<u8>, dice: &mut Dice) -> Vec<u8> {
    for _ in 0..=dice.below(2) {
        if text.is_empty() {
            break;
        }
        let at = dice.below(text.len() as u64) as usize;
        match dice.below(5) {
            0 => {
                text.remove(at);
            }
            1 => text[at] = dice.below(256) as u8,
            2 => {
                let end = (at + dice.below(12) as usize).min(text.len());
                let doubled = text[at..end].to_vec();
                text.splice(at..at, doubled);
            }
            _ => {
                let piece = PIECES[dice.below(PIECES.len() as u64) as usize];
                text.splice(at..at, piece.iter().copied());
            }
        }
    }
    text
}

/// Tokens in no order.
pub fn tokens(dice: &mut Dice) -> Vec<u8> {
    const TOKENS: &[&str] = &[
        "<a",
        "<b",
        ">",
        "/>",
        "</a>",
        "</b>",
        " x='1'",
        " y=\"2\"",
        "t",
        " ",
        "&amp;",
        "<a>",
        "<a/>",
        "<b>",
        " xmlns='u'",
        " xmlns:p='v'",
        "<p:a",
        "</p:a>",
        " p:x=''",
        "<![CDATA[",
        "]]>",
        "]",
        "<message>",
        "</message>",
        "='",
        "'",
        "xml",
        ":",
        "<",
        "</",
        "ä",
        " xml:lang='de'",
    ];
    let count = 1 + dice.below(12);
    (0..count)
        .flat_map(|_| dice.pick(TOKENS).bytes().collect::<Vec<u8>>())
        .collect()
}

/// Any tree that a program might build.
pub fn tree(dice: &mut Dice, depth: u64) -> Element {
    const NS: &[&str] = &[
        "jabber:client",
        "urn:a",
        "",
        "http://etherx.jabber.org/streams",
        "a'b(&)~",
        "http://www.w3.org/XML/1998/namespace",
    ];
    let (ns, name) = (dice.pick(NS), dice.pick(NAMES));
    let mut element = Element::new(ns, if name == "stream" { "a" } else { name });
    for _ in 0..dice.below(4) {
        let value: String = (0..dice.below(4)).map(|_| dice.pick(TEXTS)).collect();
        let ns = dice.pick(&[
            "",
            "",
            "urn:a",
            "urn:b",
            "http://www.w3.org/XML/1998/namespace",
        ]);
        element.set_attr_ns(ns, dice.pick(&["id", "é", "lang"]), value + "\t\n\r");
    }
    for _ in 0..dice.below(4) {
        match dice.below(2) {
            0 if depth > 0 => element.push(tree(dice, depth - 1)),
            _ => element.push_text(dice.pick(TEXTS)),
        }
    }
    element
}
