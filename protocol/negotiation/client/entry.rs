//! SASL as XEP-0388 wraps it, and what a client gets with it: a token (XEP-0484), its old session
//! (XEP-0198) or a new one (XEP-0386), all told in one `<success/>`.
//!
//! ```text
//! <authenticate/>  the mechanism's turns  [tasks]  Admit  [Resume]  [Bind]  <success/>
//! ```

use smol_str::SmolStr;
use zeroize::Zeroizing;

use super::upgrade::Task;
use super::wish::Wish;
use super::{Action, Actions, Admission, Bound, By, Client, Issued, Waiting};
use crate::datetime;
use crate::error::{StanzaError, StreamCondition, StreamError};
use crate::jid::Jid;
use crate::negotiation::{Random, features};
use crate::ns;
use crate::sasl::{
    Exchange, Failure, Lacking, Mechanism, Nonce, Success, Terms, TokenId, TokenMechanism, encode,
};
use crate::xml::Element;

/// A client on its way in.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub wish: Wish,
    /// Who it is, once it has proved that.
    pub account: Option<Jid>,
    /// What the mechanism said last, until it is told.
    data: Option<Vec<u8>>,
    token: Option<TokenId>,
    pub lacking: Vec<Lacking>,
    pub task: Option<Task>,
    issued: Option<Issued>,
    /// What became of its old session.
    resumption: Option<Element>,
}

impl Client {
    /// An element of the namespace of XEP-0388.
    pub(super) fn sasl2(
        &mut self,
        element: &Element,
        random: Random<'_>,
        out: &mut Actions,
    ) -> Result<(), StreamError> {
        if self.account.is_some() {
            // XEP-0388 §4.9: one authentication for a stream.
            return Err(StreamError::new(StreamCondition::PolicyViolation));
        }
        let proven = |entry: &Entry| entry.account.is_some();
        if element.name() == "authenticate" && self.entry.as_deref().is_some_and(proven) {
            return Err(StreamError::new(StreamCondition::PolicyViolation));
        }
        let begun = self.entry.is_some();
        match element.name() {
            "response" if begun && self.exchange.is_some() => {
                return self.respond(&Zeroizing::new(element.text()), out);
            }
            "next" | "task-data" if begun => {
                self.task(element, out);
                return Ok(());
            }
            _ => {}
        }
        self.count_try()?;
        // The other profile's exchange is over, in its own words (attacks T33).
        let mixed = self.exchange.is_some() && !begun;
        if !mixed {
            self.entry.get_or_insert_default();
        }
        match element.name() {
            "abort" => self.refuse(Failure::Aborted, out),
            "authenticate" if !begun && !mixed => return self.enter(element, random, out),
            _ => self.refuse(Failure::MalformedRequest, out),
        }
        Ok(())
    }

    /// `<authenticate/>` (XEP-0388 §2.3).
    fn enter(
        &mut self,
        element: &Element,
        random: Random<'_>,
        out: &mut Actions,
    ) -> Result<(), StreamError> {
        if !self.is_current(element) {
            // XEP-0509 §2.2: nobody's fault, and the features it has by now tell the rest.
            self.entry = None;
            self.tries = self.tries.saturating_sub(1);
            let detail = Element::new(ns::PIPELINING, "config-version-mismatch");
            out.element(&failure(Failure::Aborted).with_child(detail));
            return Ok(());
        }
        let mut bytes = [0; 18];
        random(&mut bytes);
        let begun = self.begin(element, Nonce::new(bytes));
        let (wish, exchange) = match begun {
            Ok(begun) => begun,
            Err(failure) => {
                self.refuse(failure, out);
                return Ok(());
            }
        };
        self.exchange = Some(exchange);
        self.entry = Some(Box::new(Entry::new(wish)));
        match element.child(ns::SASL2, "initial-response") {
            Some(initial) => self.respond(&Zeroizing::new(initial.text()), out),
            // All our mechanisms let the client speak first: an empty challenge makes it.
            None => {
                out.element(&Element::new(ns::SASL2, "challenge"));
                Ok(())
            }
        }
    }

    fn begin(&self, element: &Element, nonce: Nonce) -> Result<(Wish, Exchange), Failure> {
        let terms = self.terms2().ok_or(Failure::EncryptionRequired)?;
        let name = element.attr("mechanism").unwrap_or_default();
        let mechanism = Mechanism::from_name(name).filter(|it| terms.offered.contains(it));
        let wish = Wish::parse(element)?;
        let token = match TokenMechanism::from_name(name).filter(|it| self.takes(*it)) {
            Some(token) if wish.fast.is_some() => token,
            _ => {
                let mechanism = mechanism.ok_or(Failure::InvalidMechanism)?;
                return Ok((wish, Exchange::new(mechanism, nonce)));
            }
        };
        if wish.agent.id.is_none() {
            // XEP-0484 §4.1: tokens are a client's, so it must say which it is.
            return Err(Failure::MalformedRequest);
        }
        let count = wish.fast.and_then(|fast| fast.count);
        let exchange = Exchange::new(Mechanism::Token(token), nonce);
        Ok((wish, exchange.counted(count)))
    }

    /// The exchange succeeded.
    pub(super) fn proven(&mut self, success: Success, out: &mut Actions) {
        let from = self.opened.as_ref().and_then(|opened| opened.from.as_ref());
        // XEP-0388 §2.3: whom the header named is who must log in.
        if from.is_some_and(|from| !Client::is_own(from, &success.account)) {
            return self.refuse(Failure::InvalidAuthzid, out);
        }
        self.exchange = None;
        if let Some(entry) = &mut self.entry {
            entry.account = Some(success.account);
            entry.data = success.data;
            entry.token = success.token;
            entry.lacking = success.lacking;
        }
        self.proceed(out);
    }

    /// What the client must still do before it is let in, or its admission.
    pub(super) fn proceed(&mut self, out: &mut Actions) {
        if self.upgrade(out) {
            return;
        }
        let Some(admission) = self.entry.as_ref().and_then(|entry| entry.admission()) else {
            return self.admitted(Ok(None), out);
        };
        let takes = admission.request.filter(|it| self.takes(*it));
        self.waiting = Waiting::Admission;
        out.push(Action::Admit(Box::new(Admission {
            request: takes,
            ..admission
        })));
    }

    /// The answer to [`Action::Admit`]. From here on it is in, whatever becomes of the rest.
    pub(super) fn admitted(&mut self, result: Result<Option<Issued>, Failure>, out: &mut Actions) {
        let issued = match result {
            Ok(issued) => issued,
            Err(failure) => return self.refuse(failure, out),
        };
        let Some(entry) = &mut self.entry else { return };
        let Some(account) = entry.account.clone() else {
            return;
        };
        entry.issued = issued;
        self.account = Some(account.clone());
        if let Some(opened) = &mut self.opened {
            opened.terms = None;
        }
        // XEP-0386 §4.2: resuming comes first.
        match entry.wish.resume.take() {
            Some(Ok((previd, h))) if self.settings.resumption => {
                self.resume(account, previd, h, out);
            }
            Some(Ok(_)) => self.not_resumed(unresumable(), out),
            Some(Err(condition)) => {
                let failed = crate::stream_management::failed(condition, None);
                self.not_resumed(failed, out);
            }
            None => self.bind_inline(out),
        }
    }

    /// Looks for a session to resume, for both ways of asking.
    pub(super) fn resume(&mut self, account: Jid, previd: SmolStr, h: u32, out: &mut Actions) {
        let lang = self.opened.as_ref().and_then(|opened| opened.lang.clone());
        self.waiting = Waiting::Resumption;
        out.push(Action::Resume {
            account,
            previd,
            h,
            lang,
        });
    }

    /// [`super::Event::Resumed`]; somebody else goes on.
    pub(super) fn resumed(&mut self, resumed: Element, jid: &Jid, out: &mut Actions) {
        match &mut self.entry {
            Some(entry) => {
                entry.resumption = Some(resumed);
                self.welcome(Some(jid), None, out);
            }
            None => out.element(&resumed),
        }
        self.over = true;
    }

    /// [`super::Event::NotResumed`], or nobody was asked: the client is told, and may bind.
    pub(super) fn not_resumed(&mut self, failed: Element, out: &mut Actions) {
        match &mut self.entry {
            Some(entry) => {
                entry.resumption = Some(failed);
                self.bind_inline(out);
            }
            None => out.element(&failed),
        }
    }

    fn bind_inline(&mut self, out: &mut Actions) {
        let (Some(entry), Some(account)) = (&mut self.entry, self.account.clone()) else {
            return;
        };
        let Some(bind2) = entry.wish.bind.take() else {
            return self.welcome(None, None, out);
        };
        let client = entry.wish.agent.id.clone();
        self.waiting = Waiting::Session(None);
        out.push(Action::Bind {
            account,
            resource: None,
            client,
            bind2: Some(bind2),
        });
    }

    /// The answer to [`Action::Bind`]. Without a session the client is in all the same, and may
    /// bind by RFC 6120 §7, which has words for what is wrong.
    pub(super) fn bound_inline(&mut self, result: Result<Bound, StanzaError>, out: &mut Actions) {
        let Ok(Bound { jid, inline }) = result else {
            return self.welcome(None, None, out);
        };
        let bound = Element::new(ns::BIND2, "bound").with_children(inline);
        self.welcome(Some(&jid), Some(bound), out);
        let lang = self.opened.as_ref().and_then(|opened| opened.lang.clone());
        out.push(Action::Established { jid, lang });
        self.over = true;
    }

    /// `<success/>`, and the features of the stream from here on (XEP-0388 §2.6.1).
    fn welcome(&mut self, jid: Option<&Jid>, bound: Option<Element>, out: &mut Actions) {
        let Some(mut entry) = self.entry.take() else {
            return;
        };
        let is_counting = |it: &Element| {
            it.is(ns::STREAM_MANAGEMENT, "resumed") || it.is(ns::STREAM_MANAGEMENT, "enabled")
        };
        let told = bound.iter().flat_map(Element::children);
        let counts = told.chain(&entry.resumption).any(is_counting);
        let identity = jid.or(entry.account.as_ref()).map_or("", Jid::as_str);
        let identity = Element::new(ns::SASL2, "authorization-identifier").with_text(identity);
        let success = Element::new(ns::SASL2, "success")
            .with_children(entry.additional_data())
            .with_child(identity)
            .with_children(entry.resumption.take())
            .with_children(bound)
            .with_children(entry.issued.take().map(|issued| issued.element()));
        out.element(&success);
        let mut offered = self.offered_after_login(jid.is_none());
        if counts {
            // It would be asked for again (xmpp.js does).
            offered.retain(|feature| feature.ns() != ns::STREAM_MANAGEMENT);
        }
        out.element(&features(offered));
        self.agent = entry.wish.agent.id;
    }

    /// Whether the client knows what is offered here, if it says what it knows (XEP-0509 §2.2).
    fn is_current(&self, element: &Element) -> bool {
        let claimed = element.child(ns::PIPELINING, "config-version");
        let version = self
            .opened
            .as_ref()
            .and_then(|opened| opened.version.as_deref());
        claimed.is_none_or(|claimed| claimed.attr("value") == version)
    }

    /// On which one may log in by XEP-0388: never without TLS (§3).
    pub(super) fn terms2(&self) -> Option<&Terms> {
        self.secured.as_ref()?;
        self.opened.as_ref()?.terms.as_ref()
    }

    /// Whether a token of this mechanism is good on this connection.
    fn takes(&self, mechanism: TokenMechanism) -> bool {
        let bound = |bindings| mechanism.binding(bindings).is_some();
        self.settings.tokens && self.secured.as_ref().is_some_and(bound)
    }

    /// `<authentication/>` (XEP-0388 §2.1).
    pub(super) fn authentication(&self, terms: &Terms) -> Element {
        let named = |it: &Mechanism| Element::new(ns::SASL2, "mechanism").with_text(it.name());
        let mut inline = vec![self.bind_feature()];
        if self.settings.resumption {
            inline.push(Element::new(ns::STREAM_MANAGEMENT, "sm"));
        }
        let tokens = TokenMechanism::ALL.into_iter();
        let mut tokens = tokens.filter(|it| self.takes(*it)).peekable();
        if tokens.peek().is_some() {
            let named =
                |it: TokenMechanism| Element::new(ns::FAST, "mechanism").with_text(it.name());
            inline.push(Element::new(ns::FAST, "fast").with_children(tokens.map(named)));
        }
        let upgrade =
            |hash| Element::new(ns::SASL_UPGRADE, "upgrade").with_text(super::upgrade::name(hash));
        Element::new(ns::SASL2, "authentication")
            .with_children(terms.offered.iter().map(named))
            .with_child(Element::new(ns::SASL2, "inline").with_children(inline))
            .with_children(self.settings.upgrades.iter().copied().map(upgrade))
    }

    /// XEP-0386 §4.1.
    fn bind_feature(&self) -> Element {
        let feature = |var: &SmolStr| Element::new(ns::BIND2, "feature").with_attr("var", var);
        let features = self.settings.bind_features.iter().map(feature);
        let inline = Element::new(ns::BIND2, "inline").with_children(features);
        Element::new(ns::BIND2, "bind").with_child(inline)
    }
}

impl Entry {
    fn new(wish: Wish) -> Entry {
        Entry {
            wish,
            ..Entry::default()
        }
    }

    /// The mechanism's last word, told once.
    pub fn additional_data(&mut self) -> Option<Element> {
        let data = self.data.take()?;
        Some(Element::new(ns::SASL2, "additional-data").with_text(encode(&data)))
    }

    /// What is to be noted of a client that says which it is.
    fn admission(&self) -> Option<Admission> {
        let (agent, account) = (&self.wish.agent, self.account.clone()?);
        let invalidate = self.wish.fast.is_some_and(|fast| fast.invalidate);
        let count = self.wish.fast.and_then(|fast| fast.count);
        Some(Admission {
            account,
            client: agent.id.clone()?,
            agent: agent.clone(),
            by: match self.token {
                None => By::Password,
                Some(id) => By::Token {
                    id,
                    count,
                    invalidate,
                },
            },
            request: self.wish.request,
        })
    }
}

impl Issued {
    /// `<token/>` (XEP-0484 §3.3).
    fn element(&self) -> Element {
        Element::new(ns::FAST, "token")
            .with_attr("expiry", datetime::format_seconds(self.expiry))
            .with_attr("token", self.token.reveal())
    }
}

/// XEP-0388 §2.6.2.
pub(super) fn failure(failure: Failure) -> Element {
    let condition = Element::new(ns::SASL, failure.name());
    Element::new(ns::SASL2, "failure").with_child(condition)
}

/// Sessions of this server do not outlive their streams.
fn unresumable() -> Element {
    let condition = crate::error::Condition::FeatureNotImplemented;
    crate::stream_management::failed(condition, None)
}
