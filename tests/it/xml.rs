//! What the tests read: a tree of elements, made by `rxml`, a parser the server does not use, so
//! that whatever the server writes is judged by somebody else; and the pattern match of stories.

use rxml::error::EndOrError;
use rxml::{Event, Options, Parse, Parser, WithOptions};
use std::collections::VecDeque;
use std::fmt;

/// The namespace of stanzas on a client's stream.
pub const CLIENT: &str = "jabber:client";
/// The namespace of `<stream:stream>` itself.
pub const STREAMS: &str = "http://etherx.jabber.org/streams";
/// Conditions inside `<stream:error/>`.
pub const STREAM_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-streams";
/// Conditions inside `<error/>` of a stanza.
pub const STANZA_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";
/// SASL (RFC 6120 §6).
pub const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
/// STARTTLS (RFC 6120 §5).
pub const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";

const XML: &str = "http://www.w3.org/XML/1998/namespace";

/// One element with everything in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct El {
    pub ns: String,
    pub name: String,
    /// Namespace, name, value; without namespace declarations.
    pub attrs: Vec<(String, String, String)>,
    pub children: Vec<El>,
    /// The character data directly inside, joined.
    pub text: String,
}

impl El {
    /// Reads one element written by a test; `jabber:client` needs no declaration.
    pub fn parse(text: &str) -> El {
        let mut reader = Reader::default();
        let open = format!("<stream:stream xmlns='{CLIENT}' xmlns:stream='{STREAMS}'>");
        reader.feed(open.as_bytes()).expect("header");
        reader
            .feed(text.as_bytes())
            .unwrap_or_else(|e| panic!("pattern {text}: {e}"));
        let mut found = reader.heard.drain(..).filter_map(|heard| match heard {
            Heard::Element(el) => Some(el),
            _ => None,
        });
        let first = found
            .next()
            .unwrap_or_else(|| panic!("pattern is not whole: {text}"));
        assert!(
            found.next().is_none(),
            "two elements in one pattern: {text}"
        );
        first
    }

    /// The value of an attribute without namespace (`xml:lang` is asked as `xml:lang`).
    pub fn attr(&self, name: &str) -> Option<&str> {
        let (ns, local) = match name.strip_prefix("xml:") {
            Some(local) => (XML, local),
            None => ("", name),
        };
        self.attrs
            .iter()
            .find(|(n, l, _)| n == ns && l == local)
            .map(|(_, _, v)| v.as_str())
    }

    pub fn is(&self, ns: &str, name: &str) -> bool {
        self.ns == ns && self.name == name
    }

    pub fn child(&self, ns: &str, name: &str) -> Option<&El> {
        self.children.iter().find(|c| c.is(ns, name))
    }

    /// The text of a child, "" if there is none.
    pub fn child_text(&self, ns: &str, name: &str) -> &str {
        self.child(ns, name).map(|c| c.text.as_str()).unwrap_or("")
    }

    /// Type and condition of the `<error/>` of a stanza.
    pub fn error(&self) -> Option<(&str, &str)> {
        let error = self.child(CLIENT, "error")?;
        let condition = error
            .children
            .iter()
            .find(|c| c.ns == STANZA_ERRORS && c.name != "text")?;
        Some((error.attr("type").unwrap_or(""), &condition.name))
    }

    /// Whether this element is what `pattern` describes, else the reason why not.
    ///
    /// Name and namespace are equal; every attribute of the pattern is there with that value
    /// (`*`: any value, `-`: absent); a `type` the pattern does not name is absent; every child of
    /// the pattern is met by a child of its own, and the pattern's text is the text. What is there
    /// besides (`xml:lang`, other children) does not matter.
    pub fn fits(&self, pattern: &El) -> Result<(), String> {
        if !self.is(&pattern.ns, &pattern.name) {
            return Err(format!("is <{}>, not <{}>", self.name, pattern.name));
        }
        let stanza = self.ns == CLIENT && ["message", "presence", "iq"].contains(&&*self.name);
        if stanza && pattern.attr("type").is_none() && self.attr("type").is_some() {
            return Err(format!("has type='{}'", self.attr("type").unwrap_or("")));
        }
        for (ns, name, wanted) in &pattern.attrs {
            let value = self.attrs.iter().find(|(n, l, _)| n == ns && l == name);
            match (value.map(|(_, _, v)| v.as_str()), wanted.as_str()) {
                (Some(_), "*") | (None, "-") => {}
                (Some(value), wanted) if value == wanted => {}
                (value, wanted) => {
                    return Err(format!("{name} is {value:?}, not {wanted:?}"));
                }
            }
        }
        let wanted = pattern.text.trim();
        if !wanted.is_empty() && self.text != wanted {
            return Err(format!(
                "<{}> says {:?}, not {wanted:?}",
                self.name, self.text
            ));
        }
        self.children_fit(pattern)
    }

    fn children_fit(&self, pattern: &El) -> Result<(), String> {
        let mut free: Vec<&El> = self.children.iter().collect();
        for wanted in &pattern.children {
            match free.iter().position(|child| child.fits(wanted).is_ok()) {
                Some(at) => {
                    free.remove(at);
                }
                None => return Err(format!("<{}> has no {wanted}", self.name)),
            }
        }
        Ok(())
    }
}

impl fmt::Display for El {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} xmlns='{}'", self.name, self.ns)?;
        for (ns, name, value) in &self.attrs {
            let prefix = if ns == XML { "xml:" } else { "" };
            write!(f, " {prefix}{name}='{}'", escaped(value))?;
        }
        write!(f, ">{}", escaped(&self.text))?;
        for child in &self.children {
            write!(f, "{child}")?;
        }
        write!(f, "</{}>", self.name)
    }
}

/// Text made fit for XML, in quotes too.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\'' => out.push_str("&apos;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

/// What a stream can say.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// The `<stream:stream>` header.
    Open(El),
    Element(El),
    /// `</stream:stream>`.
    End,
}

/// Turns the bytes of a stream into what was said.
pub struct Reader {
    parser: Parser,
    open: Vec<El>,
    pub heard: VecDeque<Heard>,
}

impl Default for Reader {
    fn default() -> Self {
        let options = Options {
            max_token_length: 1 << 20,
            ..Options::default()
        };
        Reader {
            parser: Parser::with_options(options),
            open: Vec::new(),
            heard: VecDeque::new(),
        }
    }
}

impl Reader {
    /// Reads on; an error says that the server wrote bad XML.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        loop {
            match self.parser.parse(&mut bytes, false) {
                Ok(Some(event)) => self.event(event),
                Ok(None) | Err(EndOrError::NeedMoreData) => return Ok(()),
                Err(EndOrError::Error(e)) => return Err(e.to_string()),
            }
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::XmlDeclaration(..) => {}
            Event::StartElement(_, (ns, name), attrs) => {
                let attrs = attrs.iter().map(|((ns, name), value)| {
                    (
                        ns.as_str().to_string(),
                        name.as_str().to_string(),
                        value.clone(),
                    )
                });
                let el = El {
                    ns: ns.as_str().to_string(),
                    name: name.as_str().to_string(),
                    attrs: attrs.collect(),
                    ..El::default()
                };
                if self.open.is_empty() {
                    self.heard.push_back(Heard::Open(el.clone()));
                }
                self.open.push(el);
            }
            Event::Text(_, text) => {
                if let [_, .., last] = &mut self.open[..] {
                    last.text.push_str(&text);
                }
            }
            Event::EndElement(_) => {
                let done = self.open.pop().expect("the parser keeps the balance");
                match &mut self.open[..] {
                    [] => self.heard.push_back(Heard::End),
                    [_] => self.heard.push_back(Heard::Element(done)),
                    [.., parent] => parent.children.push(done),
                }
            }
        }
    }
}
