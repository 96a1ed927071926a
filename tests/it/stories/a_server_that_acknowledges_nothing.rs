//! A server without stream management (XEP-0198) is asked something behind what it was sent. Once
//! it has answered, whatever it says, nothing of that is sent again.

use crate::authority::Authority;
use crate::client::Client;
use crate::device::Device;
use crate::elsewhere::{Elsewhere, SERVER, asking};
use crate::world::{Plan, World};
use crate::xml::El;

fn world() -> World {
    let plan = Authority::get().certified_plan(&["a.test"]);
    World::with(Plan {
        more: plan.more.clone()
            + &asking()
            + "[outbox]\nretry = \"100ms\"\nretry_longest = \"100ms\"\n",
        ..plan
    })
}

fn says(alice: &mut Device, domain: &str, id: &str) {
    alice.says(&format!(
        "<message type='chat' to='x@{domain}' id='{id}'><body>{id}</body></message>"
    ));
}

/// Stanzas up to the question, which comes last.
fn hears_up_to_question(visit: &mut Client) -> (Vec<String>, El) {
    let mut ids = Vec::new();
    loop {
        let stanza = visit.element().expect("a stanza");
        assert_eq!(stanza.ns, SERVER, "{stanza}");
        match stanza.name.as_str() {
            "iq" => return (ids, stanza),
            _ => ids.push(stanza.attr("id").unwrap_or_default().to_owned()),
        }
    }
}

#[test]
fn what_it_has_answered_for_does_not_come_again() {
    let world = world();
    let mut alice = world.online("alice@a.test/phone");
    for (domain, answer) in [
        ("result.mute.test", "type='result'/>"),
        // It does not know the question; but it has read it.
        (
            "error.mute.test",
            "type='error'><error type='cancel'><service-unavailable \
             xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
        ),
    ] {
        let far = Elsewhere::of(domain);
        let leaf = Authority::get().leaf(&[domain]);
        says(&mut alice, domain, "1");
        let mut visit = far.proved(&leaf).expect("it calls");
        let (ids, question) = hears_up_to_question(&mut visit);
        assert_eq!(ids, ["1"], "{domain}");
        assert_eq!(question.attr("type"), Some("get"));
        assert_eq!(question.attr("from"), Some("a.test"));
        assert_eq!(question.attr("to"), Some(domain));
        // Someone there is not the server.
        let id = question.attr("id").expect("its id");
        let from_x = format!("<iq from='x@{domain}' to='a.test' id='{id}' type='result'/>");
        let from_it = format!("<iq from='{domain}' to='a.test' id='{id}' {answer}");
        let mut call = far.calls_proved(world.s2s, "a.test", &leaf).expect("in");
        call.say(&from_x);
        // The line breaks: it may not have read the message.
        call.say("<r xmlns='urn:xmpp:sm:3'/>");
        call.element().expect("it has been read");
        drop(visit);
        let mut visit = far.proved(&leaf).expect("it calls again");
        let (ids, question) = hears_up_to_question(&mut visit);
        assert_eq!(ids, ["1"], "{domain}");
        // An answer to the question before says nothing of this line.
        call.say(&from_it);
        let from_it = from_it.replace(id, question.attr("id").expect("its id"));
        call.say(&from_it);
        call.say("<r xmlns='urn:xmpp:sm:3'/>");
        call.element().expect("it has been read");
        // What comes later is not answered for.
        says(&mut alice, domain, "2");
        let (ids, _) = hears_up_to_question(&mut visit);
        assert_eq!(ids, ["2"], "{domain}");
        drop(visit);
        says(&mut alice, domain, "3");
        let mut visit = far.proved(&leaf).expect("it calls again");
        let (ids, _) = hears_up_to_question(&mut visit);
        assert_eq!(ids, ["2", "3"], "{domain}");
    }
    alice.hears_nothing();
}
