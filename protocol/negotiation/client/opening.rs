//! Headers, features and STARTTLS (RFC 6120 §4, §5).

use smol_str::SmolStr;

use super::{Action, Actions, Client, Opened, Plaintext, Waiting};
use crate::error::{StreamCondition, StreamError};
use crate::jid::Jid;
use crate::negotiation::{
    OwnHeader, Random, answered_version, features, limits_feature, starttls_feature, stream_id,
};
use crate::ns;
use crate::reader::Header;
use crate::sasl::{ChannelBindings, Hash, Mechanism, Terms};
use crate::stream_management;
use crate::xml::Element;

/// Longest `xml:lang` that is remembered, in bytes: it is added to every stanza without one. The
/// longest tags in use have 35 (RFC 5646 §4.4.1).
const MAX_LANG: usize = 64;

impl Client {
    /// Answers a header: first by ours, whatever is wrong with theirs (RFC 6120 §4.9.1.2).
    pub(super) fn open(
        &mut self,
        header: &Header,
        random: Random<'_>,
        out: &mut Actions,
    ) -> Result<(), StreamError> {
        if self.opened.is_some() {
            return Err(StreamError::new(StreamCondition::InvalidXml));
        }
        let domain = self.addressed(header);
        let from = header.from.as_deref().filter(|from| !from.is_empty());
        let from = from.map(Jid::parse).transpose();
        let to = from.as_ref().ok().and_then(Option::as_ref).map(Jid::bare);
        let version = answered_version(header.version);
        self.write_header(domain.as_deref().ok(), to.as_ref(), version, random, out);
        let domain = domain?;
        let from = from.map_err(|_| StreamError::new(StreamCondition::ImproperAddressing))?;
        // §4.7.5: older than 1.0 means neither TLS nor SASL, without which there is no login.
        if version.is_none_or(|version| version < crate::negotiation::VERSION) {
            return Err(StreamError::new(StreamCondition::UnsupportedVersion));
        }
        self.check_identity(&domain, from.as_ref())?;
        let terms = self.terms(&domain);
        let lang = header.lang.clone().filter(|lang| is_lang(lang));
        let opened = Opened {
            domain,
            from,
            lang,
            terms,
            version: None,
        };
        self.opened = Some(opened);
        let mut offered = self.offered();
        if let Some(opened) = &mut self.opened
            && opened.terms.is_some()
        {
            let version = version_of(&offered);
            let feature = Element::new(ns::PIPELINING, "config-version");
            let feature = feature.with_attr("scheme", "opaque");
            offered.push(feature.with_attr("value", &version));
            opened.version = Some(version);
        }
        out.element(&features(offered));
        Ok(())
    }

    /// Writes our header; `from` is our first domain where the client named none of ours
    /// (RFC 6120 §4.9.1.3).
    pub(super) fn write_header(
        &self,
        from: Option<&str>,
        to: Option<&Jid>,
        version: Option<(u32, u32)>,
        random: Random<'_>,
        out: &mut Actions,
    ) {
        let id = stream_id(random);
        let ours = self
            .settings
            .domains
            .first()
            .map_or("", |domain| domain.name.as_str());
        let header = OwnHeader {
            content_ns: ns::CLIENT,
            from: Some(from.unwrap_or(ours)),
            to: to.map(Jid::as_str),
            id: Some(&id),
            version,
        };
        out.write(|bytes| header.write(bytes));
    }

    /// `<starttls/>` (RFC 6120 §5.4.2).
    pub(super) fn starttls(&mut self, behind: usize, out: &mut Actions) {
        let Some(opened) = &self.opened else { return };
        if self.secured.is_some() || self.account.is_some() {
            // It was not offered (§5.4.2.2).
            out.element(&Element::new(ns::TLS, "failure"));
            out.end(None);
            self.over = true;
            return out.push(Action::Close(None));
        }
        if behind > 0 {
            // Somebody wants to be heard in clear as if inside TLS: such bytes must never be read,
            // and no honest client sends them (§5.4.3.3).
            self.over = true;
            return out.push(Action::Close(None));
        }
        let domain = opened.domain.clone();
        out.element(&Element::new(ns::TLS, "proceed"));
        out.push(Action::StartTls(domain));
        self.waiting = Waiting::Tls;
    }

    /// TLS is up: what was said before it is forgotten (RFC 6120 §5.4.3.3).
    pub(super) fn secure(&mut self, bindings: ChannelBindings) {
        self.opened = None;
        self.exchange = None;
        self.entry = None;
        self.secured = Some(bindings);
    }

    /// The domain of ours that `to` names (RFC 6120 §4.7.2, §4.9.3.6, §4.9.3.7).
    fn addressed(&self, header: &Header) -> Result<SmolStr, StreamError> {
        let improper = || StreamError::new(StreamCondition::ImproperAddressing);
        let to = header.to.as_deref().ok_or_else(improper)?;
        let to = Jid::parse(to).map_err(|_| improper())?;
        if to.local().is_some() || to.resource().is_some() {
            return Err(improper());
        }
        match self.domain(to.domain()) {
            Some(domain) => Ok(domain.name.clone()),
            None => Err(StreamError::new(StreamCondition::HostUnknown)),
        }
    }

    /// After login the header must name who logged in, and where (RFC 6120 §4.3.6); before it,
    /// somebody of the domain that is addressed (XEP-0388 §2.1).
    fn check_identity(&self, domain: &str, from: Option<&Jid>) -> Result<(), StreamError> {
        let Some(account) = &self.account else {
            return match from.is_none_or(|from| from.domain() == domain) {
                true => Ok(()),
                false => Err(StreamError::new(StreamCondition::InvalidFrom)),
            };
        };
        let same = from.is_none_or(|from| Client::is_own(from, account));
        match account.domain() == domain && same {
            true => Ok(()),
            false => Err(StreamError::new(StreamCondition::NotAuthorized)),
        }
    }

    /// Whether and how one may log in on this stream.
    fn terms(&self, domain: &str) -> Option<Terms> {
        let clear = self.loopback && self.settings.plaintext == Plaintext::Loopback;
        if self.account.is_some() || (self.secured.is_none() && !clear) {
            return None;
        }
        let bindings = self.secured.clone().unwrap_or_default();
        let offered = self.settings.mechanisms.iter().copied();
        Some(Terms {
            domain: domain.into(),
            offered: offered
                .filter(|it| !it.is_plus() || !bindings.is_empty())
                .collect(),
            bindings,
            decoy: self.settings.decoy.clone(),
            downgrade_hash: self.settings.downgrade_hash,
        })
    }

    /// What is offered on a stream that was just opened.
    fn offered(&self) -> Vec<Element> {
        if self.account.is_some() {
            return self.offered_after_login(true);
        }
        let Some(opened) = &self.opened else {
            return Vec::new();
        };
        let limits = &self.settings.limits;
        let mut features = Vec::new();
        if self.secured.is_none() {
            features.push(starttls_feature(opened.terms.is_none()));
        }
        if let Some(terms) = &opened.terms {
            features.push(mechanisms(&terms.offered));
            let terms2 = self.terms2().filter(|terms| !terms.offered.is_empty());
            features.extend(terms2.map(|terms| self.authentication(terms)));
            features.extend(channel_binding(&terms.bindings));
            let domain = self.domain(&opened.domain);
            features.extend(domain.iter().flat_map(|it| it.early_features.clone()));
        }
        features.push(limits_feature(
            limits.bytes_before_login,
            limits.idle_seconds,
        ));
        features
    }

    /// What is offered to who has logged in; binding too while there is no session.
    pub(super) fn offered_after_login(&self, unbound: bool) -> Vec<Element> {
        let limits = &self.settings.limits;
        let mut features = Vec::new();
        if unbound {
            features.push(Element::new(ns::BIND, "bind"));
            // RFC 6121 makes it do nothing; "optional" tells newer clients so.
            let optional = Element::new(ns::SESSION, "optional");
            features.push(Element::new(ns::SESSION, "session").with_child(optional));
        }
        features.push(stream_management::feature());
        features.push(Element::new(ns::ROSTER_VERSIONING, "ver"));
        features.push(Element::new(ns::PRE_APPROVAL, "sub"));
        let opened = self.opened.as_ref();
        let domain = opened.and_then(|opened| self.domain(&opened.domain));
        features.extend(domain.iter().flat_map(|it| it.late_features.clone()));
        features.push(limits_feature(
            limits.bytes_after_login,
            limits.idle_seconds,
        ));
        features
    }
}

/// Names these features (XEP-0509 §2.3): 96 bits of their hash.
fn version_of(offered: &[Element]) -> SmolStr {
    let bytes: Vec<u8> = offered
        .iter()
        .flat_map(|feature| feature.to_bytes(ns::CLIENT))
        .collect();
    crate::sasl::encode(&Hash::Sha256.digest(&bytes)[..12]).into()
}

/// RFC 6120 §6.4.1.
fn mechanisms(offered: &[Mechanism]) -> Element {
    let named = |it: &Mechanism| Element::new(ns::SASL, "mechanism").with_text(it.name());
    Element::new(ns::SASL, "mechanisms").with_children(offered.iter().map(named))
}

/// XEP-0440.
fn channel_binding(bindings: &ChannelBindings) -> Option<Element> {
    let kind = |name| Element::new(ns::CHANNEL_BINDING, "channel-binding").with_attr("type", name);
    let feature = Element::new(ns::CHANNEL_BINDING, "sasl-channel-binding");
    (!bindings.is_empty()).then(|| feature.with_children(bindings.types().map(kind)))
}

/// The letters of RFC 5646 §2.1; whether the tag means anything is not ours to judge.
fn is_lang(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=MAX_LANG).contains(&text.len()) && text.bytes().all(is_part)
}
