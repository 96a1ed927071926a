//! A person's device as the stories see it: it says stanzas, it hears stanzas.

use crate::client::{Client, PATIENCE, QUIET, Silence};
use crate::world::{World, judged_by_prosody, password};
use crate::xml::{CLIENT, El, Heard, STREAM_ERRORS, STREAMS};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A bound session.
pub struct Device {
    pub client: Client,
    /// Stanzas heard while waiting for another one.
    aside: VecDeque<El>,
    pings: u32,
    /// Prosody says unavailable from bare addresses where the RFC asks for nothing.
    judge: bool,
}

fn bare_unavailable(el: &El) -> bool {
    let bare = el.attr("from").is_some_and(|from| !from.contains('/'));
    el.is(CLIENT, "presence") && el.attr("type") == Some("unavailable") && bare
}

impl Device {
    pub fn new(client: Client) -> Device {
        Device {
            client,
            aside: VecDeque::new(),
            pings: 0,
            judge: judged_by_prosody(),
        }
    }

    /// The full address.
    pub fn jid(&self) -> String {
        self.client.jid.clone()
    }

    /// The bare address.
    pub fn bare(&self) -> String {
        self.client
            .jid
            .split('/')
            .next()
            .unwrap_or_default()
            .to_string()
    }

    /// Sends a stanza, or whatever bytes.
    pub fn says(&mut self, stanza: &str) {
        assert!(
            self.client.say(stanza),
            "the server takes nothing more\n  {}",
            self.story()
        );
    }

    fn next(&mut self, patience: Duration) -> Result<El, Silence> {
        if let Some(el) = self.aside.pop_front() {
            return Ok(el);
        }
        loop {
            match self.client.hear_within(patience)? {
                Heard::Element(el) if self.judge && bare_unavailable(&el) => {}
                Heard::Element(el) => return Ok(el),
                Heard::End => return Err(Silence::Closed),
                Heard::Open(_) => return Err(Silence::Broken("a second header".into())),
            }
        }
    }

    /// The next stanza fits the pattern (see `El::fits`). Returns it.
    #[track_caller]
    pub fn hears(&mut self, pattern: &str) -> El {
        let wanted = El::parse(pattern);
        match self.next(PATIENCE) {
            Ok(el) => match el.fits(&wanted) {
                Ok(()) => el,
                Err(why) => {
                    panic!(
                        "{}: {why}\n heard {el}\n wanted {pattern}\n  {}",
                        self.jid(),
                        self.story()
                    )
                }
            },
            Err(e) => panic!(
                "{}: {e:?}\n wanted {pattern}\n  {}",
                self.jid(),
                self.story()
            ),
        }
    }

    /// The next stanzas are these, in any order.
    #[track_caller]
    pub fn hears_all(&mut self, patterns: &[&str]) -> Vec<El> {
        let mut wanted: Vec<El> = patterns.iter().map(|p| El::parse(p)).collect();
        let mut found = Vec::new();
        while !wanted.is_empty() {
            let el = match self.next(PATIENCE) {
                Ok(el) => el,
                Err(e) => {
                    let missing: Vec<String> = wanted.iter().map(El::to_string).collect();
                    let missing = missing.join("\n   ");
                    panic!(
                        "{}: {e:?}\n missing {missing}\n  {}",
                        self.jid(),
                        self.story()
                    )
                }
            };
            match wanted.iter().position(|w| el.fits(w).is_ok()) {
                Some(at) => {
                    wanted.remove(at);
                    found.push(el);
                }
                None => {
                    let why: Vec<String> = wanted.iter().map(|w| el.fits(w).unwrap_err()).collect();
                    let why = why.join("; ");
                    panic!("{}: heard {el}\n which is none of those: {why}", self.jid())
                }
            }
        }
        found
    }

    /// Waits for a stanza that fits; what comes before it is kept for later.
    #[track_caller]
    pub fn waits_for(&mut self, pattern: &str) -> El {
        let wanted = El::parse(pattern);
        if let Some(at) = self.aside.iter().position(|el| el.fits(&wanted).is_ok()) {
            return self.aside.remove(at).expect("its place");
        }
        let end = Instant::now() + PATIENCE;
        let mut before = std::mem::take(&mut self.aside);
        loop {
            match self.next(end.saturating_duration_since(Instant::now())) {
                Ok(el) if el.fits(&wanted).is_ok() => {
                    self.aside = before;
                    return el;
                }
                Ok(el) => before.push_back(el),
                Err(e) => {
                    panic!(
                        "{}: {e:?}\n waited for {pattern}\n  {}",
                        self.jid(),
                        self.story()
                    )
                }
            }
        }
    }

    /// Nothing more has come: an answered ping, and a little time.
    #[track_caller]
    pub fn hears_nothing(&mut self) {
        self.lets_it_come();
        if let Some(el) = self.aside.pop_front() {
            panic!(
                "{}: heard {el}\n wanted nothing\n  {}",
                self.jid(),
                self.story()
            );
        }
    }

    /// Everything heard up to now, after an answered ping and a little time.
    #[track_caller]
    pub fn drains(&mut self) -> Vec<El> {
        self.lets_it_come();
        self.aside.drain(..).collect()
    }

    /// What others were asked to send may come: the more time, the slower this machine is.
    #[track_caller]
    fn lets_it_come(&mut self) {
        let begin = Instant::now();
        self.ping();
        std::thread::sleep(QUIET.max(begin.elapsed() * 5));
        self.ping();
    }

    /// Pings the server (XEP-0199) and waits for the answer.
    #[track_caller]
    pub fn ping(&mut self) {
        self.pings += 1;
        let id = format!("ping-{}", self.pings);
        let domain = self.client.domain.clone();
        self.says(&format!(
            "<iq type='get' id='{id}' to='{domain}'><ping xmlns='urn:xmpp:ping'/></iq>"
        ));
        self.waits_for(&format!("<iq type='result' id='{id}'/>"));
    }

    /// Sends an IQ and returns its answer; what comes before it is kept for later.
    #[track_caller]
    pub fn asks(&mut self, iq: &str) -> El {
        let id = El::parse(iq).attr("id").expect("an id").to_string();
        self.says(iq);
        let end = Instant::now() + PATIENCE;
        let mut before = std::mem::take(&mut self.aside);
        loop {
            match self.next(end.saturating_duration_since(Instant::now())) {
                Ok(el)
                    if el.is(CLIENT, "iq")
                        && el.attr("id") == Some(&id)
                        && matches!(el.attr("type"), Some("result" | "error")) =>
                {
                    self.aside = before;
                    return el;
                }
                Ok(el) => before.push_back(el),
                Err(e) => panic!(
                    "{}: {e:?}\n no answer to {iq}\n  {}",
                    self.jid(),
                    self.story()
                ),
            }
        }
    }

    /// Sends an IQ whose answer must fit.
    #[track_caller]
    pub fn gets(&mut self, iq: &str, pattern: &str) -> El {
        let answer = self.asks(iq);
        if let Err(why) = answer.fits(&El::parse(pattern)) {
            panic!("{}: {why}\n heard {answer}\n wanted {pattern}", self.jid());
        }
        answer
    }

    /// Initial presence, and its echo (RFC 6121 §4.2.2).
    #[track_caller]
    pub fn comes_online(&mut self) {
        self.says("<presence/>");
        let jid = self.jid();
        self.waits_for(&format!("<presence from='{jid}'/>"));
    }

    /// Fetches the roster, which makes this device interested in roster pushes.
    #[track_caller]
    pub fn fetches_roster(&mut self) -> El {
        let answer = self.asks("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>");
        assert_eq!(answer.attr("type"), Some("result"), "{answer}");
        answer
    }

    /// The next stanza is a roster push with this item; it is answered (RFC 6121 §2.1.6).
    #[track_caller]
    pub fn hears_push(&mut self, item: &str) {
        let pattern =
            format!("<iq type='set' id='*'><query xmlns='jabber:iq:roster'>{item}</query></iq>");
        let push = self.hears(&pattern);
        self.answers(&push);
    }

    /// Answers an IQ of the server with an empty result.
    pub fn answers(&mut self, iq: &El) {
        let id = iq.attr("id").expect("an id");
        let id = crate::xml::escaped(id);
        self.says(&format!("<iq type='result' id='{id}'/>"));
    }

    /// Closes the stream and waits for the server's closing tag.
    pub fn leaves(&mut self) {
        self.says("</stream:stream>");
        if let Err(e) = self.client.closed(PATIENCE) {
            panic!("{}: {e}\n  {}", self.jid(), self.story());
        }
    }

    /// The stream ends with this error, and the connection with it.
    #[track_caller]
    pub fn hears_the_end(&mut self, condition: &str) {
        match self.client.stream_error(PATIENCE) {
            Ok(found) => assert_eq!(found, condition, "{}\n  {}", self.jid(), self.story()),
            Err(e) => panic!("{}: {e}\n  {}", self.jid(), self.story()),
        }
    }

    /// The same with one of several conditions, after whatever comes before.
    #[track_caller]
    pub fn waits_for_the_end(&mut self, conditions: &[&str]) {
        match self.client.stream_error(PATIENCE) {
            Ok(found) if conditions.contains(&&*found) => {}
            other => panic!(
                "{}: {other:?}, not {conditions:?}\n  {}",
                self.jid(),
                self.story()
            ),
        }
    }

    /// The device of a user of a.test whose session goes on (XEP-0198 §5): it has so many stanzas.
    pub fn resumed(world: &World, user: &str, previd: &str, h: u32) -> Device {
        let mut client = world.tcp();
        client.open().expect("a stream");
        client.login(user, &password(user)).expect("a login");
        client.say(&format!(
            "<resume xmlns='urn:xmpp:sm:3' previd='{previd}' h='{h}'/>"
        ));
        let resumed = client.expect("urn:xmpp:sm:3", "resumed");
        resumed.expect("the session");
        Device::new(client)
    }

    /// Both come to see each other's presence; each is shown it then.
    pub fn befriends(&mut self, other: &mut Device) {
        self.fetches_roster();
        other.fetches_roster();
        for (asks, agrees) in [(0, 1), (1, 0)] {
            let both = [&mut *self, &mut *other];
            let (asker, agreer) = (both[asks].bare(), both[agrees].bare());
            both[asks].says(&format!("<presence type='subscribe' to='{agreer}'/>"));
            both[agrees].waits_for(&format!("<presence type='subscribe' from='{asker}'/>"));
            both[agrees].says(&format!("<presence type='subscribed' to='{asker}'/>"));
            both[asks].waits_for(&format!("<presence type='subscribed' from='{agreer}'/>"));
            let shown = both[agrees].jid();
            both[asks].waits_for(&format!("<presence from='{shown}'/>"));
        }
    }

    /// The condition, if this is a stream error.
    pub fn condition(el: &El) -> Option<&str> {
        let error = el.is(STREAMS, "error").then_some(el)?;
        error
            .children
            .iter()
            .find(|c| c.ns == STREAM_ERRORS)
            .map(|c| c.name.as_str())
    }

    fn story(&self) -> String {
        self.client.story()
    }
}
