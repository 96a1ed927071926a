//! The client's side of XEP-0388 and of the tokens of XEP-0484.

use crate::client::Client;
use crate::sasl::{Scram, b64};
use crate::tls;
use crate::xml::{El, SASL, STREAMS};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

pub const SASL2: &str = "urn:xmpp:sasl:2";
pub const BIND2: &str = "urn:xmpp:bind:0";
pub const FAST: &str = "urn:xmpp:fast:0";

/// `<authenticate/>`.
pub fn authenticate(mechanism: &str, initial: &str, rest: &str) -> String {
    format!(
        "<authenticate xmlns='{SASL2}' mechanism='{mechanism}'>\
         <initial-response>{initial}</initial-response>{rest}</authenticate>"
    )
}

/// `<user-agent/>` of an installation.
pub fn agent(id: &str) -> String {
    format!(
        "<user-agent id='{id}'><software>Awesome</software><device>Alice's {id}</device>\
         </user-agent>"
    )
}

/// A wish for a token.
pub fn wish(mechanism: &str) -> String {
    format!("<request-token xmlns='{FAST}' mechanism='{mechanism}'/>")
}

/// A wish for a session.
pub fn bind(tag: &str) -> String {
    format!("<bind xmlns='{BIND2}'><tag>{tag}</tag></bind>")
}

/// `<authenticate/>` by PLAIN.
pub fn plain(user: &str, password: &str, rest: &str) -> String {
    authenticate("PLAIN", &b64(format!("\0{user}\0{password}")), rest)
}

/// `<authenticate/>` by a token, bound as its mechanism wants it to this connection.
pub fn token(
    client: &Client,
    user: &str,
    token: &str,
    mechanism: &str,
    attributes: &str,
    rest: &str,
) -> String {
    let connection = client.tls().expect("TLS");
    let binding = match mechanism {
        "HT-SHA-256-EXPR" => tls::exporter(connection),
        "HT-SHA-256-ENDP" => tls::end_point(connection),
        _ => Vec::new(),
    };
    let hash = hash(token, "Initiator", &binding);
    let initial = [user.as_bytes(), &[0], &hash].concat();
    let fast = format!("<fast xmlns='{FAST}'{attributes}/>{rest}");
    authenticate(mechanism, &b64(initial), &fast)
}

/// What the holder of a token says, or hears ("Responder").
pub fn hash(token: &str, role: &str, binding: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(token.as_bytes()).expect("any length");
    mac.update(role.as_bytes());
    mac.update(binding);
    mac.finalize().into_bytes().to_vec()
}

/// Reads `<success/>` and the features behind it, or `<failure/>`.
pub fn outcome(client: &mut Client) -> Result<El, String> {
    let el = client.element()?;
    if el.is(SASL2, "success") {
        client.features = client.expect(STREAMS, "features")?;
        let jid = el.child_text(SASL2, "authorization-identifier");
        client.jid = jid.to_string();
        return Ok(el);
    }
    match el.is(SASL2, "failure") {
        true => Ok(el),
        false => Err(format!("neither success nor failure but {el}")),
    }
}

/// Says what logs in, and reads the outcome.
pub fn enter(client: &mut Client, authenticate: &str) -> Result<El, String> {
    client.say(authenticate);
    outcome(client)
}

/// Runs a SCRAM conversation; the server's first message comes with the outcome.
pub fn scram(
    client: &mut Client,
    mut scram: Scram,
    mechanism: &str,
    rest: &str,
) -> Result<(El, String), String> {
    client.say(&authenticate(mechanism, &scram.first(), rest));
    let challenge = client.expect(SASL2, "challenge")?;
    let first = crate::sasl::unb64(&challenge.text)?;
    let last = scram.last(&challenge.text)?;
    client.say(&format!("<response xmlns='{SASL2}'>{last}</response>"));
    let outcome = outcome(client)?;
    if outcome.is(SASL2, "success") {
        scram.check(outcome.child_text(SASL2, "additional-data"))?;
    }
    Ok((outcome, String::from_utf8_lossy(&first).into_owned()))
}

/// "success", or the condition of a failure.
pub fn verdict(outcome: &El) -> String {
    let condition = outcome.children.iter().find(|child| child.ns == SASL);
    condition.map_or(outcome.name.clone(), |it| it.name.clone())
}

/// The token in a `<success/>`.
pub fn given(success: &El) -> Option<String> {
    Some(success.child(FAST, "token")?.attr("token")?.to_string())
}
