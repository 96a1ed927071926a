//! Bücher has a server. People write its name as it is, or as the DNS has it (RFC 7622 §3.2); it is
//! found, and proves who it is, by what the DNS and certificates have.

use crate::authority::Authority;
use crate::elsewhere::{Elsewhere, asking, dns};
use crate::world::{Plan, World};

const NAME: &str = "bücher.test";
const IN_DNS: &str = "xn--bcher-kva.test";

#[test]
fn a_name_beyond_ascii_is_found_and_proved() {
    let authority = Authority::get();
    let plan = authority.certified_plan(&["a.test"]);
    let world = World::with(Plan {
        more: plan.more.clone() + &asking(),
        ..plan
    });
    let mut alice = world.online("alice@a.test/phone");
    // Under this name the DNS knows it.
    let mut far = Elsewhere::of(IN_DNS);
    far.domain = NAME.into();
    let leaf = authority.leaf(&[IN_DNS]);
    alice.says(&format!(
        "<message type='chat' to='x@{NAME}' id='1'><body>1</body></message>"
    ));
    alice.says(&format!(
        "<message type='chat' to='x@{IN_DNS}' id='2'><body>2</body></message>"
    ));
    let mut visit = far.proved(&leaf).expect("it is found and believed");
    assert_eq!(visit.header.attr("to"), Some(NAME));
    let connection = visit.served().expect("a connection with TLS");
    assert_eq!(connection.server_name(), Some(IN_DNS));
    // Both are one.
    for id in ["1", "2"] {
        let message = visit.element().expect("a message");
        assert_eq!(message.attr("id"), Some(id));
        let to = format!("x@{NAME}");
        assert_eq!(message.attr("to"), Some(to.as_str()));
    }
    assert!(!far.is_called(), "one line serves for both");
    let asked = dns().asked();
    assert!(asked.iter().any(|it| it.contains(IN_DNS)) && !asked.iter().any(|it| it.contains('ü')));
    // It calls, under either name.
    for (name, id) in [(NAME, "3"), (IN_DNS, "4")] {
        far.domain = name.into();
        let mut call = far.calls_proved(world.s2s, "a.test", &leaf).expect("in");
        call.say(&format!(
            "<message type='chat' from='x@{name}' to='alice@a.test' id='{id}'>\
             <body>x</body></message>"
        ));
        alice.waits_for(&format!(
            "<message type='chat' from='x@{NAME}' id='{id}'><body>x</body></message>"
        ));
    }
    // A name that only looks like it is another.
    far.domain = "bucher.test".into();
    let call = far.calls(world.s2s, "a.test", &leaf).expect("TLS");
    assert!(call.mechanisms().is_empty(), "{}", call.features);
}
