//! A server claims to be somebody by dialback (XEP-0220) and goes before the one that it names was
//! asked: that one is not asked for longer than anybody waits, and its answer opens nothing.

use crate::authority::{Authority, Leaf};
use crate::client::PATIENCE;
use crate::elsewhere::{BY_DIALBACK, DIALBACK, Elsewhere, asking};
use crate::world::{Plan, World};

fn world() -> World {
    let plan = Authority::get().plan(&["a.test"]);
    World::with(Plan {
        more: plan.more.replace("\"secure\"", "\"dialback\"") + &asking(),
        ..plan
    })
}

#[test]
fn an_answer_for_who_has_gone_opens_nothing() {
    let world = world();
    let mut alice = world.online("alice@a.test/phone");
    let (asked, leaf) = (Elsewhere::of("asked.test"), Leaf::own(&["asked.test"]));
    let caller = Elsewhere::unknown("asked.test");
    let claim = "<db:result from='asked.test' to='a.test'>key</db:result>";

    // It goes while the one it names is being asked.
    let mut call = caller.calls(world.s2s, "a.test", &leaf).expect("TLS");
    call.say(claim);
    let mut visit = asked.secured(&leaf).expect("it is asked");
    asked.begin(&mut visit, BY_DIALBACK).expect("a header");
    let question = visit.expect(DIALBACK, "verify").expect("the question");
    drop(call);
    // Nobody waits: nor does the question, although it is not answered.
    visit.closed(2 * PATIENCE).expect("it is ended");

    // What is answered all the same is for nobody else.
    let mut call = caller.calls(world.s2s, "a.test", &leaf).expect("TLS");
    call.say(claim);
    let mut visit = asked.secured(&leaf).expect("it is asked");
    asked.begin(&mut visit, BY_DIALBACK).expect("a header");
    let later = visit.expect(DIALBACK, "verify").expect("the question");
    let id = |it: &crate::xml::El| it.attr("id").unwrap_or_default().to_owned();
    assert_ne!(id(&question), id(&later));
    visit.say(&format!(
        "<db:verify from='asked.test' to='a.test' id='{}' type='valid'/>",
        id(&question)
    ));
    call.say("<message from='x@asked.test' to='alice@a.test' id='no'><body>no</body></message>");
    let condition = call.stream_error(PATIENCE).expect("an error");
    assert_eq!(condition, "not-authorized");
    visit.say(&format!(
        "<db:verify from='asked.test' to='a.test' id='{}' type='valid'/>",
        id(&later)
    ));
    visit.closed(PATIENCE).expect("nobody needs it any more");
    alice.hears_nothing();
}
