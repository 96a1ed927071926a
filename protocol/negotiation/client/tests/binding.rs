//! Transcripts of what those without an address may ask, before login and after.

use super::*;
use crate::error::ErrorType;
use crate::stanza::{IqType, Kind};

/// Rows C01, C02, C11, R05, and RFC 6120 §4.8.3.
#[test]
fn what_may_not_be_said_yet() {
    let roster = "<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>";
    let register = "<iq type='result' id='r'><query xmlns='jabber:iq:register'/></iq>";
    let rows = [
        (
            "<message to='bob@a.test'><body>x</body></message>",
            "not-authorized",
        ),
        ("<presence/>", "not-authorized"),
        (roster, "not-authorized"),
        (register, "not-authorized"),
        ("<foo xmlns='urn:x'/>", "unsupported-stanza-type"),
        ("<foo/>", "unsupported-stanza-type"),
        ("<a xmlns='urn:xmpp:sm:3' h='x'/>", "invalid-xml"),
        ("<message xmlns='jabber:server'/>", "invalid-namespace"),
        ("<message xmlns=''/>", "invalid-namespace"),
    ];
    for (element, condition) in rows {
        let mut end = error(condition);
        if condition == "invalid-xml" {
            let text = "<text xml:lang='en'>'h' must be a number below 2^32</text>";
            end = end.replace("</stream:error>", &format!("{text}</stream:error>"));
        }
        play(settings(), false, &format!("{CLEAR}< {element}\n{end}"));
        after_tls(&format!("< {element}\n{end}\n< {roster}"));
        after_login(&format!("< {element}\n{end}"));
    }
    let compress =
        "< <compress xmlns='http://jabber.org/protocol/compress'><method>zlib</method></compress>
        <failure xmlns='http://jabber.org/protocol/compress'><unsupported-method/></failure>\n";
    after_tls(&format!("{compress}{LOGIN}"));
    after_tls("< close\n</open>\nclose -\n< <presence/>");
    after_tls("< <error xmlns='http://etherx.jabber.org/streams'/>\n</open>\nclose -");
    after_tls(&format!("* oversized\n{}", error("policy-violation")));
}

/// Row H15 as far as it is about streams.
#[test]
fn registration() {
    let get = "< <iq type='get' id='r' to='a.test'><query xmlns='jabber:iq:register'/></iq>\n";
    let refused = "<iq from='a.test' id='r' type='error'>\
<error type='cancel'><service-unavailable/></error></iq>\n";
    let answered =
        "ask a.test jabber:iq:register\n* answered\n<iq from='a.test' id='r' type='result'/>\n";
    let bad = "< <iq type='get' id='r'><query xmlns='jabber:iq:register'/><x/></iq>\n";
    let modify = "<iq id='r' type='error'><error type='modify'><bad-request/></error></iq>\n";
    after_tls(&format!("{get}{answered}{bad}{modify}{LOGIN}"));
    let mut off = settings();
    off.early_requests.clear();
    play(
        off,
        false,
        &format!("{CLEAR}{get}{refused}{INSIDE}{get}{refused}{LOGIN}"),
    );
    // Where it is on, it still waits for TLS.
    play(
        settings(),
        false,
        &format!("{CLEAR}{get}{refused}{INSIDE}{get}{answered}"),
    );
}

/// Rows T37 and T38; RFC 6120 §7.6, §7.7.
#[test]
fn resources() {
    let bind = |attributes: &str, resource: &str| {
        format!(
            "< <iq id='b' {attributes}><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
             {resource}</bind></iq>\n"
        )
    };
    let long = format!("<resource>{}</resource>", "x".repeat(1024));
    let rows = [
        ("", "-"),
        ("<resource/>", "-"),
        ("<resource>../../x</resource>", "../../x"),
        ("<resource>\u{1f600}</resource>", "\u{1f600}"),
        ("<resource>a\u{200f}b</resource>", "-"),
        (long.as_str(), "-"),
    ];
    for (resource, asked) in rows {
        after_login(&format!(
            "{}bind alice@a.test {asked}",
            bind("type='set'", resource)
        ));
    }
    for to in ["a.test", "alice@a.test"] {
        after_login(&format!(
            "{}bind alice@a.test -",
            bind(&format!("type='set' to='{to}'"), "")
        ));
    }
    let end = error("not-authorized");
    after_login(&format!("{}{end}", bind("type='set' to='bob@a.test'", "")));
    after_login(&format!("{}{end}", bind("type='result'", "")));
    let get = bind("type='get'", "");
    let refused = "<iq id='b' type='error'><error type='modify'><bad-request/></error></iq>\n";
    after_login(&format!(
        "{get}{refused}{}bind alice@a.test -",
        bind("type='set'", "")
    ));
    let conflict = format!(
        "{}bind alice@a.test -\n* conflict\n\
         <iq id='b' type='error'><error type='cancel'><conflict/></error></iq>\n",
        bind("type='set'", "")
    );
    after_login(&format!(
        "{}{get}{}",
        conflict.repeat(10),
        error("policy-violation")
    ));
}

#[test]
fn negotiation_after_negotiation() {
    let iq = |of, payload: Element| Stanza::iq(of, "i").with_child(&payload);
    let bind = iq(IqType::Set, Element::new(ns::BIND, "bind"));
    let error = after_bind(&bind).unwrap().error().unwrap();
    assert_eq!(
        (error.condition, error.kind),
        (Condition::NotAllowed, ErrorType::Cancel)
    );
    let session = iq(IqType::Set, Element::new(ns::SESSION, "session"));
    assert_eq!(after_bind(&session).unwrap().kind, Kind::Iq(IqType::Result));
    assert!(after_bind(&iq(IqType::Get, Element::new(ns::SESSION, "session"))).is_none());
    assert!(after_bind(&iq(IqType::Set, Element::new(ns::ROSTER, "query"))).is_none());
}

/// Rows A03 and A04.
#[test]
fn stream_management() {
    let failed =
        |condition: &str| format!("<failed xmlns='urn:xmpp:sm:3'><{condition}/></failed>\n");
    let unexpected = failed("unexpected-request");
    for element in [
        "<enable xmlns='urn:xmpp:sm:3'/>",
        "<r xmlns='urn:xmpp:sm:3'/>",
        "<a xmlns='urn:xmpp:sm:3' h='0'/>",
    ] {
        after_tls(&format!("< {element}\n{unexpected}{LOGIN}"));
        after_login(&format!("< {element}\n{unexpected}"));
    }
    let resume = "< <resume xmlns='urn:xmpp:sm:3' previd='p' h='7'/>\n";
    after_tls(&format!("{resume}{}", failed("not-authorized")));
    after_login(&format!("{resume}{}", failed("feature-not-implemented")));
    let mut resuming = settings();
    resuming.resumption = true;
    let asked = format!("{}{resume}resume alice@a.test p 7\n", logged_in());
    let asked = resumable(&asked);
    let resumed = "<resumed xmlns='urn:xmpp:sm:3' h='5' previd='p'/>";
    play(
        resuming.clone(),
        false,
        &format!("{asked}* resumed\n{resumed}\n< <presence/>"),
    );
    let bind = "< <iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>\n\
        bind alice@a.test -";
    let gone = "<failed xmlns='urn:xmpp:sm:3' h='3'><item-not-found/></failed>\n";
    play(
        resuming,
        false,
        &format!("{asked}* not resumed\n{gone}{bind}"),
    );
}

/// Every element is answered, so there is an end to them.
#[test]
fn elements_before_the_session_are_counted() {
    let compress = "< <compress xmlns='http://jabber.org/protocol/compress'/>
        <failure xmlns='http://jabber.org/protocol/compress'><unsupported-method/></failure>\n";
    // One was <starttls/>, and one will be <auth/>.
    after_tls(&format!("{}{LOGIN}", compress.repeat(98)));
    let last = "< <auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>\n";
    after_tls(&format!(
        "{}{last}{}",
        compress.repeat(99),
        error("policy-violation")
    ));
}
