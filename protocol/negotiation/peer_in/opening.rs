//! Headers, features and STARTTLS (RFC 6120 §4, §5).

use smol_str::SmolStr;

use super::{Action, Actions, Opened, PeerIn, Waiting};
use crate::dialback;
use crate::error::{StreamCondition, StreamError};
use crate::jid::Jid;
use crate::negotiation::{
    OwnHeader, Random, Standing, VERSION, answered_version, features, limits_feature,
    starttls_feature, stream_id,
};
use crate::ns;
use crate::reader::Header;
use crate::stream_management;
use crate::xml::Element;

impl PeerIn {
    /// Answers a header: first by ours, whatever is wrong with theirs (RFC 6120 §4.9.1.2).
    pub(super) fn open(
        &mut self,
        header: &Header,
        random: Random<'_>,
        out: &mut Actions,
    ) -> Result<(), StreamError> {
        if self.opened.is_some() {
            return Err(StreamCondition::InvalidXml.into());
        }
        let to = domain(header.to.as_deref());
        let ours = to.as_ref().ok().and_then(Option::as_deref);
        let ours = ours.filter(|to| self.serves(to));
        let from = domain(header.from.as_deref());
        let theirs = from.as_ref().ok().and_then(Option::as_deref);
        let version = answered_version(header.version);
        let id = self.write_header(ours, theirs, version, random, out);
        let to = to?.ok_or(StreamCondition::ImproperAddressing)?;
        if !self.serves(&to) {
            return Err(StreamCondition::HostUnknown.into());
        }
        let peer = from?;
        // Attack F03: nobody else is one of us.
        if peer.as_deref().is_some_and(|peer| self.serves(peer)) {
            return Err(StreamCondition::InvalidFrom.into());
        }
        // §4.7.5: older than 1.0 means no features, without which there is no TLS.
        if version.is_none_or(|version| version < VERSION) {
            return Err(StreamCondition::UnsupportedVersion.into());
        }
        self.check_identity(&to, peer.as_deref())?;
        let opened = Opened {
            domain: to,
            peer: peer.clone(),
            id,
            standing: None,
        };
        self.opened = Some(opened);
        match peer {
            Some(peer) if self.secured && self.external.is_none() => {
                self.waiting = Waiting::Header;
                out.push(Action::Judge(peer));
            }
            _ => out.element(&features(self.offered())),
        }
        if let Some(pair) = self.external.clone() {
            // Only now may stanzas go back.
            let bidi = self.bidi;
            out.push(Action::Proved { pair, bidi });
        }
        Ok(())
    }

    /// The answer to [`Action::Judge`] about the header.
    pub(super) fn judged(
        &mut self,
        standing: Standing,
        out: &mut Actions,
    ) -> Result<(), StreamError> {
        if standing == Standing::Blocked {
            let error = StreamError::new(StreamCondition::PolicyViolation);
            return Err(error.with_text("this domain is not welcome here"));
        }
        if let Some(opened) = &mut self.opened {
            opened.standing = Some(standing);
        }
        out.element(&features(self.offered()));
        Ok(())
    }

    /// Writes our header and gives its id; `from` is our first domain where the peer named none of
    /// ours (RFC 6120 §4.9.1.3).
    pub(super) fn write_header(
        &self,
        from: Option<&str>,
        to: Option<&str>,
        version: Option<(u32, u32)>,
        random: Random<'_>,
        out: &mut Actions,
    ) -> SmolStr {
        let id = stream_id(random);
        let ours = self.settings.domains.first().map(SmolStr::as_str);
        let header = OwnHeader {
            content_ns: ns::SERVER,
            from: from.or(ours),
            to,
            id: Some(&id),
            version,
        };
        out.write(|bytes| header.write(bytes));
        id.into()
    }

    /// `<starttls/>` (RFC 6120 §5.4.2).
    pub(super) fn starttls(&mut self, behind: usize, out: &mut Actions) {
        let Some(opened) = &self.opened else { return };
        if self.secured {
            // It was not offered (§5.4.2.2).
            out.element(&Element::new(ns::TLS, "failure"));
            return self.end(out);
        }
        if behind > 0 {
            // Bytes that want to be heard in clear as if inside TLS are never read (§5.4.3.3).
            self.over = true;
            return out.push(Action::Close(None));
        }
        let domain = opened.domain.clone();
        out.element(&Element::new(ns::TLS, "proceed"));
        out.push(Action::StartTls(domain));
        self.waiting = Waiting::Tls;
    }

    /// After EXTERNAL the header must name who was authenticated, and to whom (attack F07).
    fn check_identity(&self, to: &str, peer: Option<&str>) -> Result<(), StreamError> {
        let same = self.external.as_ref().is_none_or(|pair| {
            let same_peer = peer.is_none_or(|peer| pair.from == peer);
            pair.to == to && same_peer
        });
        match same {
            true => Ok(()),
            false => Err(StreamCondition::NotAuthorized.into()),
        }
    }

    /// What is offered on a stream that was just opened.
    fn offered(&self) -> Vec<Element> {
        let limits = &self.settings.limits;
        let announce = |bytes| limits_feature(bytes, limits.idle_seconds);
        if !self.secured {
            return vec![starttls_feature(true), announce(limits.bytes_before_login)];
        }
        let standing = self.opened.as_ref().and_then(|opened| opened.standing);
        let external = self.external.is_none() && standing == Some(Standing::Certified);
        let mut features = Vec::new();
        if external {
            let mechanism = Element::new(ns::SASL, "mechanism").with_text("EXTERNAL");
            features.push(Element::new(ns::SASL, "mechanisms").with_child(mechanism));
        }
        features.push(dialback::feature());
        if self.settings.bidi && self.external.is_none() {
            features.push(Element::new(ns::BIDI_FEATURE, "bidi"));
        }
        // After dialback there is no new header to offer things behind: so what holds then is told
        // at once, unless a new header is to come.
        if external {
            features.push(announce(limits.bytes_before_login));
        } else {
            features.push(stream_management::feature());
            features.push(announce(limits.bytes_after_login));
        }
        features
    }
}

/// A domain in a header, which may be missing, but nothing else.
fn domain(text: Option<&str>) -> Result<Option<SmolStr>, StreamError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let jid = Jid::parse(text).ok();
    match jid.filter(|jid| jid.as_str() == jid.domain()) {
        Some(jid) => Ok(Some(jid.domain().into())),
        None => Err(StreamCondition::ImproperAddressing.into()),
    }
}
