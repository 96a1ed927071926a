//! Alice keeps a card for others (XEP-0054) and notes for herself (XEP-0049).

use crate::world::World;

#[test]
fn profile_and_private_data() {
    let world = World::start();
    let mut alice = world.online("alice@a.test/phone");
    let mut bob = world.online("bob@b.test/home");
    // Without a card there is an empty one, or none (XEP-0054 §3.1).
    let none = alice.asks("<iq type='get' id='v0'><vCard xmlns='vcard-temp'/></iq>");
    let empty = none.attr("type") == Some("result");
    assert!(
        empty || none.error() == Some(("cancel", "item-not-found")),
        "{none}"
    );
    alice.gets(
        "<iq type='set' id='v1'><vCard xmlns='vcard-temp'><FN>Alice</FN></vCard></iq>",
        "<iq type='result' id='v1'/>",
    );
    alice.gets(
        "<iq type='set' id='p1'><query xmlns='jabber:iq:private'>\
         <notes xmlns='urn:x:notes'><n>one</n></notes></query></iq>",
        "<iq type='result' id='p1'/>",
    );
    world.kill_9();
    world.rise();
    drop((alice, bob));
    let mut alice = world.online("alice@a.test/desk");
    bob = world.online("bob@b.test/home");
    let card = "<vCard xmlns='vcard-temp'><FN>Alice</FN></vCard>";
    alice.gets(
        "<iq type='get' id='v2'><vCard xmlns='vcard-temp'/></iq>",
        &format!("<iq type='result' id='v2'>{card}</iq>"),
    );
    alice.gets(
        "<iq type='get' id='p2'><query xmlns='jabber:iq:private'>\
         <notes xmlns='urn:x:notes'/></query></iq>",
        "<iq type='result' id='p2'><query xmlns='jabber:iq:private'>\
         <notes xmlns='urn:x:notes'><n>one</n></notes></query></iq>",
    );
    // Others see the card if they may see her, and never the notes.
    let ask = "<iq type='set' id='p3' to='alice@a.test'><query xmlns='jabber:iq:private'>\
               <notes xmlns='urn:x:notes'/></query></iq>";
    let answer = bob.asks(ask);
    assert_eq!(answer.attr("type"), Some("error"), "{answer}");
}

/// RFC 6120 §10.1: of two notes that Alice sends one right after the other the second stays,
/// however busy the disk is with something else of hers.
#[test]
fn notes_are_kept_in_their_order() {
    let world = World::start();
    let mut alice = world.online("alice@a.test/phone");
    let note = |id: &str, text: &str| {
        format!(
            "<iq type='set' id='{id}'><query xmlns='jabber:iq:private'>\
             <notes xmlns='urn:x:notes'>{text}</notes></query></iq>"
        )
    };
    for round in 0..150 {
        let busy = format!(
            "<presence type='subscribe' to='carol{round}@b.test'/>\
             <iq type='set' id='r'><query xmlns='jabber:iq:roster'>\
             <item jid='carol{round}@b.test' subscription='remove'/></query></iq>"
        );
        let both = note("n1", "first") + &note("n2", &format!("second {round}"));
        alice.says(&format!("{busy}{both}"));
        let mut answers = Vec::new();
        while answers.len() < 2 {
            let answer = alice.waits_for("<iq type='result'/>");
            answers.extend(answer.attr("id").filter(|id| *id != "r").map(str::to_owned));
        }
        assert_eq!(answers, ["n1", "n2"], "in round {round}");
        alice.gets(
            "<iq type='get' id='g'><query xmlns='jabber:iq:private'>\
             <notes xmlns='urn:x:notes'/></query></iq>",
            &format!(
                "<iq type='result' id='g'><query xmlns='jabber:iq:private'>\
                 <notes xmlns='urn:x:notes'>second {round}</notes></query></iq>"
            ),
        );
    }
}
