//! People of several domains of one server write to another: one line serves for all, each domain
//! proved by itself (XEP-0220 §2.6). Who does not want that is called once more.

use crate::authority::{Authority, Leaf};
use crate::client::Client;
use crate::device::Device;
use crate::elsewhere::{DIALBACK, EXTERNAL, Elsewhere, SERVER, asking};
use crate::world::{Plan, World};
use crate::xml::SASL;

const MANAGEMENT: &str = "urn:xmpp:sm:3";

fn world() -> World {
    let plan = Authority::get().certified_plan(&["a.test", "b.test"]);
    World::with(Plan {
        more: plan.more.clone()
            + &asking()
            + "[outbox]\nretry = \"100ms\"\nretry_longest = \"100ms\"\n",
        ..plan
    })
}

fn says(device: &mut Device, domain: &str, id: &str) {
    device.says(&format!(
        "<message type='chat' to='x@{domain}' id='{id}'><body>{id}</body></message>"
    ));
}

/// A visit up to where stanzas come, with stream management that forgets.
fn managed(far: &Elsewhere, leaf: &Leaf) -> Client {
    let mut visit = far.secured(leaf).expect("it calls");
    let visited = (|| {
        far.begin(&mut visit, EXTERNAL)?;
        visit.expect(SASL, "auth")?;
        visit.say(&format!("<success xmlns='{SASL}'/>"));
        visit.restart();
        far.begin(&mut visit, &format!("<sm xmlns='{MANAGEMENT}'/>"))?;
        visit.expect(MANAGEMENT, "enable")?;
        visit.say(&format!("<enabled xmlns='{MANAGEMENT}'/>"));
        Ok::<(), String>(())
    })();
    visited.expect("it goes on");
    visit
}

/// The next stanza's id; what is said of acknowledgements goes by.
fn next_id(line: &mut Client) -> String {
    loop {
        let element = line.element().expect("a stanza");
        if element.ns == SERVER {
            return element.attr("id").unwrap_or_default().to_owned();
        }
        assert_eq!(element.ns, MANAGEMENT, "{element}");
    }
}

/// The other server is asked to hear b.test too, and answers so.
fn judges(visit: &mut Client, domain: &str, answer: &str) {
    loop {
        let element = visit.element().expect("a claim");
        if element.is(DIALBACK, "result") {
            assert_eq!(element.attr("from"), Some("b.test"));
            assert_eq!(element.attr("to"), Some(domain));
            break;
        }
        assert_eq!(element.ns, MANAGEMENT, "{element}");
    }
    visit.say(&format!("<db:result from='{domain}' to='b.test' {answer}"));
}

#[test]
fn one_line_serves_for_all_of_our_domains() {
    let world = world();
    let mut alice = world.online("alice@a.test/phone");
    let mut bob = world.online("bob@b.test/desk");
    let (far, leaf) = (
        Elsewhere::of("many.test"),
        Authority::get().leaf(&["many.test"]),
    );
    says(&mut alice, "many.test", "a1");
    let mut visit = managed(&far, &leaf);
    assert_eq!(next_id(&mut visit), "a1");
    says(&mut bob, "many.test", "b1");
    judges(&mut visit, "many.test", "type='valid'/>");
    assert_eq!(next_id(&mut visit), "b1");
    says(&mut alice, "many.test", "a2");
    assert_eq!(next_id(&mut visit), "a2");
    says(&mut bob, "many.test", "b2");
    assert_eq!(next_id(&mut visit), "b2");
    assert!(!far.is_called(), "one line serves for both");
    // It has all but the last; then the line breaks.
    visit.say(&format!("<a xmlns='{MANAGEMENT}' h='3'/>"));
    visit.say(&format!("<r xmlns='{MANAGEMENT}'/>"));
    while !visit.element().expect("an answer").is(MANAGEMENT, "a") {}
    drop(visit);
    // Only who has something left to say calls again.
    let mut visit = managed(&far, &leaf);
    assert_eq!(visit.header.attr("from"), Some("b.test"));
    assert_eq!(next_id(&mut visit), "b2");
    says(&mut bob, "many.test", "b3");
    assert_eq!(next_id(&mut visit), "b3");
    assert!(!far.is_called(), "nothing else was left");
}

#[test]
fn who_wants_no_other_domain_on_it_is_called_once_more() {
    let world = world();
    let mut alice = world.online("alice@a.test/phone");
    let mut bob = world.online("bob@b.test/desk");
    let (far, leaf) = (
        Elsewhere::of("single.test"),
        Authority::get().leaf(&["single.test"]),
    );
    says(&mut alice, "single.test", "a1");
    let mut first = managed(&far, &leaf);
    assert_eq!(next_id(&mut first), "a1");
    says(&mut bob, "single.test", "b1");
    judges(
        &mut first,
        "single.test",
        "type='error'><error type='cancel'><not-authorized \
         xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:result>",
    );
    let mut second = managed(&far, &leaf);
    assert_eq!(second.header.attr("from"), Some("b.test"));
    assert_eq!(next_id(&mut second), "b1");
    // The first line is as good as ever.
    says(&mut alice, "single.test", "a2");
    assert_eq!(next_id(&mut first), "a2");
    says(&mut bob, "single.test", "b2");
    assert_eq!(next_id(&mut second), "b2");
}
