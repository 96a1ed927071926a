//! F: to whom the words of our people are given. The test is the other server: one that is not who
//! it should be, or that breaks the rules, is told nothing; and who wrote hears why.

pub mod keys;
mod pinned;
mod places;
mod queues;

use super::row::{Row, Stage, must, scene};
use crate::authority::{Authority, Leaf};
use crate::certificates;
use crate::client::{Client, PATIENCE, QUIET, Silence};
use crate::device::Device;
use crate::elsewhere::{BY_DIALBACK, DIALBACK, EXTERNAL, Elsewhere, STARTTLS, header, hear_header};
use crate::tls;
use crate::xml::{SASL, STANZA_ERRORS, TLS};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, date_time_ymd};

pub fn rows() -> Vec<Row> {
    let mut rows = vec![
        scene("F38", "a certificate that proves nothing", no_proof),
        scene("F39", "a server without encryption", unencrypted),
        scene("F41", "direct TLS that is not as agreed", direct),
        scene("F43", "headers that are not as asked for", headers),
        scene("F43-silence", "a server that says nothing", silence),
        scene("F44", "answers to what nobody asked", unasked),
        scene("F45", "stanzas on a stream of ours", against_the_stream),
    ];
    rows.extend(places::rows());
    rows.extend(pinned::rows());
    rows.extend(queues::rows());
    rows
}

pub use places::rows_hasty;
pub use queues::heavy_rows;

/// NOT found: trying again changes nothing. LATE: it may.
const NOT_FOUND: (&str, &str) = ("cancel", "remote-server-not-found");
/// It is there, and trying again changes nothing (RFC 6120 §8.3.3.17).
const UNFIT: (&str, &str) = ("cancel", "remote-server-timeout");
const LATE: (&str, &str) = ("wait", "remote-server-timeout");

/// Says something that must arrive (m), and asks something that cannot wait (q). Of the one
/// connection that this makes the log says what came of it.
fn writes(stage: &Stage, alice: &mut Device, domain: &str) {
    stage.world.count();
    alice.says(&format!(
        "<message type='chat' to='x@{domain}' id='m'><body>secret</body></message>\
         <iq type='get' to='x@{domain}' id='q'><ping xmlns='urn:xmpp:ping'/></iq>"
    ));
}

/// Alice hears why it did not get there.
fn told(alice: &mut Device, stanza: &str, domain: &str, (kind, condition): (&str, &str)) {
    let id = if stanza == "iq" { "q" } else { "m" };
    alice.waits_for(&format!(
        "<{stanza} type='error' id='{id}' from='x@{domain}'><error type='{kind}'>\
         <{condition} xmlns='{STANZA_ERRORS}'/><text xmlns='{STANZA_ERRORS}'/></error></{stanza}>"
    ));
}

/// Nothing of it was said to that server.
fn unheard(visit: &Client) -> Result<(), String> {
    let heard = |what: &str| visit.transcript.iter().any(|it| it.contains(what));
    let secret = heard("secret") || heard("urn:xmpp:ping") || heard("<message");
    must(!secret, || format!("it heard all:\n  {}", visit.story()))
}

fn good(domain: &str) -> Leaf {
    Authority::get().leaf(&[domain])
}

fn no_proof(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.online("alice");
    let root = Authority::get();
    let only_client = |it: &mut CertificateParams| {
        it.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    };
    let stranger = certificates::Authority::root("bad");
    let rows: [(&str, Leaf); 8] = [
        ("other", root.leaf(&["other.test"])),
        ("below", root.leaf(&["x.below.f38.test"])),
        (
            "old",
            root.leaf_with(&["old.f38.test"], |it| {
                it.not_after = date_time_ymd(2020, 1, 1)
            }),
        ),
        (
            "new",
            root.leaf_with(&["new.f38.test"], |it| {
                it.not_before = date_time_ymd(2200, 1, 1)
            }),
        ),
        ("own", Leaf::own(&["own.f38.test"])),
        ("client", root.leaf_with(&["client.f38.test"], only_client)),
        ("bad", stranger.leaf(&["bad.f38.test"])),
        ("revoked", root.taken_back(&["revoked.f38.test"])),
    ];
    for (name, leaf) in rows {
        let server = Elsewhere::of(&format!("{name}.f38.test"));
        writes(stage, &mut alice, &server.domain);
        let mut visit = server.secured(&leaf)?;
        visit.closed(PATIENCE).map_err(|e| format!("{name}: {e}"))?;
        unheard(&visit)?;
        told(&mut alice, "iq", &server.domain, UNFIT);
        told(&mut alice, "message", &server.domain, UNFIT);
        // A line more: what is wrong with the certificate.
        stage.world.count();
    }
    // With a good one it hears all.
    let server = Elsewhere::of("good.f38.test");
    writes(stage, &mut alice, &server.domain);
    let mut visit = server.proved(&good(&server.domain))?;
    let heard = [
        Elsewhere::id_of_next(&mut visit)?,
        Elsewhere::id_of_next(&mut visit)?,
    ];
    must(heard == ["m", "q"], || format!("{heard:?}"))
}

fn unencrypted(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.online("alice");
    // None is offered, or somebody between the two took the offer away.
    for (name, features) in [
        ("none", ""),
        ("stripped", EXTERNAL),
        ("callers", BY_DIALBACK),
    ] {
        let server = Elsewhere::of(&format!("{name}.f39.test"));
        writes(stage, &mut alice, &server.domain);
        let mut visit = server.visit()?;
        server.begin(&mut visit, features)?;
        ends(&mut visit, "policy-violation")?;
        unheard(&visit)?;
        told(&mut alice, "iq", &server.domain, UNFIT);
        told(&mut alice, "message", &server.domain, UNFIT);
    }
    let server = Elsewhere::of("refused.f39.test");
    writes(stage, &mut alice, &server.domain);
    let mut visit = begun(&server)?;
    visit.say(&format!("<failure xmlns='{TLS}'/></stream:stream>"));
    visit.closed(PATIENCE)?;
    unheard(&visit)?;
    told(&mut alice, "iq", &server.domain, LATE);
    // What comes behind the agreement, in clear, is not read: not even the handshake begins.
    let inside = format!("<stream:features>{EXTERNAL}</stream:features>");
    let server = Elsewhere::of("ahead.f39.test");
    writes(stage, &mut alice, &server.domain);
    let mut visit = begun(&server)?;
    visit.say(&format!(
        "<proceed xmlns='{TLS}'/>{}{inside}",
        server.header()
    ));
    visit.closed(PATIENCE)?;
    unheard(&visit)?;
    told(&mut alice, "iq", &server.domain, LATE);
    Ok(())
}

/// A visit up to where the answer to `<starttls/>` is due.
fn begun(server: &Elsewhere) -> Result<Client, String> {
    let mut visit = server.visit()?;
    server.begin(&mut visit, STARTTLS)?;
    visit.expect(TLS, "starttls")?;
    Ok(visit)
}

fn ends(visit: &mut Client, condition: &str) -> Result<(), String> {
    let found = visit.stream_error(PATIENCE)?;
    must(found == condition, || {
        format!("not {condition} but {found}")
    })
}

fn direct(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.online("alice");
    for (name, alpn) in [("clients", "xmpp-client"), ("web", "h2")] {
        let server = Elsewhere::direct(&format!("{name}.f41.test"));
        writes(stage, &mut alice, &server.domain);
        let mut visit = server.visit()?;
        // One side or the other breaks it off.
        let config = tls::serving(&good(&server.domain), &[alpn]);
        if visit.serve_tls(config).is_ok() {
            let heard = visit.hear();
            must(heard == Err(Silence::Closed), || {
                format!("{name}: {heard:?}")
            })?;
        }
        told(&mut alice, "iq", &server.domain, LATE);
    }
    // Whoever serves the DNS could name any host: its certificate is not the domain's.
    let server = Elsewhere::direct("target.f41.test");
    writes(stage, &mut alice, &server.domain);
    let mut visit = server.visit()?;
    visit.serve_tls(tls::serving(&good(server.host()), &["xmpp-server"]))?;
    visit.closed(PATIENCE)?;
    unheard(&visit)?;
    told(&mut alice, "iq", &server.domain, UNFIT);
    told(&mut alice, "message", &server.domain, UNFIT);

    let server = Elsewhere::direct("good.f41.test");
    writes(stage, &mut alice, &server.domain);
    let mut visit = server.visit()?;
    visit.serve_tls(tls::serving(&good(&server.domain), &["xmpp-server"]))?;
    let asked = visit.served().expect("TLS");
    let asked = (asked.server_name(), asked.alpn_protocol());
    let wanted = (Some("good.f41.test"), Some(&b"xmpp-server"[..]));
    must(asked == wanted, || format!("{asked:?}"))?;
    server.believe(&mut visit)?;
    let heard = Elsewhere::id_of_next(&mut visit)?;
    must(heard == "m", || heard)
}

fn headers(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.online("alice");
    let rows = [
        (
            "name",
            "from='other.test' id='1' version='1.0'",
            "invalid-from",
            UNFIT,
        ),
        (
            "ours",
            "from='a.test' id='1' version='1.0'",
            "invalid-from",
            UNFIT,
        ),
        ("id", "from='id.f43.test' version='1.0'", "bad-format", LATE),
        (
            "old",
            "from='old.f43.test' id='1' version='0.9'",
            "unsupported-version",
            UNFIT,
        ),
        (
            "none",
            "from='none.f43.test' id='1'",
            "unsupported-version",
            UNFIT,
        ),
    ];
    for (name, attributes, condition, error) in rows {
        let server = Elsewhere::of(&format!("{name}.f43.test"));
        writes(stage, &mut alice, &server.domain);
        let mut visit = server.visit()?;
        hear_header(&mut visit)?;
        visit.say(&header(attributes));
        ends(&mut visit, condition).map_err(|e| format!("{name}: {e}"))?;
        unheard(&visit)?;
        told(&mut alice, "iq", &server.domain, error);
    }
    // Nor inside TLS, whatever was said before.
    let server = Elsewhere::of("inside.f43.test");
    writes(stage, &mut alice, &server.domain);
    let mut visit = server.secured(&good(&server.domain))?;
    hear_header(&mut visit)?;
    visit.say(&header("from='other.test' id='1' version='1.0'"));
    ends(&mut visit, "invalid-from")?;
    unheard(&visit)?;
    told(&mut alice, "iq", &server.domain, UNFIT);
    Ok(())
}

/// Twenty seconds are enough for all of it.
fn silence(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.online("alice");
    let silent = Elsewhere::of("silent.f43.test");
    let featureless = Elsewhere::of("features.f43.test");
    writes(stage, &mut alice, &silent.domain);
    writes(stage, &mut alice, &featureless.domain);
    let mut visits = [silent.visit()?, featureless.visit()?];
    hear_header(&mut visits[1])?;
    visits[1].say(&featureless.header());
    for (visit, server) in visits.iter_mut().zip([&silent, &featureless]) {
        visit.closed(4 * PATIENCE)?;
        unheard(visit)?;
        told(&mut alice, "iq", &server.domain, LATE);
    }
    Ok(())
}

/// CVE-2012-3525, the outbound half.
fn unasked(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.online("alice");
    let server = Elsewhere::of("f44.test");
    alice.says("<message type='chat' to='x@f44.test' id='m'><body>secret</body></message>");
    let mut visit = server.secured(&good(&server.domain))?;
    visit.header = hear_header(&mut visit)?;
    visit.say(&server.header());
    visit.say(&format!("<success xmlns='{SASL}'/>"));
    visit.say(&format!("<stream:features>{BY_DIALBACK}</stream:features>"));
    visit.expect(DIALBACK, "result")?;
    visit.say(&format!("<success xmlns='{SASL}'/>"));
    for (from, to) in [
        ("other.test", "a.test"),
        ("f44.test", "b.test"),
        ("a.test", "f44.test"),
        ("x.f44.test", "a.test"),
    ] {
        visit.say(&format!(
            "<db:result from='{from}' to='{to}' type='valid'/>"
        ));
        visit.say(&format!(
            "<db:verify from='{from}' to='{to}' id='1' type='valid'/>"
        ));
    }
    let heard = visit.hear_within(QUIET);
    must(heard == Err(Silence::Timeout), || format!("{heard:?}"))?;
    unheard(&visit)?;
    visit.say("<db:result from='f44.test' to='a.test' type='valid'/>");
    let heard = Elsewhere::id_of_next(&mut visit)?;
    must(heard == "m", || heard)
}

fn against_the_stream(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.online("alice");
    let mut bob = stage.online("bob");
    let to = bob.bare();
    let stanzas = [
        format!("<message from='x@f45.test' to='{to}' id='no'><body>no</body></message>"),
        format!("<presence from='x@f45.test' to='{to}' type='subscribe'/>"),
        format!("<iq from='x@f45.test' to='{to}' type='result' id='q'/>"),
    ];
    for (number, stanza) in stanzas.iter().enumerate() {
        let server = Elsewhere::of(&format!("s{number}.f45.test"));
        writes(stage, &mut alice, &server.domain);
        let mut visit = server.proved(&good(&server.domain))?;
        let heard = Elsewhere::id_of_next(&mut visit)?;
        must(heard == "m", || heard)?;
        visit.say(&stanza.replace("f45.test", &server.domain));
        ends(&mut visit, "not-authorized")?;
    }
    alice.says(&format!(
        "<message type='chat' to='{to}' id='end'><body>end</body></message>"
    ));
    let heard = bob.hears("<message type='chat' id='*'/>");
    must(heard.attr("id") == Some("end"), || heard.to_string())
}
