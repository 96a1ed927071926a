//! Transcripts of streams to other servers; the rows are those of the list of attacks.

use super::*;
use crate::dialback::Verdict;
use crate::negotiation::Standing;
use crate::negotiation::transcript::{self, shorten};

mod any_order;
mod login;
mod opening;
mod pairs;
mod verifying;

fn settings() -> Settings {
    Settings {
        domains: vec!["a.test".into(), "b.test".into()],
        secret: Secret::new(&[7; 32]),
        dialback: true,
        bidi: true,
        management: true,
        resumption: true,
        limits: Limits {
            pairs: 3,
            queries: 3,
            ..Limits::default()
        },
    }
}

fn errand() -> Errand {
    Errand {
        pair: Pair::new("a.test", "far.test"),
        purpose: Purpose::Send,
        external: true,
        earlier: None,
    }
}

struct Stage(PeerOut);

impl Stage {
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
        self.0.handle(event).into_iter().map(show).collect()
    }

    fn play(&mut self, transcript: &str) {
        transcript::play(transcript, |line| self.step(line));
    }

    fn admits(&self, from: &str, to: &str) -> Result<(), StreamCondition> {
        let jid = |text| Jid::parse(text).unwrap();
        let admitted = self.0.admits(&jid(from), &jid(to));
        admitted.map_err(|error| error.condition)
    }
}

/// An event of whoever performs the actions.
fn told(text: &str) -> Event {
    let words: Vec<&str> = text.split(' ').collect();
    match words[..] {
        ["connected"] => Event::Connected,
        ["secured", "certified"] => Event::Secured(Standing::Certified),
        ["secured", "dialback"] => Event::Secured(Standing::Dialback),
        ["secured", "uncertified"] => Event::Secured(Standing::Uncertified),
        ["secured", "blocked"] => Event::Secured(Standing::Blocked),
        ["timeout"] => Event::Fail(StreamCondition::ConnectionTimeout.into()),
        ["malformed"] => Event::Fail(StreamCondition::NotWellFormed.into()),
        ["shutdown"] => Event::Fail(StreamCondition::SystemShutdown.into()),
        ["lost"] => Event::Lost(Refusal::Lost),
        ["finish"] => Event::Finish,
        ["want", from, to, certified] => Event::Want {
            pair: Pair::new(from, to),
            certified: certified == "certified",
        },
        ["verify", from, to, id] => Event::Verify {
            pair: Pair::new(from, to),
            id: id.into(),
            key: "k".into(),
        },
        _ => panic!("not an event: {text}"),
    }
}

fn show(action: Action) -> String {
    match action {
        Action::Write(bytes) => shorten(&bytes),
        Action::StartTls(domain) => format!("starttls {domain}"),
        Action::Restart => "restart".into(),
        Action::Proved(pair) => format!("proved {pair}"),
        Action::Denied { pair, refusal } => format!("denied {pair}: {refusal}"),
        Action::Verified { pair, id, verdict } => {
            let verdict = match verdict {
                Verdict::Valid => "valid".to_owned(),
                Verdict::Invalid => "invalid".to_owned(),
                Verdict::Error(problem) => problem.to_string(),
            };
            format!("verified {pair} {id} {verdict}")
        }
        Action::Enabled(id) => format!("enabled {}", id.as_deref().unwrap_or("-")),
        Action::Resumed(h) => format!("resumed {h}"),
        Action::NotResumed(h) => format!("not resumed {h:?}"),
        Action::Managed(command) => format!("managed {command:?}"),
        Action::Close(None) => "close".into(),
        Action::Close(Some(refusal)) => format!("close: {refusal}"),
    }
}

/// The first lines: our header, and how theirs begins.
const OPEN: &str = "* connected\n<open from='a.test' to='far.test' version='1.0'>\n";
const SECURED: &str = "* secured certified\n<open from='a.test' to='far.test' version='1.0'>\n";
const ANSWER: &str = "< open from='far.test' to='a.test' id='s1' version='1.0'\n";
const EXTERNAL: &str = "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
<mechanism>EXTERNAL</mechanism></mechanisms>";
const ERRORS: &str = "<dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>";
const AUTH: &str = "<auth xmlns='…sasl' mechanism='EXTERNAL'>YS50ZXN0</auth>\n";
const SUCCESS: &str = "< <success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>
    restart
    <open from='a.test' to='far.test' version='1.0'>\n";
const REFUSED: &str = "< <failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/>\
<text>no</text></failure>\n";

fn features(inside: &str) -> String {
    format!("< <stream:features>{inside}</stream:features>\n")
}

fn key(from: &str, to: &str, id: &str) -> String {
    settings().secret.key(&Pair::new(from, to), id)
}

/// Our claim for a pair on the stream `s1`.
fn claim(from: &str, to: &str) -> String {
    let key = key(from, to, "s1");
    format!("<db:result from='{from}' to='{to}'>{key}</db:result>\n")
}

fn valid(from: &str, to: &str) -> String {
    format!("< <db:result from='{to}' to='{from}' type='valid'/>\nproved {from} to {to}\n")
}

fn invalid(from: &str, to: &str) -> String {
    format!("< <db:result from='{to}' to='{from}' type='invalid'/>\n")
}

/// Inside TLS, dialback being all there is, the first pair proved.
fn by_dialback() -> String {
    let (features, claim) = (features(ERRORS), claim("a.test", "far.test"));
    format!(
        "{SECURED}{ANSWER}{features}{claim}{}",
        valid("a.test", "far.test")
    )
}

/// How a stream that got nowhere ends.
fn denied(why: &str) -> String {
    format!("denied a.test to far.test: {why}\nclose: {why}\n")
}

fn error(condition: &str) -> String {
    format!("<stream:error><{condition}/></stream:error></open>\n")
}

fn play_for(errand: Errand, settings: Settings, transcript: &str) -> Stage {
    let mut stage = Stage(PeerOut::new(Arc::new(settings), errand));
    stage.play(transcript);
    stage
}

fn play(transcript: &str) -> Stage {
    play_for(errand(), settings(), transcript)
}
