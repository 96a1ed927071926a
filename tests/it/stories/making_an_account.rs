//! Dan makes himself an account from his client (XEP-0077), where that is allowed.

use crate::world::{Plan, World};
use crate::xml::El;

const REGISTER: &str = "jabber:iq:register";

fn set(user: &str, password: &str) -> String {
    format!(
        "<iq type='set' id='r'><query xmlns='{REGISTER}'><username>{user}</username>\
         <password>{password}</password></query></iq>"
    )
}

#[test]
fn where_it_is_open() {
    let world = World::start();
    let mut client = world.tcp();
    client.open().expect("stream");
    let feature = client
        .features
        .child("http://jabber.org/features/iq-register", "register");
    assert!(feature.is_some(), "{}", client.features);
    let form = client.ask("<iq type='get' id='f'><query xmlns='jabber:iq:register'/></iq>");
    let wanted = format!(
        "<iq type='result' id='f'><query xmlns='{REGISTER}'><username/><password/></query></iq>"
    );
    assert_eq!(form.expect("a form").fits(&El::parse(&wanted)), Ok(()));

    for (wrong, error) in [
        (set("dan", ""), ("modify", "not-acceptable")),
        (set("", "sesame-dan"), ("modify", "not-acceptable")),
        (set("d an", "sesame-dan"), ("modify", "not-acceptable")),
    ] {
        let answer = client.ask(&wrong).expect("an answer");
        let condition = answer.error().map(|(_, condition)| condition);
        let right = [Some(error.1), Some("bad-request"), Some("jid-malformed")];
        assert!(right.contains(&condition), "{wrong}: {answer}");
    }
    client.register("dan", "sesame-dan").expect("the account");
    let taken = client.ask(&set("DAN", "sesame-other")).expect("an answer");
    assert_eq!(taken.error(), Some(("cancel", "conflict")), "{taken}");
    client
        .login("dan", "sesame-dan")
        .expect("login on the same stream");
    client.bind("").expect("bind");

    // Who is logged in may ask what is registered (XEP-0077 §3.1.1).
    let iq = format!("<iq type='get' id='g' to='a.test'><query xmlns='{REGISTER}'/></iq>");
    let form = client.ask(&iq).expect("an answer");
    let query = form.child(REGISTER, "query").expect("a query");
    assert!(query.child(REGISTER, "registered").is_some(), "{form}");
    assert_eq!(query.child_text(REGISTER, "username"), "dan");
}

/// It is off unless it is switched on: refused before login too, and the stream stays.
#[test]
fn where_it_is_closed() {
    let world = World::with(Plan {
        open_registration: false,
        ..Plan::default()
    });
    let mut client = world.tcp();
    client.open().expect("stream");
    let feature = client
        .features
        .child("http://jabber.org/features/iq-register", "register");
    assert!(feature.is_none(), "{}", client.features);
    for _ in 0..2 {
        let answer = client
            .ask(&set("dan", "sesame-dan"))
            .expect("the stream stays");
        assert_eq!(
            answer.error(),
            Some(("cancel", "service-unavailable")),
            "{answer}"
        );
    }
    world.account("eve", "a.test");
    client
        .login("eve", &crate::world::password("eve"))
        .expect("login afterwards");
    client.bind("").expect("bind");
    assert!(
        client
            .ask("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>")
            .is_ok()
    );
    assert!(
        client.jid.starts_with("eve@a.test/") && client.header.is(crate::xml::STREAMS, "stream")
    );
}
