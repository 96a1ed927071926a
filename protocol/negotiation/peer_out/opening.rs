//! Headers, features and TLS (RFC 6120 §4, §5; RFC 7590).

use super::{Action, Actions, PeerOut, Phase, Purpose, broken};
use crate::error::StreamCondition;
use crate::jid::Jid;
use crate::negotiation::{Announced, OwnHeader, Refusal, Standing, VERSION, answered_version};
use crate::ns;
use crate::reader::Header;
use crate::xml::Element;

/// Longest id of a stream, in bytes: each key is derived from it.
const MAX_ID: usize = 256;

impl PeerOut {
    /// Writes our header; theirs is due.
    pub(super) fn write_header(&mut self, out: &mut Actions) {
        let header = OwnHeader {
            content_ns: ns::SERVER,
            from: Some(&self.errand.pair.from),
            to: Some(&self.errand.pair.to),
            id: None,
            version: Some(VERSION),
        };
        out.write(|bytes| header.write(bytes));
        self.phase = Phase::Header;
    }

    /// Their header (attack F43). A missing `from` is forgiven: what counts is proved inside TLS.
    pub(super) fn open(&mut self, header: &Header) -> Result<(), Refusal> {
        if self.phase != Phase::Header {
            return Err(broken(StreamCondition::InvalidXml));
        }
        let is_it =
            |from: &str| Jid::parse(from).is_ok_and(|from| from.as_str() == self.errand.pair.to);
        if !header.from.as_deref().is_none_or(is_it) {
            return Err(Refusal::WrongName);
        }
        if answered_version(header.version).is_none_or(|version| version < VERSION) {
            return Err(Refusal::OldVersion);
        }
        let id = header.id.clone().unwrap_or_default();
        if !(1..=MAX_ID).contains(&id.len()) {
            return Err(Refusal::NoId);
        }
        self.theirs.id = id;
        self.theirs.dialback = header.has_dialback;
        self.phase = Phase::Features;
        Ok(())
    }

    /// `<stream:features/>`.
    pub(super) fn features(
        &mut self,
        features: &Element,
        out: &mut Actions,
    ) -> Result<(), Refusal> {
        self.theirs.announced = Announced::parse(features);
        if self.phase != Phase::Features {
            return Ok(());
        }
        if !self.secured {
            if features.child(ns::TLS, "starttls").is_none() {
                return Err(Refusal::NoTls);
            }
            out.element(&Element::new(ns::TLS, "starttls"));
            self.phase = Phase::Proceed;
            return Ok(());
        }
        let dialback = features.child(ns::DIALBACK_FEATURE, "dialback");
        let errors = dialback.and_then(|it| it.child(ns::DIALBACK_FEATURE, "errors"));
        self.theirs.dialback |= dialback.is_some();
        self.theirs.errors = errors.is_some();
        self.theirs.management = features.child(ns::STREAM_MANAGEMENT, "sm").is_some();
        if self.authenticated {
            let pair = self.errand.pair.clone();
            self.prove(pair, out);
            return Ok(());
        }
        if self.errand.purpose == Purpose::Verify {
            self.phase = Phase::Open;
            self.go_on(out);
            return Ok(());
        }
        if self.settings.bidi && features.child(ns::BIDI_FEATURE, "bidi").is_some() {
            out.element(&Element::new(ns::BIDI, "bidi"));
            self.bidi = true;
        }
        self.log_in(offers_external(features), out)
    }

    /// `<proceed/>` or `<failure/>` (RFC 6120 §5.4.2). What came behind it is not parsed
    /// (attack F39).
    pub(super) fn tls(
        &mut self,
        name: &str,
        behind: usize,
        out: &mut Actions,
    ) -> Result<(), Refusal> {
        match name {
            "proceed" | "failure" if self.phase != Phase::Proceed => {
                Err(broken(StreamCondition::UnsupportedStanzaType))
            }
            "proceed" => {
                self.phase = Phase::Handshake;
                if behind > 0 {
                    return Err(Refusal::Injection);
                }
                out.push(Action::StartTls(self.errand.pair.to.clone()));
                Ok(())
            }
            "failure" => Err(Refusal::TlsRefused),
            _ => Err(broken(StreamCondition::UnsupportedStanzaType)),
        }
    }

    /// TLS is up: what was said before it is forgotten (RFC 6120 §5.4.3.3).
    pub(super) fn secure(&mut self, standing: Standing, out: &mut Actions) -> Result<(), Refusal> {
        if !matches!(self.phase, Phase::Start | Phase::Handshake) {
            return Ok(());
        }
        match standing {
            Standing::Certified | Standing::Dialback => {}
            Standing::Uncertified => return Err(Refusal::Certificate),
            Standing::Blocked => return Err(Refusal::Blocked),
        }
        self.theirs = Default::default();
        self.secured = true;
        self.write_header(out);
        Ok(())
    }
}

fn offers_external(features: &Element) -> bool {
    let mechanisms = features.child(ns::SASL, "mechanisms");
    let mut offered = mechanisms.iter().flat_map(|it| it.children());
    offered.any(|it| it.is(ns::SASL, "mechanism") && it.text().trim() == "EXTERNAL")
}
