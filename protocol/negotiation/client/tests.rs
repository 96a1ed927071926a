//! Conversations as transcripts. Lines with `<` come from the client, lines with `*` from whoever
//! performs the actions; the indented lines under them are all that is done about it.

use std::fmt::Write as _;
use std::sync::OnceLock;

use super::*;
use crate::reader::Header;
use crate::sasl::{
    Account, ChannelBindings, Credentials, Failure, Lookup, Password, PasswordCheck, Token,
    Verdict, encode,
};

mod binding;
mod bytes;
mod entry;
mod login;
mod streams;
mod tokens;

const TLS: &str = "* secured";

fn settings() -> Settings {
    let domain = |name: &str| Domain {
        name: name.into(),
        early_features: vec![Element::new(ns::REGISTER_FEATURE, "register")],
        late_features: vec![Element::new(ns::CAPS, "c")],
    };
    Settings {
        domains: vec![domain("a.test"), domain("b.test")],
        plaintext: Plaintext::Never,
        mechanisms: Mechanism::ALL.to_vec(),
        decoy: Arc::new(Decoy::new(b"secret", 4096)),
        downgrade_hash: false,
        tokens: true,
        bind_features: vec![ns::CARBONS.into()],
        upgrades: Vec::new(),
        early_requests: vec![ns::REGISTER.into()],
        resumption: false,
        limits: Limits::default(),
    }
}

fn bindings() -> ChannelBindings {
    ChannelBindings {
        tls_exporter: Some(vec![1; 32]),
        tls_server_end_point: Some(vec![2; 32]),
        tls_version: Some(0x0304),
    }
}

/// One client, and what performs its actions.
struct Stage {
    client: Client,
    check: Option<PasswordCheck>,
    asked: Option<Stanza>,
}

impl Stage {
    fn new(settings: Settings, loopback: bool) -> Stage {
        let client = Client::new(Arc::new(settings), loopback, None);
        Stage {
            client,
            check: None,
            asked: None,
        }
    }

    fn handle(&mut self, event: Event) -> Vec<String> {
        let actions = self
            .client
            .handle(event, &mut |bytes: &mut [u8]| bytes.fill(0));
        actions
            .into_iter()
            .map(|action| self.show(action))
            .collect()
    }

    fn show(&mut self, action: Action) -> String {
        match action {
            Action::Write(bytes) => shorten(&String::from_utf8(bytes).unwrap()),
            Action::StartTls(domain) => format!("starttls {domain}"),
            Action::Restart => "restart".into(),
            Action::Fetch { account, client } => match client {
                None => format!("fetch {account}"),
                Some(ClientId(id)) => format!("fetch {account} {id}"),
            },
            Action::Check(check) => {
                self.check = Some(check);
                "check".into()
            }
            Action::Upgrade { account, hash, .. } => format!("upgrade {account} {hash:?}"),
            Action::Admit(admission) => show_admission(*admission),
            Action::CountFailure => "count failure".into(),
            Action::Ask { domain, iq } => {
                let shown = format!("ask {domain} {}", iq.payload().unwrap().ns());
                self.asked = Some(iq);
                shown
            }
            Action::Bind {
                account,
                resource,
                client,
                bind2,
            } => {
                let wanted = resource.as_deref().unwrap_or("-");
                let client = client.map_or(String::new(), |it| format!(" of {}", it.0));
                let bind2 = bind2.map_or(String::new(), |it| show_bind2(&it));
                format!("bind {account} {wanted}{client}{bind2}")
            }
            Action::Resume {
                account, previd, h, ..
            } => format!("resume {account} {previd} {h}"),
            Action::Established { jid, lang } => {
                format!("established {jid} {}", lang.as_deref().unwrap_or("-"))
            }
            Action::Close(error) => {
                format!(
                    "close {}",
                    error.map_or("-", |error| error.condition.as_str())
                )
            }
        }
    }

    /// Reads one line of a transcript as an event.
    fn event(&mut self, line: &str) -> Event {
        let rest = match line.split_once(' ') {
            Some(("<", rest)) => return from_client(rest),
            Some(("*", rest)) => rest,
            _ => panic!("not an event: {line}"),
        };
        match rest {
            "space" => Event::Whitespace,
            "secured" => Event::Secured(bindings()),
            "secured without bindings" => Event::Secured(ChannelBindings::default()),
            "found" => Event::Fetched(Lookup::Found(alice())),
            "absent" => Event::Fetched(Lookup::Absent),
            "unavailable" => Event::Fetched(Lookup::Unavailable),
            "checked" => Event::Checked(self.check.take().expect("a check").run()),
            "overloaded" => Event::Checked(Verdict::Overloaded),
            "answered" => {
                Event::Answered(self.asked.take().expect("a question").result_reply(None))
            }
            "timeout" => Event::Fail(StreamCondition::ConnectionTimeout.into()),
            "oversized" => Event::Fail(StreamCondition::PolicyViolation.into()),
            "conflict" => Event::Bound(Err(Condition::Conflict.into())),
            "resumed" => Event::Resumed {
                handled: 5,
                previd: "p".into(),
                jid: Jid::parse("alice@a.test/old").unwrap(),
            },
            "upgraded" => Event::Upgraded(true),
            "not upgraded" => Event::Upgraded(false),
            "admitted" => Event::Admitted(Ok(None)),
            "admitted with token" => Event::Admitted(Ok(Some(Issued {
                token: Token::derive(b"secret", &[b"new"]),
                expiry: 86_400_000,
            }))),
            "expired" => Event::Admitted(Err(Failure::CredentialsExpired)),
            "found old" => Event::Fetched(Lookup::Found(old())),
            "found token" => Event::Fetched(Lookup::Found(tokens::holder())),
            "not resumed" => {
                let condition = Condition::ItemNotFound;
                Event::NotResumed {
                    condition,
                    handled: Some(3),
                }
            }
            bound => match bound.strip_prefix("bound ") {
                Some(jid) => {
                    let (jid, inline) = jid.split_once(' ').unwrap_or((jid, ""));
                    let inline = match inline {
                        "" => Vec::new(),
                        text => vec![Element::parse(text, "").unwrap()],
                    };
                    let jid = Jid::parse(jid).unwrap();
                    Event::Bound(Ok(Bound { jid, inline }))
                }
                None => panic!("not an event: {line}"),
            },
        }
    }
}

/// `open …` with the header's attributes, `close`, or an element, `+n` saying what is behind it.
fn from_client(text: &str) -> Event {
    if text == "close" {
        return Event::Close;
    }
    if let Some(attributes) = text.strip_prefix("open") {
        let header = Element::parse(&format!("<x {attributes}/>"), ns::CLIENT).unwrap();
        let attr = |name: &str| header.attr(name).map(SmolStr::from);
        let version = attr("version").map(|version| {
            let (major, minor) = version.split_once('.').unwrap();
            (major.parse().unwrap(), minor.parse().unwrap())
        });
        return Event::Open(Header {
            to: attr("to"),
            from: attr("from"),
            lang: attr("lang"),
            version,
            ..Header::default()
        });
    }
    let (text, behind) = match text.rsplit_once(" +") {
        Some((text, behind)) => (text, behind.parse().unwrap()),
        None => (text, 0),
    };
    Event::Element {
        element: Element::parse(text, ns::CLIENT).unwrap(),
        behind,
    }
}

fn alice() -> Account {
    static ALICE: OnceLock<Account> = OnceLock::new();
    let derived = || {
        let password = Password::prepare("secret").unwrap();
        Account {
            credentials: Credentials::derive(&password, [1; 16], 4096),
            disabled: false,
            tokens: Vec::new(),
        }
    };
    ALICE.get_or_init(derived).clone()
}

/// Alice as an older server kept her: without keys for SCRAM-SHA-256.
fn old() -> Account {
    let mut old = alice();
    old.credentials.sha256 = None;
    old
}

fn show_admission(admission: Admission) -> String {
    let Admission {
        account,
        client,
        agent,
        by,
        request,
    } = admission;
    let by = match by {
        By::Password => "password".to_owned(),
        By::Token {
            id,
            count,
            invalidate,
        } => format!("token {} {count:?} {invalidate}", id.0[0]),
    };
    let name = |name: Option<String>| name.unwrap_or("-".into());
    let (software, device) = (name(agent.software), name(agent.device));
    let request = request.map_or("-", |it| it.name());
    format!(
        "admit {account} {} {software} {device} by {by} wants {request}",
        client.0
    )
}

fn show_bind2(bind2: &Bind2) -> String {
    let tag = bind2.tag.as_deref().unwrap_or("-");
    let inline = bind2.inline.iter().map(|it| format!(" {}", it.ns()));
    format!(" tag {tag}{}", inline.collect::<String>())
}

/// Leaves out what every header and every namespace of ours has in common.
fn shorten(written: &str) -> String {
    let rows = [
        ("<?xml version='1.0'?><stream:stream", "<open"),
        (" id='AAAAAAAAAAAAAAAAAAAAAAAA'", ""),
        (
            " xml:lang='en' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'",
            "",
        ),
        (" xmlns='urn:ietf:params:xml:ns:xmpp-streams'", ""),
        (" xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'", ""),
        (" xmlns='urn:ietf:params:xml:ns:xmpp-", " xmlns='…"),
        ("</stream:stream>", "</open>"),
    ];
    let text = rows
        .into_iter()
        .fold(written.to_owned(), |text, (long, short)| {
            text.replace(long, short)
        });
    // A hash of all the rest.
    match text.split_once("<config-version ") {
        Some((before, after)) => {
            let after = after.split_once("/>").unwrap().1;
            format!("{before}<version/>{after}")
        }
        None => text,
    }
}

/// Plays the lines and compares all that is done with what the transcript says.
fn play(settings: Settings, loopback: bool, transcript: &str) {
    let mut stage = Stage::new(settings, loopback);
    let mut got = String::new();
    for line in transcript.lines().filter(|line| !line.trim().is_empty()) {
        let line = line.trim_start();
        if !line.starts_with("< ") && !line.starts_with("* ") {
            continue;
        }
        writeln!(got, "{line}").unwrap();
        let event = stage.event(line);
        for action in stage.handle(event) {
            writeln!(got, "{action}").unwrap();
        }
    }
    let expected = transcript
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    let expected: Vec<_> = expected.collect();
    let got: Vec<_> = got.lines().collect();
    for (at, pair) in got.iter().zip(&expected).enumerate() {
        assert_eq!(
            pair.0,
            pair.1,
            "line {at}, after {:?}",
            &got[at.saturating_sub(3)..at]
        );
    }
    assert_eq!(
        got.len(),
        expected.len(),
        "one goes on: {got:#?} {expected:#?}"
    );
}

/// The lines that bring a stream to the point where one may log in; `{…}` in a transcript.
const CLEAR: &str = "< open to='a.test' version='1.0'
    <open from='a.test' version='1.0'><stream:features>\
<starttls xmlns='…tls'><required/></starttls>\
<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>10240</max-bytes></limits></stream:features>\n";
const INSIDE: &str = "< <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>
    <proceed xmlns='…tls'/>
    starttls a.test
* secured
< open to='a.test' version='1.0'
    <open from='a.test' version='1.0'><stream:features><mechanisms xmlns='…sasl'>\
<mechanism>SCRAM-SHA-256-PLUS</mechanism><mechanism>SCRAM-SHA-1-PLUS</mechanism>\
<mechanism>SCRAM-SHA-256</mechanism><mechanism>SCRAM-SHA-1</mechanism>\
<mechanism>PLAIN</mechanism></mechanisms><authentication xmlns='urn:xmpp:sasl:2'>\
<mechanism>SCRAM-SHA-256-PLUS</mechanism><mechanism>SCRAM-SHA-1-PLUS</mechanism>\
<mechanism>SCRAM-SHA-256</mechanism><mechanism>SCRAM-SHA-1</mechanism>\
<mechanism>PLAIN</mechanism><inline><bind xmlns='urn:xmpp:bind:0'><inline>\
<feature var='urn:xmpp:carbons:2'/></inline></bind><fast xmlns='urn:xmpp:fast:0'>\
<mechanism>HT-SHA-256-EXPR</mechanism><mechanism>HT-SHA-256-ENDP</mechanism>\
<mechanism>HT-SHA-256-NONE</mechanism></fast></inline></authentication>\
<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'>\
<channel-binding type='tls-exporter'/><channel-binding type='tls-server-end-point'/>\
</sasl-channel-binding><register xmlns='http://jabber.org/features/iq-register'/>\
<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>10240</max-bytes></limits>\
<version/></stream:features>\n";
const LOGIN: &str =
    "< <auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGFsaWNlAHNlY3JldA==</auth>
    fetch alice@a.test
* found
    check
* checked
    <success xmlns='…sasl'/>
    restart\n";
const AFTER: &str = "<stream:features><bind xmlns='…bind'/>\
<session xmlns='…session'><optional/></session>\
<sm xmlns='urn:xmpp:sm:3'/><ver xmlns='urn:xmpp:features:rosterver'/>\
<sub xmlns='urn:xmpp:features:pre-approval'/><c xmlns='http://jabber.org/protocol/caps'/>\
<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>262144</max-bytes></limits></stream:features>";

/// The same where sessions can be resumed.
fn resumable(transcript: &str) -> String {
    let bind = "</inline></bind>";
    transcript.replace(bind, &format!("{bind}<sm xmlns='urn:xmpp:sm:3'/>"))
}

/// From there on.
fn after_tls(transcript: &str) {
    play(settings(), false, &format!("{CLEAR}{INSIDE}{transcript}"));
}

/// Logged in, with a new stream opened.
fn logged_in() -> String {
    format!(
        "{CLEAR}{INSIDE}{LOGIN}< open to='a.test' version='1.0' lang='de'
        <open from='a.test' version='1.0'>{AFTER}\n"
    )
}

fn after_login(transcript: &str) {
    play(settings(), false, &(logged_in() + transcript));
}

fn error(condition: &str) -> String {
    format!("<stream:error><{condition}/></stream:error></open>\nclose {condition}")
}
