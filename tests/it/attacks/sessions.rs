//! A: acknowledgements, and sessions that their clients come back for, or somebody else
//! (XEP-0198).

use super::row::{Answer::Says, Row, Stage, State::*, each, must, scene};
use crate::client::{Client, PATIENCE};
use crate::device::Device;
use crate::world::password;
use crate::xml::{CLIENT, El, STREAMS};

const SM: &str = "urn:xmpp:sm:3";

pub fn rows() -> Vec<Row> {
    const UNEXPECTED: &[super::row::Answer] = &[Says(
        "<failed xmlns='urn:xmpp:sm:3'>\
         <unexpected-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>",
    )];
    const UNKNOWN: &[super::row::Answer] = &[Says(
        "<failed xmlns='urn:xmpp:sm:3'>\
         <not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>",
    )];
    let resume = "<resume xmlns='urn:xmpp:sm:3' previd='00112233445566778899aabbccddeeff' h='0'/>";
    let early = ["r", "a h='0'", "a h='x'"].map(|it| format!("<{it} xmlns='{SM}'/>"));
    vec![
        scene("A01", "more is acknowledged than was sent", too_much),
        scene("A02", "less than before, and what is no number", no_number),
        each(
            "A03",
            "enabled before there is a session",
            Authed,
            &["<enable xmlns='urn:xmpp:sm:3'/>"],
            UNEXPECTED,
        ),
        each(
            "A03-early",
            "acknowledged before it is enabled",
            Bound,
            &[&early[0], &early[1]],
            UNEXPECTED,
        ),
        scene("A03-twice", "enabled twice", twice),
        each("A04", "resumed before login", Tls, &[resume], UNKNOWN),
        each(
            "A04-late",
            "resumed when bound",
            Bound,
            &[resume],
            UNEXPECTED,
        ),
        scene("A05", "the session of somebody else", not_his),
        scene("A06", "names of sessions are guessed", guesses),
        scene("A07", "twenty come for one session", all_at_once),
        scene("A08", "who comes back has more than there was", ahead),
        scene(
            "A14-error",
            "an error of ours, then a closing tag",
            after_error,
        ),
        scene(
            "T42-sessions",
            "no session outlives its account",
            void_sessions,
        ),
    ]
}

/// Rows for a server whose sessions wait a second and take little.
pub fn rows_narrow() -> Vec<Row> {
    vec![
        scene("A09", "never acknowledged", never),
        scene("A13", "five wait for who does not come back", too_late),
        scene("A14", "five wait for who closes his stream", closed),
    ]
}

/// Enables acknowledgements and resumption; the name of the session.
fn enable(device: &mut Device) -> String {
    device.says(&format!("<enable xmlns='{SM}' resume='true'/>"));
    let enabled = device.waits_for(&format!("<enabled xmlns='{SM}' resume='true'/>"));
    enabled.attr("id").expect("a name").to_string()
}

/// A connection of a person that asks for a session; the answer.
fn resume(stage: &Stage, who: &str, previd: &str, h: u32) -> Result<(Client, El), String> {
    let mut client = stage.world.tcp();
    let user = stage.user(who);
    stage.world.account(&user, "a.test");
    client.open()?;
    client.login(&user, &password(&user))?;
    let answer = ask(&mut client, previd, h)?;
    Ok((client, answer))
}

fn ask(client: &mut Client, previd: &str, h: u32) -> Result<El, String> {
    client.say(&format!("<resume xmlns='{SM}' previd='{previd}' h='{h}'/>"));
    client.element()
}

/// A session that goes on.
fn back(stage: &Stage, who: &str, previd: &str, h: u32) -> Result<Device, String> {
    let (mut client, answer) = resume(stage, who, previd, h)?;
    must(answer.is(SM, "resumed"), || answer.to_string())?;
    client.jid = format!("{}/r1", stage.bare(who));
    Ok(Device::new(client))
}

/// `<failed/>` with this condition; its `h`.
fn failed(answer: &El, condition: &str) -> Result<Option<String>, String> {
    let stanzas = "urn:ietf:params:xml:ns:xmpp-stanzas";
    let fits = answer.is(SM, "failed") && answer.child(stanzas, condition).is_some();
    must(fits, || format!("{answer}, not {condition}"))?;
    Ok(answer.attr("h").map(str::to_string))
}

fn chat(to: &str, id: &str) -> String {
    format!("<message type='chat' to='{to}' id='{id}'><body>whisper</body></message>")
}

/// The ids of the messages heard up to now.
fn heard(device: &mut Device) -> Vec<String> {
    let messages = device.drains().into_iter();
    let messages = messages.filter(|it| it.is(CLIENT, "message"));
    messages
        .filter_map(|it| it.attr("id").map(str::to_string))
        .collect()
}

fn are(found: &[String], wanted: &[&str]) -> Result<(), String> {
    must(found == wanted, || format!("{found:?}, not {wanted:?}"))
}

fn too_much(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.device("alice");
    enable(&mut alice);
    for _ in 0..8 {
        alice.ping();
    }
    alice.says(&format!("<a xmlns='{SM}' h='999'/>"));
    let error = loop {
        match alice.client.element()? {
            element if element.is(STREAMS, "error") => break element,
            _ => {}
        }
    };
    must(
        Device::condition(&error) == Some("undefined-condition"),
        || error.to_string(),
    )?;
    let counts = error.child(SM, "handled-count-too-high");
    let counts = counts.map(|it| (it.attr("h"), it.attr("send-count")));
    must(counts == Some((Some("999"), Some("8"))), || {
        error.to_string()
    })
}

fn no_number(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.device("alice");
    enable(&mut alice);
    for _ in 0..3 {
        alice.ping();
    }
    for h in [3, 1, 0, 3] {
        alice.says(&format!("<a xmlns='{SM}' h='{h}'/>"));
    }
    alice.ping();
    for h in [
        "h='-1'",
        "h=''",
        "h='x'",
        "h='99999999999999999999'",
        "h='1 '",
        "",
    ] {
        let mut alice = stage.device("alice/r2");
        enable(&mut alice);
        alice.says(&format!("<a xmlns='{SM}' {h}/>"));
        let condition = alice.client.stream_error(PATIENCE)?;
        let right = ["invalid-xml", "undefined-condition"].contains(&&*condition);
        must(right, || format!("{h}: {condition}"))?;
    }
    Ok(())
}

fn twice(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.device("alice");
    let previd = enable(&mut alice);
    alice.says(&format!("<enable xmlns='{SM}' resume='true'/>"));
    let answer = alice.waits_for(&format!("<failed xmlns='{SM}'/>"));
    failed(&answer, "unexpected-request")?;
    alice.ping();
    drop(alice);
    back(stage, "alice", &previd, 1)?.ping();
    Ok(())
}

fn not_his(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.online("alice");
    let previd = enable(&mut alice);
    let (mut bob, answer) = resume(stage, "bob", &previd, 0)?;
    let h = failed(&answer, "item-not-found")?;
    must(h.is_none(), || format!("he is told {h:?}"))?;
    bob.bind("r1")?;
    bob.say(&chat(&alice.bare(), "m1"));
    alice.waits_for("<message type='chat' id='m1'/>");
    alice.ping();
    drop(alice);
    let mut alice = back(stage, "alice", &previd, 0)?;
    are(&heard(&mut alice), &["m1"])
}

fn guesses(stage: &Stage) -> Result<(), String> {
    let mut names = Vec::new();
    let mut devices = Vec::new();
    for number in 0..5 {
        let mut device = stage.device(&format!("alice/r{number}"));
        names.push(enable(&mut device));
        devices.push(device);
    }
    let hex = |name: &String| name.len() == 32 && name.bytes().all(|it| it.is_ascii_hexdigit());
    must(names.iter().all(hex), || format!("{names:?}"))?;
    let first = names[0].clone();
    names.sort_unstable();
    names.dedup();
    must(names.len() == 5, || format!("{names:?}"))?;
    let mut near: Vec<String> = (0..32)
        .map(|at| {
            let digit = if &first[at..=at] == "0" { "1" } else { "0" };
            format!("{}{digit}{}", &first[..at], &first[at + 1..])
        })
        .collect();
    near.extend([
        first[..31].into(),
        format!("{first}0"),
        format!("+{}", &first[1..]),
    ]);
    near.extend([String::new(), "\u{e9}".repeat(16), "0".repeat(5_000)]);
    let (mut client, _) = resume(stage, "alice", "x", 0)?;
    for name in near {
        let answer = ask(&mut client, &name, 0)?;
        failed(&answer, "item-not-found").map_err(|why| format!("{name:.40}: {why}"))?;
    }
    must(ask(&mut client, &first, 0)?.is(SM, "resumed"), || {
        "the right one is not taken any more".into()
    })
}

fn all_at_once(stage: &Stage) -> Result<(), String> {
    let mut bob = stage.online("bob");
    let mut alice = stage.online("alice");
    let previd = enable(&mut alice);
    bob.says(&chat(&alice.bare(), "m1"));
    bob.ping();
    let mut clients = Vec::new();
    std::thread::scope(|scope| {
        let ask = || resume(stage, "alice", &previd, 0);
        let asked: Vec<_> = (0..20).map(|_| scope.spawn(ask)).collect();
        clients.extend(asked.into_iter().map(|it| it.join().expect("no panic")));
    });
    alice.waits_for_the_end(&["conflict"]);
    bob.says(&chat(&alice.bare(), "m2"));
    bob.ping();
    let mut winners = Vec::new();
    for client in clients {
        let (mut client, answer) = client?;
        let came = answer.is(SM, "resumed");
        let lost = Device::condition(&answer) == Some("conflict");
        must(came || lost, || answer.to_string())?;
        if lost {
            continue;
        }
        client.say("<iq type='get' id='here' to='a.test'><ping xmlns='urn:xmpp:ping'/></iq>");
        let mut ids = Vec::new();
        let stays = loop {
            match client.element() {
                Ok(it) if it.attr("id") == Some("here") => break true,
                Ok(it) if it.is(CLIENT, "message") => {
                    ids.extend(it.attr("id").map(str::to_string));
                }
                Ok(it) if it.is(STREAMS, "error") => {
                    must(Device::condition(&it) == Some("conflict"), || {
                        it.to_string()
                    })?;
                    break false;
                }
                Ok(_) => {}
                Err(why) => return Err(why),
            }
        };
        if stays {
            winners.push(ids);
        }
    }
    must(winners.len() == 1, || format!("{} go on", winners.len()))?;
    are(&winners[0], &["m1", "m2"])
}

fn ahead(stage: &Stage) -> Result<(), String> {
    let mut bob = stage.online("bob");
    let mut alice = stage.online("alice");
    let previd = enable(&mut alice);
    bob.says(&chat(&alice.bare(), "m1"));
    alice.waits_for("<message type='chat' id='m1'/>");
    drop(alice);
    let (_, answer) = resume(stage, "alice", &previd, 7)?;
    must(
        Device::condition(&answer) == Some("undefined-condition"),
        || answer.to_string(),
    )?;
    let mut alice = back(stage, "alice", &previd, 0)?;
    are(&heard(&mut alice), &["m1"])
}

fn after_error(stage: &Stage) -> Result<(), String> {
    let mut bob = stage.online("bob");
    let mut alice = stage.online("alice");
    let previd = enable(&mut alice);
    alice.says("<message><body>&nothing;</body></message></stream:stream>");
    alice.waits_for_the_end(&["not-well-formed", "restricted-xml"]);
    drop(alice);
    bob.says(&chat(&stage.bare("alice"), "m1"));
    bob.ping();
    let mut alice = back(stage, "alice", &previd, 0)?;
    are(&heard(&mut alice), &["m1"])
}

fn void_sessions(stage: &Stage) -> Result<(), String> {
    let (bare, user) = (stage.bare("alice"), stage.user("alice"));
    let run = |arguments: &[&str], input: &str| {
        let (status, text) = stage.world.run(arguments, input);
        must(status.success(), || text)
    };
    let mut alice = stage.online("alice");
    let previd = enable(&mut alice);
    drop(alice);
    let same = format!("{}\n", password(&user));
    run(&["user", "passwd", &bare, "--password-stdin"], &same)?;
    let (_, answer) = resume(stage, "alice", &previd, 0)?;
    failed(&answer, "item-not-found")?;
    let mut alice = stage.online("alice");
    let previd = enable(&mut alice);
    drop(alice);
    run(&["user", "delete", &bare], "")?;
    stage.world.forget(&bare);
    // Somebody new of that name.
    let (_, answer) = resume(stage, "alice", &previd, 0)?;
    let h = failed(&answer, "item-not-found")?;
    must(h.is_none(), || format!("it is told {h:?}"))
}

fn never(stage: &Stage) -> Result<(), String> {
    let mut bob = stage.online("bob");
    let mut alice = stage.online("alice");
    enable(&mut alice);
    let before = stage.world.rss_kib();
    let mut sent = Vec::new();
    for number in 0..400 {
        let id = format!("m{number}");
        bob.says(&chat(&alice.bare(), &id));
        sent.push(id);
    }
    alice.waits_for_the_end(&["policy-violation"]);
    bob.ping();
    let grew = stage.world.rss_kib().saturating_sub(before);
    must(grew < 32 * 1024, || format!("{grew} KiB more"))?;
    let mut alice = stage.online("alice");
    let mut got = Vec::new();
    for _ in 0..50 {
        got.extend(heard(&mut alice));
        if got.len() >= sent.len() {
            break;
        }
    }
    must(got == sent, || {
        format!("{} of {}: {got:?}", got.len(), sent.len())
    })
}

/// Alice has not acknowledged five messages of bob's, who sees whether she is there.
fn five(stage: &Stage, previd: &mut String) -> Result<(Device, Device, Vec<String>), String> {
    let mut bob = stage.online("bob");
    let mut alice = stage.device("alice");
    alice.says("<presence><priority>5</priority></presence>");
    *previd = enable(&mut alice);
    alice.says(&format!("<presence to='{}'/>", bob.jid()));
    bob.waits_for(&format!("<presence from='{}'/>", alice.jid()));
    let ids: Vec<String> = (0..5).map(|number| format!("m{number}")).collect();
    for id in &ids {
        bob.says(&chat(&alice.bare(), id));
    }
    alice.waits_for("<message type='chat' id='m4'/>");
    Ok((alice, bob, ids))
}

/// The line of this session breaks, and nobody comes in time.
fn runs_out(mut bob: Device, alice: Device) {
    let jid = alice.jid();
    drop(alice);
    bob.waits_for(&format!("<presence type='unavailable' from='{jid}'/>"));
}

/// They come late, and say so (XEP-0203).
fn late(device: &mut Device, ids: &[String]) -> Result<(), String> {
    for id in ids {
        let message = device.waits_for(&format!("<message type='chat' id='{id}'/>"));
        let delay = message.child("urn:xmpp:delay", "delay");
        must(delay.is_some(), || message.to_string())?;
    }
    must(heard(device).is_empty(), || "twice".into())
}

fn too_late(stage: &Stage) -> Result<(), String> {
    let mut previd = String::new();
    // Nobody else is there: they wait.
    let (alice, bob, ids) = five(stage, &mut previd)?;
    runs_out(bob, alice);
    let (_, answer) = resume(stage, "alice", &previd, 0)?;
    let h = failed(&answer, "item-not-found")?;
    // The presence for bob.
    must(h.as_deref() == Some("1"), || format!("{h:?}"))?;
    let mut alice = stage.online("alice/r2");
    late(&mut alice, &ids)?;
    // Another device is there: it gets them.
    alice.says("<presence><priority>-1</priority></presence>");
    alice.ping();
    let (first, bob, ids) = five(stage, &mut previd)?;
    alice.says("<presence/>");
    must(heard(&mut alice).is_empty(), || "two have them".into())?;
    runs_out(bob, first);
    late(&mut alice, &ids)
}

fn closed(stage: &Stage) -> Result<(), String> {
    let mut previd = String::new();
    let (mut alice, _bob, ids) = five(stage, &mut previd)?;
    alice.leaves();
    let mut alice = stage.online("alice/r2");
    late(&mut alice, &ids)?;
    let (_, answer) = resume(stage, "alice", &previd, 0)?;
    failed(&answer, "item-not-found").map(|_| ())
}
