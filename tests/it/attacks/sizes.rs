//! X, continued: how large, how deep, how slow.

use super::row::{Answer::*, Row, Stage, State::*, each, must, scene};
use crate::client::{PATIENCE, QUIET, Silence};
use crate::xml::{CLIENT, El, Heard, STREAMS};
use std::time::{Duration, Instant};

const TOO_MUCH: &[super::row::Answer] = &[Ends("policy-violation")];

pub fn rows() -> Vec<Row> {
    let name = "n".repeat(64 * 1024);
    let value = "v".repeat(260 * 1024);
    let names = [
        format!("<message><{name} xmlns='urn:x'/></message>"),
        format!("<message><a xmlns='urn:x' {name}='x'/></message>"),
    ];
    let deep = "<a>".repeat(80) + &"</a>".repeat(80);
    vec![
        each(
            "X35",
            "an element with 45,000 children before login",
            Plain,
            &[&format!("<m>{}", "<a/>".repeat(45_000))],
            TOO_MUCH,
        ),
        each(
            "X38-name",
            "a name of 64 KiB",
            Bound,
            &[&names[0], &names[1]],
            TOO_MUCH,
        ),
        each(
            "X38-value",
            "an attribute of 260 KiB before login",
            Plain,
            &[&format!("<message a='{value}'/>")],
            TOO_MUCH,
        ),
        each(
            "X38-depth",
            "eighty elements deep",
            Bound,
            &[&format!("<message><x xmlns='urn:x'>{deep}</x></message>")],
            TOO_MUCH,
        ),
        each(
            "X44",
            "11 KiB of white space before login",
            Plain,
            &[&" ".repeat(11_264)],
            TOO_MUCH,
        ),
        each(
            "X44-t",
            "the same inside TLS",
            Tls,
            &[&" ".repeat(11_264)],
            TOO_MUCH,
        ),
        scene(
            "X40",
            "a stanza of 262,144 bytes, and one of a byte more",
            largest_stanza,
        ),
        scene("X40-huge", "a stanza of five megabytes", huge_stanza),
        scene("X41", "200 KiB that grow when they are written", growing),
        scene("X46", "4 KiB in writes of one byte", one_byte_writes),
    ]
}

fn message_of(to: &str, id: &str, bytes: usize) -> String {
    let empty = format!("<message type='chat' to='{to}' id='{id}'><body></body></message>");
    let fill = "x".repeat(bytes - empty.len());
    format!("<message type='chat' to='{to}' id='{id}'><body>{fill}</body></message>")
}

fn largest_stanza(stage: &Stage) -> Result<(), String> {
    let mut bob = stage.online("bob");
    let mut alice = stage.online("alice");
    let to = stage.bare("bob");
    alice.says(&message_of(&to, "largest", 262_144));
    bob.waits_for("<message type='chat' id='largest'/>");
    alice.says("<enable xmlns='urn:xmpp:sm:3'/>");
    alice.waits_for("<enabled xmlns='urn:xmpp:sm:3'/>");
    alice.says(&message_of(&to, "larger", 262_145));
    alice.waits_for(
        "<message type='error' id='larger'><error type='modify'>\
         <policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
         <stanza-too-big xmlns='urn:xmpp:errors'/></error></message>",
    );
    alice.says("<r xmlns='urn:xmpp:sm:3'/>");
    alice.waits_for("<a xmlns='urn:xmpp:sm:3' h='1'/>");
    bob.hears_nothing();
    Ok(())
}

fn huge_stanza(stage: &Stage) -> Result<(), String> {
    let mut bob = stage.online("bob");
    let mut alice = stage.client(Bound)?;
    let huge = message_of(&stage.bare("bob"), "huge", 5 << 20);
    let said = std::thread::scope(|scope| {
        scope
            .spawn(|| alice.say(&huge))
            .join()
            .map_err(|_| "the writer died")
    })?;
    let ended = alice.stream_error(PATIENCE);
    match ended {
        Ok(condition) if condition == "policy-violation" => {}
        // Who writes on while the server closes may see a reset instead of the error.
        Err(_) if !said => {}
        other => return Err(format!("{other:?}")),
    }
    bob.hears_nothing();
    Ok(())
}

fn growing(stage: &Stage) -> Result<(), String> {
    let mut bob = stage.online("bob");
    let mut alice = stage.online("alice");
    for (id, piece) in [("amp", "&amp;"), ("quot", "\""), ("apos", "'")] {
        let text = piece.repeat(200 * 1024 / piece.len());
        let plain = text.replace("&amp;", "&");
        let to = stage.bare("bob");
        alice.says(&format!(
            "<message to='{to}' id='{id}'><body>{text}</body></message>"
        ));
        let heard = bob.waits_for(&format!("<message id='{id}'/>"));
        must(heard.child_text(CLIENT, "body") == plain, || {
            format!("{id} came out otherwise")
        })?;
    }
    alice.ping();
    Ok(())
}

fn one_byte_writes(stage: &Stage) -> Result<(), String> {
    let user = stage.user("alice");
    stage.world.account(&user, "a.test");
    let mut client = stage.world.tls();
    client.open()?;
    client.login(&user, &crate::world::password(&user))?;
    client.bind("slow")?;
    let me = client.jid.clone();
    let text = message_of(&me, "drip", 4096);
    for byte in text.bytes() {
        client.say_bytes(&[byte]);
        client.transcript.clear();
    }
    loop {
        let el = client.element()?;
        if el.attr("id") == Some("drip") {
            return el.fits(&El::parse(&format!(
                "<message type='chat' from='{me}' id='drip'/>"
            )));
        }
    }
}

/// Rows that take long or much.
pub fn heavy_rows() -> Vec<Row> {
    vec![
        scene(
            "X39",
            "a byte every ten seconds does not keep a stranger",
            slow_loris,
        ),
        scene("X44-100m", "100 MiB of white space", endless_space),
    ]
}

fn slow_loris(stage: &Stage) -> Result<(), String> {
    let mut client = stage.client(Plain)?;
    let begin = Instant::now();
    client.say("<message ");
    while begin.elapsed() < Duration::from_secs(300) {
        match client.hear_within(Duration::from_secs(10)) {
            Err(Silence::Timeout) => {
                client.say("a");
            }
            Ok(Heard::Element(el)) if el.is(STREAMS, "error") => break,
            Err(Silence::Closed) => break,
            other => return Err(format!("{other:?}")),
        }
    }
    let lasted = begin.elapsed();
    must(lasted < Duration::from_secs(45), || {
        format!("lasted {lasted:?}")
    })
}

fn endless_space(stage: &Stage) -> Result<(), String> {
    let before = stage.world.rss_kib();
    let mut strangers = stage.client(Plain)?;
    let chunk = " ".repeat(64 * 1024);
    let taken = (0..1600).take_while(|_| strangers.say(&chunk)).count();
    must(taken < 200, || {
        format!("a stranger's {taken} chunks of 64 KiB were taken")
    })?;
    let mut alice = stage.client(Bound)?;
    for _ in 0..64 {
        alice.transcript.clear();
        alice.say(&chunk);
    }
    alice
        .socket()
        .shutdown(std::net::Shutdown::Both)
        .map_err(|e| e.to_string())?;
    std::thread::sleep(QUIET);
    let grown = stage.world.rss_kib().saturating_sub(before);
    must(grown < 4096, || format!("memory grew by {grown} KiB"))
}
