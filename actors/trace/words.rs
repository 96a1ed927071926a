//! What servers say to each other, in words.

use rookery_protocol::ns;
use rookery_protocol::reader::Event;
use rookery_protocol::targets::{Srv, Target, Tls};
use rookery_protocol::xml::Element;

use crate::peer_tls::{Means, Proof};

/// SRV records.
pub fn records(name: &str, records: &[Srv], proved: bool) -> String {
    let shown = records.iter().map(|it| match it.target.as_str() {
        "" => "\".\", which says that there is none".to_owned(),
        target => format!("{target} port {} (priority {})", it.port, it.priority),
    });
    let shown: Vec<String> = shown.collect();
    format!("DNS: {name}: {}{}", shown.join(", "), signed(proved))
}

/// A place where the server may be.
pub fn target(target: &Target, addresses: &[String], proved: bool) -> String {
    let Target {
        host, port, tls, ..
    } = target;
    let how = match tls {
        Tls::StartTls => "",
        Tls::Direct => ", direct TLS",
    };
    let addresses = match addresses {
        [] => "it has no addresses".to_owned(),
        [one] if one == host.as_str() => "an address".to_owned(),
        all => all.join(", "),
    };
    let proved = signed(proved);
    format!("{host} port {port}{how}: {addresses}{proved}")
}

/// That a certificate is good.
pub fn proof(domain: &str, proof: &Proof) -> String {
    match proof.by {
        Means::Authority => format!("which is good for {domain}: an authority vouches for it"),
        Means::Dns => format!("which is good for {domain}: signed DNS records name it (DANE)"),
    }
}

fn signed(proved: bool) -> &'static str {
    match proved {
        true => "; DNSSEC proves it",
        false => "",
    }
}

/// What the other server said; none: nothing to be told.
pub fn heard(event: &Event) -> Option<String> {
    let element = match event {
        Event::Open(header) => {
            return Some(match header.version {
                Some((major, minor)) => format!("its stream opens, XMPP {major}.{minor}"),
                None => "its stream opens, and is older than XMPP 1.0".into(),
            });
        }
        Event::Close => return Some("it closes its stream".into()),
        Event::Element(element) => element.to_element(),
        _ => return None,
    };
    Some(match (element.ns(), element.name()) {
        (ns::STREAM, "features") => features(&element),
        (ns::STREAM, "error") => format!("it ends the stream: {}", condition(&element)),
        (ns::TLS, "proceed") => "it agrees to encryption".into(),
        (ns::TLS, _) => "it refuses to begin encryption".into(),
        (ns::SASL, "success") => "it accepts our certificate".into(),
        (ns::SASL, "failure") => {
            format!(
                "it does not accept our certificate: {}",
                condition(&element)
            )
        }
        (ns::DIALBACK, "result") => match element.attr("type") {
            Some("valid") => "it has found that our dialback key is right".into(),
            Some("invalid") => "it says that our dialback key is wrong".into(),
            _ => format!("it does not go by our dialback: {}", why(&element)),
        },
        (ns::STREAM_MANAGEMENT, "enabled") => "it acknowledges stanzas (XEP-0198)".into(),
        (ns::STREAM_MANAGEMENT, "failed") => "it does not acknowledge stanzas after all".into(),
        _ => return None,
    })
}

/// What we said; none: nothing to be told.
pub fn said(bytes: &[u8]) -> Option<&'static str> {
    let has = |text: &str| bytes.windows(text.len()).any(|it| it == text.as_bytes());
    if has("<auth ") {
        Some("we prove who we are by our certificate (SASL EXTERNAL)")
    } else if has("<db:result") {
        Some("we prove who we are by dialback: it calls our server and asks for the key")
    } else {
        None
    }
}

fn features(element: &Element) -> String {
    let named = |child: &Element| match (child.ns(), child.name()) {
        (ns::TLS, _) => "encryption".to_owned(),
        (ns::SASL, _) => {
            let mechanisms = child.children().map(|it| it.text().trim().to_owned());
            format!("SASL {}", mechanisms.collect::<Vec<_>>().join(" "))
        }
        (ns::DIALBACK_FEATURE, _) => "dialback".into(),
        (ns::STREAM_MANAGEMENT, _) => "acknowledgements (XEP-0198)".into(),
        (ns::BIDI_FEATURE, _) => "streams in both directions (XEP-0288)".into(),
        (_, name) => name.to_owned(),
    };
    let named: Vec<String> = element.children().map(named).collect();
    match named.is_empty() {
        true => "it offers nothing".into(),
        false => format!("it offers {}", named.join(", ")),
    }
}

/// The condition of an error, with its text.
fn condition(error: &Element) -> String {
    let condition = error.children().find(|it| it.name() != "text");
    let text = error.children().find(|it| it.name() == "text");
    let condition = condition.map_or("it does not say why", Element::name);
    match text
        .map(|it| it.text().trim().to_owned())
        .filter(|it| !it.is_empty())
    {
        Some(text) => format!("{condition} ({text:?})"),
        None => condition.to_owned(),
    }
}

/// The error within a dialback result.
fn why(result: &Element) -> String {
    let error = result.children().find(|it| it.name() == "error");
    error.map_or("it does not say why".into(), condition)
}
