//! Transcripts of SASL: turns, failures and their bounds, identities.

use super::*;
use crate::sasl::Hash;

/// Row T14, and what RFC 6120 §6.4 and §6.5 say of the order of things.
#[test]
fn sasl_out_of_turn() {
    let sasl = |name: &str, rest: &str| {
        format!("< <{name} xmlns='urn:ietf:params:xml:ns:xmpp-sasl'{rest}\n")
    };
    let failure = |condition: &str| format!("<failure xmlns='…sasl'><{condition}/></failure>\n");
    for name in [
        "X-NOPE",
        "EXTERNAL",
        "LOGIN",
        "DIGEST-MD5",
        "OAUTHBEARER",
        "plain",
        "",
    ] {
        let auth = sasl("auth", &format!(" mechanism='{name}'/>"));
        after_tls(&format!("{auth}{}", failure("invalid-mechanism")));
    }
    after_tls(&(sasl("auth", "/>") + &failure("invalid-mechanism") + LOGIN));
    after_tls(&(sasl("response", "/>") + &failure("malformed-request") + LOGIN));
    after_tls(&(sasl("abort", "/>") + &failure("aborted") + LOGIN));
    let empty = "<challenge xmlns='…sasl'/>\n";
    let auth = sasl("auth", " mechanism='PLAIN'/>");
    let response = sasl("response", ">AGFsaWNlAHNlY3JldA==</response>");
    let success =
        "fetch alice@a.test\n* found\ncheck\n* checked\n<success xmlns='…sasl'/>\nrestart";
    after_tls(&format!("{auth}{empty}{response}{success}"));
    after_tls(&format!(
        "{auth}{empty}{}{}",
        sasl("abort", "/>"),
        failure("aborted")
    ));
    // A second <auth/> discards the first.
    let scram = sasl("auth", " mechanism='SCRAM-SHA-1'/>");
    after_tls(&format!("{scram}{empty}{LOGIN}"));
    after_tls(&format!(
        "{}{}",
        sasl("auth", " mechanism='PLAIN'>=</auth>"),
        failure("malformed-request")
    ));
    for bad in ["!!!!", " AGFsaWNlAHNlY3JldA==", "AGFsaWNlAHNlY3JldA"] {
        let auth = sasl("auth", &format!(" mechanism='PLAIN'>{bad}</auth>"));
        after_tls(&format!("{auth}{}", failure("incorrect-encoding")));
    }
    // Before TLS there is nothing to log in by.
    let auth = sasl("auth", " mechanism='PLAIN'>AGFsaWNlAHNlY3JldA==</auth>");
    play(
        settings(),
        false,
        &format!("{CLEAR}{auth}{}", failure("encryption-required")),
    );
    after_login(&format!("{auth}{}", error("policy-violation")));
}

/// Row T27; and other tries have a bound too.
#[test]
fn failures_are_counted() {
    let auth = |data: &str| {
        format!(
            "< <auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{data}</auth>\n"
        )
    };
    let wrong = auth("AGFsaWNlAHdyb25n");
    let refused = "count failure\n<failure xmlns='…sasl'><not-authorized/></failure>\n";
    let known = format!("{wrong}fetch alice@a.test\n* found\ncheck\n* checked\n{refused}");
    let unknown = format!("{wrong}fetch alice@a.test\n* absent\ncheck\n* checked\n{refused}");
    let text = "<text xml:lang='en'>too many attempts to log in</text>";
    let end = format!(
        "<stream:error><policy-violation/>{text}</stream:error></open>\nclose policy-violation\n"
    );
    after_tls(&format!("{known}{unknown}{known}{wrong}{end}"));
    after_tls(&format!("{known}{unknown}{LOGIN}"));
    let later = "<failure xmlns='…sasl'><temporary-auth-failure/></failure>\n";
    after_tls(&format!(
        "{wrong}fetch alice@a.test\n* unavailable\n{later}{LOGIN}"
    ));
    after_tls(&format!(
        "{wrong}fetch alice@a.test\n* found\ncheck\n* overloaded\n{later}{LOGIN}"
    ));
    let nonsense = format!(
        "{}<failure xmlns='…sasl'><malformed-request/></failure>\n",
        auth("YQ==")
    );
    after_tls(&format!("{}{LOGIN}", nonsense.repeat(9)));
    after_tls(&format!("{}{wrong}{end}", nonsense.repeat(10)));
}

#[test]
fn scram_plus() {
    let transcript = format!("{CLEAR}{INSIDE}");
    let mut stage = Stage::new(settings(), false);
    for line in transcript
        .lines()
        .filter(|line| line.starts_with(['<', '*']))
    {
        let event = stage.event(line);
        stage.handle(event);
    }
    let sasl = |name: &str, attributes: &str, data: &str| {
        let data = encode(data.as_bytes());
        format!("< <{name} xmlns='urn:ietf:params:xml:ns:xmpp-sasl'{attributes}>{data}</{name}>")
    };
    let first = "p=tls-exporter,,n=alice,r=abc";
    let event = stage.event(&sasl("auth", " mechanism='SCRAM-SHA-256-PLUS'", first));
    assert_eq!(stage.handle(event), ["fetch alice@a.test"]);
    assert!(stage.client.waiting());
    let event = stage.event("* found");
    let said = stage.handle(event).concat();
    assert!(!stage.client.waiting());
    let data = said.split(['>', '<']).nth(2).unwrap();
    let challenge = String::from_utf8(crate::sasl::decode(data).unwrap()).unwrap();
    let last =
        crate::sasl::tests::client_final(Hash::Sha256, first, &challenge, &[1; 32], "secret");
    let event = stage.event(&sasl("response", "", &last));
    let said = stage.handle(event);
    assert!(said[0].starts_with("<success xmlns='…sasl'>"), "{said:?}");
    assert_eq!(said[1], "restart");
    assert_eq!(stage.client.account().unwrap().as_str(), "alice@a.test");
}

/// Row T31, and RFC 6120 §6.4.6.
#[test]
fn identities_must_agree() {
    let end = error("not-authorized");
    for (header, answer) in [
        ("to='b.test'", "from='b.test'"),
        (
            "to='a.test' from='bob@a.test'",
            "from='a.test' to='bob@a.test'",
        ),
        (
            "to='a.test' from='alice@b.test'",
            "from='a.test' to='alice@b.test'",
        ),
    ] {
        let open = format!("< open {header} version='1.0'\n<open {answer} version='1.0'>{end}");
        after_tls(&format!("{LOGIN}{open}"));
    }
    after_tls(&format!(
        "{LOGIN}< open to='nope.example' version='1.0'\n<open from='a.test' version='1.0'>{}",
        error("host-unknown")
    ));
    // Some clients name only the domain, or nobody.
    for (header, answer) in [("from='a.test'", " to='a.test'"), ("from=''", "")] {
        after_tls(&format!(
            "{LOGIN}< open to='a.test' {header} version='1.0'\n\
             <open from='a.test'{answer} version='1.0'>{AFTER}"
        ));
    }
    let from = |jid: &str| {
        let header = "< open to='a.test' version='1.0'\n    <open from='a.test'";
        let named = format!(
            "< open to='a.test' from='{jid}' version='1.0'\n    <open from='a.test' to='{jid}'"
        );
        INSIDE.replace(header, &named)
    };
    play(
        settings(),
        false,
        &format!("{CLEAR}{}{LOGIN}", from("alice@a.test")),
    );
    let refused = LOGIN.replace("<success xmlns='…sasl'/>\n    restart", &end);
    play(
        settings(),
        false,
        &format!("{CLEAR}{}{refused}", from("bob@a.test")),
    );
}
