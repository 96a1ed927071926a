//! How a stream comes about (RFC 6120 §4 to §7): machines that take events and answer with
//! actions, and what their two ends have in common. Whoever owns the socket performs the actions.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::error::StreamError;
use crate::ns;
use crate::xml::{Element, attribute};

mod actions;
pub mod client;
pub mod component;
pub mod peer_in;
pub mod peer_out;
mod refusal;
#[cfg(test)]
mod servers;
#[cfg(test)]
mod transcript;

/// The version of XMPP that this is (RFC 6120 §4.7.5).
pub const VERSION: (u32, u32) = (1, 0);

/// The end of every stream.
pub const STREAM_END: &[u8] = b"</stream:stream>";

pub use refusal::Refusal;

/// Fills a slice with bytes that nobody can foretell.
pub type Random<'a> = &'a mut dyn FnMut(&mut [u8]);

/// What the other server's certificate and our policy for its domain come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Its certificate is good for the domain (RFC 6120 §13.7): that is proof enough.
    Certified,
    /// It is not, but for this domain dialback will do.
    Dialback,
    /// It is not, and for this domain nothing else will do.
    Uncertified,
    /// We want nothing to do with this domain.
    Blocked,
}

/// A stream header of ours (RFC 6120 §4.7): an initial one has no id, a response always has one.
#[derive(Clone, Copy, Debug)]
pub struct OwnHeader<'a> {
    /// `jabber:client`, `jabber:server` or `jabber:component:accept`.
    pub content_ns: &'a str,
    /// One of our domains, also where the peer named none of them (§4.9.1.3).
    pub from: Option<&'a str>,
    /// What the peer called itself, if it did (§4.7.2), or whom we called.
    pub to: Option<&'a str>,
    /// See [`stream_id`].
    pub id: Option<&'a str>,
    /// What [`answered_version`] says.
    pub version: Option<(u32, u32)>,
}

impl OwnHeader<'_> {
    /// Writes the XML declaration and the header.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"<?xml version='1.0'?><stream:stream");
        let version = self
            .version
            .map(|(major, minor)| format!("{major}.{minor}"));
        let attributes = [
            ("from", self.from),
            ("id", self.id),
            ("to", self.to),
            ("version", version.as_deref()),
            // The language of our own texts (§4.7.4).
            ("xml:lang", Some("en")),
            ("xmlns", Some(self.content_ns)),
            // What servers know dialback by (XEP-0220 §2.4.1).
            (
                "xmlns:db",
                (self.content_ns == ns::SERVER).then_some(ns::DIALBACK),
            ),
            ("xmlns:stream", Some(ns::STREAM)),
        ];
        for (name, value) in attributes {
            if let Some(value) = value {
                attribute(out, "", name, value);
            }
        }
        out.push(b'>');
    }
}

/// A new stream id: 144 random bits (RFC 6120 §4.7.3 wants it unpredictable and never repeated), in
/// letters that an NMTOKEN may have, as XEP-0220's schema wants it.
pub fn stream_id(random: Random<'_>) -> String {
    let mut bytes = [0; 18];
    random(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The lower of the two versions, compared as numbers; none for a peer that has none (§4.7.5).
pub fn answered_version(theirs: Option<(u32, u32)>) -> Option<(u32, u32)> {
    theirs.map(|version| version.min(VERSION))
}

/// `<stream:features/>` with these in it.
pub fn features(offered: impl IntoIterator<Item = Element>) -> Element {
    Element::new(ns::STREAM, "features").with_children(offered)
}

/// `<starttls/>` as a feature (RFC 6120 §5.4.1).
pub fn starttls_feature(required: bool) -> Element {
    let feature = Element::new(ns::TLS, "starttls");
    match required {
        true => feature.with_child(Element::new(ns::TLS, "required")),
        false => feature,
    }
}

/// XEP-0478: the largest stanza in bytes, and the seconds of silence before we ask.
pub fn limits_feature(max_bytes: u64, idle_seconds: Option<u32>) -> Element {
    let number =
        |name: &str, value: u64| Element::new(ns::STREAM_LIMITS, name).with_text(value.to_string());
    Element::new(ns::STREAM_LIMITS, "limits")
        .with_child(number("max-bytes", max_bytes))
        .with_children(idle_seconds.map(|seconds| number("idle-seconds", seconds.into())))
}

/// What a peer announces by XEP-0478, as far as it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Announced {
    /// The largest stanza that it takes, in bytes.
    pub max_bytes: Option<u64>,
    /// The seconds of silence after which it may end the stream.
    pub idle_seconds: Option<u32>,
}

impl Announced {
    /// Reads `<limits/>` in `<stream:features/>`.
    pub fn parse(features: &Element) -> Announced {
        let limits = features.child(ns::STREAM_LIMITS, "limits");
        let text = |name| Some(limits?.child(ns::STREAM_LIMITS, name)?.text());
        Announced {
            max_bytes: text("max-bytes").and_then(|text| text.trim().parse().ok()),
            idle_seconds: text("idle-seconds").and_then(|text| text.trim().parse().ok()),
        }
    }
}

/// The answer to XEP-0138's `<compress/>`, which is never offered: it makes cheap bombs.
pub fn compression_refused() -> Element {
    let condition = Element::new(ns::COMPRESS, "unsupported-method");
    Element::new(ns::COMPRESS, "failure").with_child(condition)
}

/// Writes the error and the end of the stream (RFC 6120 §4.9.1.1).
pub fn write_error(error: &StreamError, out: &mut Vec<u8>) {
    error.write(out);
    out.extend_from_slice(STREAM_END);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6120 §4.7.5.
    #[test]
    fn versions_are_numbers() {
        let rows = [
            (None, None),
            (Some((0, 9)), Some((0, 9))),
            (Some((1, 0)), Some((1, 0))),
            (Some((1, 10)), Some((1, 0))),
            (Some((2, 0)), Some((1, 0))),
        ];
        for (theirs, ours) in rows {
            assert_eq!(answered_version(theirs), ours);
        }
    }

    #[test]
    fn headers_escape_what_the_peer_wrote() {
        let mut out = Vec::new();
        let header = OwnHeader {
            content_ns: ns::CLIENT,
            from: Some("a.test"),
            to: Some("o'neill&co@a.test"),
            id: Some("x"),
            version: Some(VERSION),
        };
        header.write(&mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(!text.contains("o'neill"), "{text}");
        assert!(
            text.ends_with(" xmlns:stream='http://etherx.jabber.org/streams'>"),
            "{text}"
        );
    }
}
