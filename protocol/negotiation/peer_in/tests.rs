//! Transcripts of other servers' streams; the rows are those of the list of attacks.

use super::*;
use crate::dialback::Verdict;
use crate::error::Condition;
use crate::negotiation::transcript::{self, Dice, shorten};

mod any_order;
mod claims;
mod external;
mod opening;

fn settings() -> Settings {
    Settings {
        domains: vec!["a.test".into(), "b.test".into(), "conference.a.test".into()],
        secret: Secret::new(&[7; 32]),
        bidi: true,
        resumption: Some(300),
        limits: Limits {
            pairs: 3,
            ..Limits::default()
        },
    }
}

struct Stage {
    peer: PeerIn,
    dice: Dice,
}

impl Stage {
    fn new(settings: Settings, secured: bool) -> Stage {
        Stage {
            peer: PeerIn::new(Arc::new(settings), secured),
            dice: Dice::default(),
        }
    }

    fn step(&mut self, line: &str) -> Vec<String> {
        let event = match line.split_at(2) {
            ("< ", "close") => Event::Close,
            ("< ", "space") => Event::Whitespace,
            ("< ", text) => match text.strip_prefix("open") {
                Some(attributes) => Event::Open(transcript::header(attributes)),
                None => {
                    let (text, behind) = text.rsplit_once(" +").unwrap_or((text, "0"));
                    let (element, behind) = (transcript::element(text), behind.parse().unwrap());
                    Event::Element { element, behind }
                }
            },
            (_, text) => told(text),
        };
        let actions = self.peer.handle(event, &mut self.dice.roll());
        actions.into_iter().map(show).collect()
    }

    fn play(&mut self, transcript: &str) {
        transcript::play(transcript, |line| self.step(line));
    }

    fn admits(&self, from: &str, to: &str) -> Result<(), StreamCondition> {
        let jid = |text| Jid::parse(text).unwrap();
        let admitted = self.peer.admits(&jid(from), &jid(to));
        admitted.map_err(|error| error.condition)
    }
}

/// An event of whoever performs the actions.
fn told(text: &str) -> Event {
    let words: Vec<&str> = text.split(' ').collect();
    match words[..] {
        ["secured"] => Event::Secured,
        ["certified"] => Event::Judged(Standing::Certified),
        ["dialback"] => Event::Judged(Standing::Dialback),
        ["uncertified"] => Event::Judged(Standing::Uncertified),
        ["blocked"] => Event::Judged(Standing::Blocked),
        ["timeout"] => Event::Fail(StreamCondition::ConnectionTimeout.into()),
        ["resumed"] => Event::Resumed { handled: 5 },
        ["forgotten"] => Event::NotResumed {
            condition: Condition::ItemNotFound,
            handled: None,
        },
        ["verified", from, to, id, verdict] => Event::Verified {
            pair: Pair::new(from, to),
            id: id.into(),
            verdict: match verdict {
                "valid" => Verdict::Valid,
                "invalid" => Verdict::Invalid,
                _ => Verdict::Error(crate::dialback::Problem::RemoteServerTimeout),
            },
        },
        _ => panic!("not an event: {text}"),
    }
}

fn show(action: Action) -> String {
    match action {
        Action::Write(bytes) => shorten(&bytes),
        Action::StartTls(domain) => format!("starttls {domain}"),
        Action::Restart => "restart".into(),
        Action::Judge(domain) => format!("judge {domain}"),
        Action::Verify { pair, id, key } => {
            format!("verify {pair} {} {key}", shorten(id.as_bytes()))
        }
        Action::Proved { pair, bidi } => format!("proved {pair} {bidi}"),
        Action::Enabled(id) => format!("enabled {}", id.is_some()),
        Action::Managed(command) => format!("managed {command:?}"),
        Action::Resume { peer, previd, h } => format!("resume {peer} {previd} {h}"),
        Action::Close(None) => "close".into(),
        Action::Close(Some(error)) => format!("close {}", error.condition.as_str()),
    }
}

const OPEN: &str = "< open from='evil.test' to='a.test' version='1.0'\n";
const HEADER: &str = "<open from='a.test' id='#0' to='evil.test' version='1.0'>";
const DIALBACK: &str = "<dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>";
const LARGE: &str = "<sm xmlns='urn:xmpp:sm:3'/><limits xmlns='urn:xmpp:stream-limits:0'>\
<max-bytes>524288</max-bytes></limits>";
const BIDI: &str = "<bidi xmlns='urn:xmpp:features:bidi'/>";
const STARTTLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";

fn error(condition: &str) -> String {
    format!("<stream:error><{condition}/></stream:error></open>\nclose {condition}\n")
}

/// Inside TLS, the certificate being worth nothing.
fn by_dialback() -> String {
    format!(
        "{OPEN}{HEADER}\njudge evil.test\n* dialback\n\
         <stream:features>{DIALBACK}{BIDI}{LARGE}</stream:features>\n"
    )
}

/// Inside TLS, with EXTERNAL offered.
fn by_certificate() -> String {
    format!(
        "{OPEN}{HEADER}\njudge evil.test\n* certified\n<stream:features>\
         <mechanisms xmlns='…sasl'><mechanism>EXTERNAL</mechanism></mechanisms>{DIALBACK}{BIDI}\
         <limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>10240</max-bytes></limits>\
         </stream:features>\n"
    )
}

/// Authenticated for evil.test by EXTERNAL.
fn authenticated() -> String {
    let auth = "< <auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>";
    let header = HEADER.replace("#0", "#1");
    format!(
        "{}{auth}\n<success xmlns='…sasl'/>\nrestart\n{OPEN}{header}\
         <stream:features>{DIALBACK}{LARGE}</stream:features>\n\
         proved evil.test to a.test false\n",
        by_certificate()
    )
}

fn play(secured: bool, transcript: &str) -> Stage {
    let mut stage = Stage::new(settings(), secured);
    stage.play(transcript);
    stage
}
