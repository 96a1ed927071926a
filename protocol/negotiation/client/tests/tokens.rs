//! Transcripts of XEP-0484: how a token is asked for and used.

use super::entry::failure;
use super::*;
use crate::sasl::token::client_message;
use crate::sasl::{HeldToken, TokenId, TokenMechanism};

const NS: &str = "urn:xmpp:sasl:2";
const AGENT: &str = "<user-agent id='d4565fa7'/>";

fn token(name: &str) -> Token {
    Token::derive(b"secret", &[name.as_bytes()])
}

/// Alice, whose client holds a good token that was used seven times, and a void one.
pub(super) fn holder() -> Account {
    let held = |number: u8, name: &str, mechanism, void, count| HeldToken {
        id: TokenId([number; 16]),
        token: token(name),
        mechanism,
        void,
        count,
    };
    Account {
        tokens: vec![
            held(1, "good", TokenMechanism::Exporter, false, Some(7)),
            held(2, "void", TokenMechanism::Unbound, true, None),
        ],
        ..alice()
    }
}

fn fast(mechanism: &str, token: &str, binding: &[u8], attributes: &str, agent: &str) -> String {
    let message = client_message("alice", token, binding);
    format!(
        "< <authenticate xmlns='{NS}' mechanism='{mechanism}'><initial-response>{}\
         </initial-response>{agent}<fast xmlns='urn:xmpp:fast:0'{attributes}/></authenticate>\n",
        encode(&message)
    )
}

fn asked() -> String {
    "fetch alice@a.test d4565fa7\n* found token\n".into()
}

fn good(attributes: &str) -> String {
    let token = token("good");
    fast(
        "HT-SHA-256-EXPR",
        token.reveal(),
        &[1; 32],
        attributes,
        AGENT,
    )
}

fn welcome(rest: &str) -> String {
    let proof = {
        let token = token("good");
        let key = token.reveal();
        crate::sasl::token::server_message(key, &[1; 32])
    };
    format!(
        "<success xmlns='{NS}'><additional-data>{}</additional-data><authorization-identifier>\
         alice@a.test</authorization-identifier>{rest}</success>{AFTER}\n",
        encode(&proof)
    )
}

#[test]
fn asked_for_with_a_password() {
    let request = "<request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-ENDP'/>";
    let plain = |rest: &str| {
        format!(
            "< <authenticate xmlns='{NS}' mechanism='PLAIN'><initial-response>\
             AGFsaWNlAHNlY3JldA==</initial-response>{rest}</authenticate>\n\
             fetch alice@a.test\n* found\ncheck\n* checked\n"
        )
    };
    let identity = "<authorization-identifier>alice@a.test</authorization-identifier>";
    let secret = token("new");
    after_tls(&format!(
        "{}admit alice@a.test d4565fa7 - - by password wants HT-SHA-256-ENDP\n\
         * admitted with token\n<success xmlns='{NS}'>{identity}<token xmlns='urn:xmpp:fast:0' \
         expiry='1970-01-02T00:00:00Z' token='{}'/></success>{AFTER}",
        plain(&format!("{AGENT}{request}")),
        secret.reveal(),
    ));
    // Not for somebody who does not say which client it is, nor for an unknown mechanism.
    after_tls(&format!(
        "{}<success xmlns='{NS}'>{identity}</success>{AFTER}",
        plain(request)
    ));
    let unique = request.replace("ENDP", "UNIQ");
    after_tls(&format!(
        "{}admit alice@a.test d4565fa7 - - by password wants -\n* admitted\n\
         <success xmlns='{NS}'>{identity}</success>{AFTER}",
        plain(&format!("{AGENT}{unique}")),
    ));
}

#[test]
fn used() {
    let admit = |count: &str, invalidate: bool| {
        format!(
            "admit alice@a.test d4565fa7 - - by token 1 {count} {invalidate} wants -\n* admitted\n"
        )
    };
    let rows = [
        ("", admit("None", false)),
        (" count='8'", admit("Some(8)", false)),
        (" count='8' invalidate='true'", admit("Some(8)", true)),
    ];
    for (attributes, admitted) in rows {
        let said = good(attributes);
        after_tls(&format!("{said}{}{admitted}{}", asked(), welcome("")));
    }
    // Expired between the look and the admission.
    after_tls(&format!(
        "{}{}admit alice@a.test d4565fa7 - - by token 1 None false wants -\n* expired\n{}",
        good(""),
        asked(),
        failure("credentials-expired"),
    ));
}

/// Row T35.
#[test]
fn refused() {
    let refused = format!("count failure\n{}", failure("not-authorized"));
    let (right, void) = (token("good"), token("void"));
    let rows = [
        good(" count='7'"),
        good(" count='0'"),
        // Another token, another connection, another mechanism than it was made for.
        fast("HT-SHA-256-EXPR", "x", &[1; 32], "", AGENT),
        fast("HT-SHA-256-EXPR", right.reveal(), &[3; 32], "", AGENT),
        fast("HT-SHA-256-ENDP", right.reveal(), &[2; 32], "", AGENT),
        fast("HT-SHA-256-NONE", right.reveal(), &[], "", AGENT),
        fast("HT-SHA-256-EXPR", void.reveal(), &[1; 32], "", AGENT),
    ];
    for said in rows {
        after_tls(&format!("{said}{}{refused}", asked()));
    }
    // Nobody there, or one without tokens: the same.
    for found in ["absent", "found"] {
        let asked = asked().replace("found token", found);
        after_tls(&format!("{}{asked}{refused}", good("")));
    }
    let said = fast("HT-SHA-256-NONE", void.reveal(), &[], "", AGENT);
    after_tls(&format!(
        "{said}{}{}",
        asked(),
        failure("credentials-expired")
    ));
    let anonymous = fast("HT-SHA-256-EXPR", right.reveal(), &[1; 32], "", "");
    after_tls(&format!("{anonymous}{}", failure("malformed-request")));
    for count in ["-1", "x", "4294967296"] {
        let said = good(&format!(" count='{count}'"));
        after_tls(&format!("{said}{}", failure("malformed-request")));
    }
    let mut without = settings();
    without.tokens = false;
    let start = format!("{CLEAR}{INSIDE}");
    let (before, after) = start.split_once("<fast ").unwrap();
    let after = after.split_once("</fast>").unwrap().1;
    play(
        without,
        false,
        &format!(
            "{before}{after}{}{}",
            good(""),
            failure("invalid-mechanism")
        ),
    );
}
