//! U: what accounts publish, and what strangers make of it: who hears of it, pictures that are
//! none, moves that are not proved (XEP-0283), and how far somebody has read (XEP-0490).

use super::row::{Row, Stage, must, scene};
use crate::caps::{presence, wants};
use crate::device::Device;
use crate::sasl::b64;
use crate::xml::El;

pub fn rows() -> Vec<Row> {
    vec![
        scene("U04", "who asks to hear and may not", unseen),
        scene("U12", "pictures that are none", pictures),
        scene("U13", "moves that nobody proves", forged_moves),
        scene("U14", "statements without end", bloated_moves),
        scene("U15", "another says how far one has read", read_by_another),
        scene("U16", "how far one has read, without end", read_without_end),
    ]
}

const PUBSUB: &str = "http://jabber.org/protocol/pubsub";
const TUNE: &str = "http://jabber.org/protocol/tune";
const METADATA: &str = "urn:xmpp:avatar:metadata";
const MOVED: &str = "urn:xmpp:moved:1";
const MDS: &str = "urn:xmpp:mds:displayed:0";

fn iq(kind: &str, to: &str, inside: &str) -> String {
    format!("<iq type='{kind}' id='e' to='{to}'><pubsub xmlns='{PUBSUB}'>{inside}</pubsub></iq>")
}

fn publish(to: &str, node: &str, id: &str, payload: &str) -> String {
    let item = format!("<item id='{id}'>{payload}</item>");
    iq(
        "set",
        to,
        &format!("<publish node='{node}'>{item}</publish>"),
    )
}

fn items(of: &str, node: &str) -> String {
    iq("get", of, &format!("<items node='{node}'/>"))
}

fn condition(answer: &El) -> &str {
    let error = answer.error().map(|(_, condition)| condition);
    error.unwrap_or(answer.attr("type").unwrap_or_default())
}

/// Asks, and compares what is answered.
fn says(device: &mut Device, iq: &str, expected: &[&str]) -> Result<(), String> {
    let answer = device.asks(iq);
    must(expected.contains(&condition(&answer)), || {
        format!("{iq}: {answer}, not {expected:?}")
    })
}

/// One may see another's presence from now on, and not the other way round.
fn let_see(one: &mut Device, other: &mut Device) {
    one.fetches_roster();
    other.fetches_roster();
    let (asker, asked) = (one.bare(), other.bare());
    one.says(&format!("<presence type='subscribe' to='{asked}'/>"));
    other.waits_for(&format!("<presence type='subscribe' from='{asker}'/>"));
    other.says(&format!("<presence type='subscribed' to='{asker}'/>"));
    one.waits_for(&format!("<presence type='subscribed' from='{asked}'/>"));
}

/// XEP-0163 §4.3.2: it is the account's presence that counts, not the one that somebody sends.
fn unseen(stage: &Stage) -> Result<(), String> {
    let (mut alice, mut bob) = (stage.online("alice"), stage.online("bob"));
    let (mut carol, mut eve) = (stage.online("carol"), stage.online("eve"));
    let own = alice.bare();
    let_see(&mut bob, &mut alice);
    let_see(&mut alice, &mut carol);
    let tune = format!("<tune xmlns='{TUNE}'/>");
    says(&mut alice, &publish(&own, TUNE, "one", &tune), &["result"])?;
    for device in [&mut bob, &mut carol, &mut eve] {
        // A make of client that the server does not know yet.
        let topics = [TUNE, &device.jid()];
        wants(device, &topics);
        device.says(&presence(&format!(" to='{own}'"), &topics));
    }
    let heard = format!(
        "<message from='{own}' type='headline'>\
         <event xmlns='http://jabber.org/protocol/pubsub#event'/></message>"
    );
    bob.waits_for(&heard);
    says(&mut alice, &publish(&own, TUNE, "two", &tune), &["result"])?;
    bob.waits_for(&heard);
    for device in [&mut carol, &mut eve] {
        let all = device.drains();
        let events = all.iter().find(|el| el.name == "message");
        must(events.is_none(), || format!("{}: {all:?}", device.jid()))?;
    }
    // Who may see her presence no more hears nothing more.
    alice.says(&format!(
        "<presence type='unsubscribed' to='{}'/>",
        bob.bare()
    ));
    bob.waits_for(&format!("<presence type='unsubscribed' from='{own}'/>"));
    says(
        &mut alice,
        &publish(&own, TUNE, "three", &tune),
        &["result"],
    )?;
    let all = bob.drains();
    must(all.iter().all(|el| el.name != "message"), || {
        format!("{all:?}")
    })
}

/// XEP-0398: what is no image is no avatar, and a large one is refused. The server decodes none.
fn pictures(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.online("alice");
    let own = alice.bare();
    let set = |kind: &str, binary: &str| {
        format!(
            "<iq type='set' id='v'><vCard xmlns='vcard-temp'><PHOTO><TYPE>{kind}</TYPE>\
             <BINVAL>{binary}</BINVAL></PHOTO></vCard></iq>"
        )
    };
    let svg = b64("<svg xmlns='http://www.w3.org/2000/svg'><script>x()</script></svg>");
    let page = b64("<html><script>x()</script></html>");
    for (kind, binary) in [
        ("image/png", "%%%not base64%%%"),
        ("image/png", "iVBORw0KGgo"),
        ("image/svg+xml", &svg),
        ("image/png", &svg),
        ("text/html", &page),
        ("image/gif", ""),
    ] {
        says(&mut alice, &set(kind, binary), &["result"])?;
        let shown = alice.asks(&items(&own, METADATA)).to_string();
        must(!shown.contains("<info"), || {
            format!("{kind} {binary}: {shown}")
        })?;
    }
    // What it says of itself does not count: these bytes are a PNG's.
    let png = b64(b"\x89PNG\r\n\x1a\n and no more");
    says(&mut alice, &set("text/html", &png), &["result"])?;
    let shown = alice.asks(&items(&own, METADATA)).to_string();
    must(
        shown.contains("image/png") && !shown.contains("html"),
        || shown.clone(),
    )?;
    let large = b64([b"\x89PNG".as_slice(), &[0; 140_000]].concat());
    says(
        &mut alice,
        &set("image/png", &large),
        &["resource-constraint"],
    )?;
    let data = format!("<data xmlns='urn:xmpp:avatar:data'>{large}</data>");
    let large = publish(&own, "urn:xmpp:avatar:data", "i", &data);
    says(&mut alice, &large, &["not-acceptable"])?;
    let unchanged = alice.asks(&items(&own, METADATA)).to_string();
    must(unchanged == shown, || unchanged)?;
    // And one of five megabytes is not read to its end.
    let huge = "A".repeat(5 << 20);
    let mut eve = stage.online("eve");
    eve.says(&set("image/png", &huge));
    eve.waits_for_the_end(&["policy-violation", "resource-constraint"]);
    Ok(())
}

/// A request that says it comes from who had another address (XEP-0283 §4.1).
fn moves(new: &mut Device, contact: &str, old: &str) {
    new.says(&format!(
        "<presence type='subscribe' to='{contact}'><moved xmlns='{MOVED}'>\
         <old-jid>{old}</old-jid></moved></presence>"
    ));
}

fn statement(new: &str) -> String {
    format!("<moved xmlns='{MOVED}'><new-jid>{new}</new-jid></moved>")
}

/// The contact is shown a request, refuses it, and nothing else came of it.
fn is_a_request_like_any_other(
    contact: &mut Device,
    new: &mut Device,
    why: &str,
) -> Result<(), String> {
    let (eve, bob) = (new.bare(), contact.bare());
    contact.waits_for(&format!("<presence type='subscribe' from='{eve}'/>"));
    let roster = contact.fetches_roster().to_string();
    must(!roster.contains(&eve), || format!("{why}: {roster}"))?;
    contact.says(&format!("<presence type='unsubscribed' to='{eve}'/>"));
    new.waits_for(&format!("<presence type='unsubscribed' from='{bob}'/>"));
    Ok(())
}

/// §4.4 and §8: only the old account itself says where it went.
fn forged_moves(stage: &Stage) -> Result<(), String> {
    let (mut alice, mut bob) = (stage.online("alice"), stage.online("bob"));
    let mut eve = stage.online("eve");
    stage.befriend(&mut alice, &mut bob);
    eve.fetches_roster();
    let (old, contact, thief) = (alice.bare(), bob.bare(), eve.bare());
    for (claimed, why) in [
        (old.as_str(), "nothing is stated"),
        (&alice.jid(), "a full JID"),
        (&thief, "her own address"),
        (&contact, "the contact's own"),
        ("nobody@a.test", "an account that is not there"),
        ("a.test", "the server"),
        ("@", "no address"),
        ("", "nothing"),
    ] {
        moves(&mut eve, &contact, claimed);
        is_a_request_like_any_other(&mut bob, &mut eve, why)?;
    }
    // A statement of her own, at her own account, in an answer that nobody asked her for, and at
    // alice's, where she may not.
    let forged = statement(&thief);
    says(
        &mut eve,
        &publish(&thief, MOVED, "current", &forged),
        &["result"],
    )?;
    moves(&mut eve, &contact, &old);
    let answer = format!("<items node='{MOVED}'><item id='current'>{forged}</item></items>");
    eve.says(&iq("result", &contact, &answer));
    is_a_request_like_any_other(&mut bob, &mut eve, "an answer of her own")?;
    let theirs = publish(&old, MOVED, "current", &forged);
    says(&mut eve, &theirs, &["service-unavailable", "forbidden"])?;
    says(&mut bob, &theirs, &["forbidden"])?;
    // Alice moves, but not there.
    let there = publish(&old, MOVED, "current", &statement(&stage.bare("carol")));
    says(&mut alice, &there, &["result"])?;
    moves(&mut eve, &contact, &old);
    is_a_request_like_any_other(&mut bob, &mut eve, "somebody else's move")?;
    let roster = bob.fetches_roster().to_string();
    must(roster.contains("subscription='both'"), || roster)
}

/// What a contact states is read by another's server: it may be large, but no more than that.
fn bloated_moves(stage: &Stage) -> Result<(), String> {
    let (mut alice, mut bob) = (stage.online("alice"), stage.online("bob"));
    let mut eve = stage.online("eve");
    stage.befriend(&mut alice, &mut bob);
    eve.fetches_roster();
    let (old, contact, new) = (alice.bare(), bob.bare(), eve.bare());
    let long = "x".repeat(120_000);
    let many = format!("<new-jid>{}</new-jid>", stage.bare("carol")).repeat(2_000);
    let deep = format!("{}{new}{}", "<a>".repeat(40), "</a>".repeat(40));
    for (inside, why) in [
        (
            format!("<new-jid>{long}@a.test</new-jid>"),
            "a long address",
        ),
        (format!("{many}<new-jid>{new}</new-jid>"), "many addresses"),
        (format!("<new-jid>{deep}</new-jid>"), "a deep one"),
        (format!("<x xmlns='urn:x'>{long}</x>"), "none at all"),
    ] {
        let bloated = format!("<moved xmlns='{MOVED}'>{inside}</moved>");
        let bloated = publish(&old, MOVED, "current", &bloated);
        says(&mut alice, &bloated, &["result"])?;
        moves(&mut eve, &contact, &old);
        is_a_request_like_any_other(&mut bob, &mut eve, why)?;
    }
    let heavy = statement(&"x".repeat(130 * 1024));
    let heavy = publish(&old, MOVED, "current", &heavy);
    says(&mut alice, &heavy, &["not-acceptable"])?;
    // The same at the other end: the old address that a request names.
    moves(&mut eve, &contact, &format!("{long}@a.test"));
    is_a_request_like_any_other(&mut bob, &mut eve, "a long old address")?;
    bob.ping();
    Ok(())
}

/// What one's devices tell each other (XEP-0490 §3.1).
fn displayed(id: &str, by: &str) -> String {
    format!(
        "<displayed xmlns='{MDS}'><stanza-id xmlns='urn:xmpp:sid:0' id='{id}' by='{by}'/>\
         </displayed>"
    )
}

/// XEP-0490 §6: nobody else reads it, hears of it, or writes it; not even a contact.
fn read_by_another(stage: &Stage) -> Result<(), String> {
    let (mut alice, mut bob) = (stage.online("alice"), stage.online("bob"));
    let mut eve = stage.online("eve");
    stage.befriend(&mut alice, &mut bob);
    let (own, friend) = (alice.bare(), bob.bare());
    let hers = publish(&own, MDS, &friend, &displayed("1", &own));
    says(&mut alice, &hers, &["result"])?;
    let topics = [MDS, &bob.jid()];
    wants(&mut bob, &topics);
    let no = ["forbidden", "not-allowed", "service-unavailable"];
    for other in [&mut bob, &mut eve] {
        let subscribe = format!("<subscribe node='{MDS}' jid='{}'/>", other.bare());
        let retract = format!("<retract node='{MDS}'><item id='{friend}'/></retract>");
        for request in [
            items(&own, MDS),
            publish(&own, MDS, &friend, &displayed("2", &own)),
            iq("set", &own, &subscribe),
            iq("set", &own, &retract),
        ] {
            says(other, &request, &no)?;
        }
        // A marker of theirs is theirs: it says nothing of what alice has read.
        other.says(&format!(
            "<message to='{own}' type='chat'><body>x</body>{}</message>",
            displayed("3", &own)
        ));
        alice.waits_for(&format!("<message from='{}' type='chat'/>", other.jid()));
        other.says(&format!(
            "<message to='{}' type='chat'><body>x</body>{}</message>",
            other.bare(),
            displayed("4", &own)
        ));
        other.ping();
    }
    says(
        &mut alice,
        &publish(&own, MDS, "x@y.test", &displayed("5", &own)),
        &["result"],
    )?;
    let all = alice.asks(&items(&own, MDS)).to_string();
    let kept = all.contains("id='1'") && all.contains("id='5'");
    let others = ["2", "3", "4"].map(|id| format!("id='{id}'"));
    must(kept && !others.iter().any(|id| all.contains(id)), || all)?;
    let heard = bob.drains();
    let event = |el: &El| el.name == "message" && el.attr("from") == Some(&own);
    must(!heard.iter().any(event), || format!("{heard:?}"))
}

/// XEP-0490 §3.4: whatever is in it goes to nobody else, and takes no more room than other items.
fn read_without_end(stage: &Stage) -> Result<(), String> {
    let (mut alice, mut bob) = (stage.online("alice"), stage.online("bob"));
    let (own, friend) = (alice.bare(), bob.bare());
    let says_read = |alice: &mut Device, to: &str, inside: &str| {
        alice.says(&format!(
            "<message to='{to}' type='chat'><body>x</body>\
             <displayed xmlns='{MDS}'>{inside}</displayed></message>"
        ));
    };
    let bloated = "<x xmlns='urn:x'/>".repeat(3_000);
    let long = format!("<x xmlns='urn:x'>{}</x>", "x".repeat(140_000));
    for inside in [bloated.as_str(), &long, ""] {
        says_read(&mut alice, &friend, inside);
        let heard = bob.waits_for(&format!("<message from='{}' type='chat'/>", alice.jid()));
        let text = heard.to_string();
        must(!text.contains(MDS) && !text.contains("'urn:x'"), || text)?;
    }
    // One item for each chat; those of rooms and of nobody are taken literally.
    for number in 0..60 {
        says_read(&mut alice, &format!("{friend}/{number}"), "");
    }
    alice.ping();
    let all = alice.asks(&items(&own, MDS)).to_string();
    let longest = "x".repeat(1_000);
    must(all.matches("<item ").count() <= 61, || all.clone())?;
    must(!all.contains(&longest), || "the long one is kept".into())
}
